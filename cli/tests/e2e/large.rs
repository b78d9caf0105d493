//! Sweeps of many runs: an index of their results, and pages that stay small.

use std::fs;

use hashlab_store::RunDir;

use crate::lab::{FILE, Lab, NAME};

const RUNS: usize = 1100;

/// One method on few images under many seeds.
fn experiment(runs: usize) -> String {
    let seeds: Vec<String> = (0..runs).map(|seed| seed.to_string()).collect();
    format!(
        "dataset = \"shapes\"\nbits = [16]\nseeds = [{}]\n\n[data]\nitems = 100\nsize = 16\n\n[image]\nimage_size = 16\n\n\
         [[method]]\nname = \"lsh\"\n",
        seeds.join(", ")
    )
}

/// A finished sweep whose runs, but the first, are copies of it with another name and mAP.
fn finished() -> (Lab, Vec<RunDir>) {
    finished_of(RUNS)
}

/// So many finished runs.
pub(crate) fn finished_many(runs: usize) -> Lab {
    finished_of(runs).0
}

fn finished_of(runs: usize) -> (Lab, Vec<RunDir>) {
    let lab = Lab::with(&experiment(runs));
    lab.ok(&["sweep", FILE, "--set", "seeds=[0]"]);
    let runs = lab.runs();
    let first = fs::read_to_string(runs[0].path().join("result.json")).unwrap();
    let (text, _digest) = first.split_once(",\n  \"digest\"").unwrap();
    let config = fs::read_to_string(runs[0].path().join("config.json")).unwrap();
    let map = text.split_once("\"map_at_k\": ").unwrap().1.split([',', '\n']).next().unwrap().to_owned();
    for (seed, run) in runs.iter().enumerate().skip(1) {
        let other = text.replace(&runs[0].id().0, &run.id().0);
        let other = other.replace(&format!("\"map_at_k\": {map}"), &format!("\"map_at_k\": 0.{:04}", map_of(seed)));
        fs::create_dir_all(run.path()).unwrap();
        fs::write(run.path().join("config.json"), config.replace("\"seed\": 0", &format!("\"seed\": {seed}"))).unwrap();
        fs::write(run.path().join("result.json"), format!("{other}\n}}\n")).unwrap();
    }
    (lab, runs)
}

/// The digits behind the point of a run's mAP.
fn map_of(seed: usize) -> usize {
    (1000 + seed) % 10_000
}

#[test]
fn an_index_saves_reading_and_changes_nothing() {
    let (lab, runs) = finished();
    let index = lab.path("runs/results.index");
    assert!(!index.exists(), "one run needs none");
    let swept = lab.run(&["sweep", FILE, "--no-times"]);
    assert_eq!(swept.code, Some(0), "{swept:#?}");
    assert!(swept.stdout.contains("mean ± sample standard deviation over n = 1100 seeds (0–1099)"), "{}", swept.stdout);
    assert!(index.exists(), "so many do");
    let table = || lab.ok(&["table", NAME, "--no-times"]);
    assert_eq!(table(), swept.stdout);
    let plan = lab.ok(&["plan", FILE]);
    assert_eq!(plan.matches("  finished").count(), RUNS);
    fs::remove_file(&index).unwrap();
    assert_eq!((table(), lab.ok(&["plan", FILE])), (swept.stdout.clone(), plan), "without the index");
    fs::write(&index, "garbage").unwrap();
    assert_eq!(table(), swept.stdout, "with a damaged one");
    // A run that changed is seen, one that is lost is missing, and its curves are those of its own file.
    let changed = runs[7].path().join("result.json");
    fs::write(&changed, fs::read_to_string(&changed).unwrap().replace("0.1007", "0.9007")).unwrap();
    fs::remove_dir_all(runs[8].path()).unwrap();
    let now = table();
    assert!(now != swept.stdout && now.contains("LSH, 16 bits: 1 missing of 1100 runs"), "{now}");
    let lines = lab.ok(&["table", NAME, "--format", "jsonl"]);
    assert_eq!(lines.lines().count(), RUNS + 1);
    assert!(lines.contains("0.9007") && lines.contains("\"radius_precision\""), "whole results");
    lab.write("all.jsonl", lines);
    assert_eq!(lab.ok(&["table", "all.jsonl", "--no-times"]), now);
}

#[test]
fn many_damaged_results_are_counted() {
    let (lab, runs) = finished();
    lab.ok(&["table", NAME, "--no-times"]); // of the sweep of one seed
    lab.ok(&["sweep", FILE]);
    for run in &runs[10..210] {
        fs::write(run.path().join("result.json"), "{").unwrap();
    }
    let ended = lab.run(&["table", NAME]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stderr.matches("result.json` is damaged: ").count(), 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("197 more results are damaged or cannot be read"), "{}", ended.stderr);
    assert!(ended.stdout.contains("LSH, 16 bits: 200 missing of 1100 runs"), "{}", ended.stdout);
}

#[test]
fn a_page_of_many_runs_lists_some_and_says_which() {
    let (lab, runs) = finished();
    let failed = &runs[1050];
    fs::remove_file(failed.path().join("result.json")).unwrap();
    fs::write(failed.path().join("error.json"), r#"{"message": "no luck", "attempt": 1, "time": 1}"#).unwrap();
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let note =
        "the results of so many runs are not written beside the table; `hashlab table tiny --format jsonl` prints";
    assert!(ended.stderr.contains(note), "{}", ended.stderr);
    assert!(!lab.path(&format!("runs/sweeps/{NAME}/{}/results.jsonl", lab.newest())).exists());
    // The failed run was repeated; one that fails is listed although it is one of the last.
    fs::remove_file(failed.path().join("result.json")).unwrap();
    fs::write(failed.path().join("error.json"), r#"{"message": "no luck", "attempt": 2, "time": 1}"#).unwrap();
    lab.ok(&["report", NAME, "--out", "page.html"]);
    let page = lab.read("page.html");
    assert_eq!(page.matches("<template id=\"run-").count(), 1000);
    assert!(page.contains("1000 of 1100 runs are listed, with their curves, codes and training: those that failed"));
    assert!(page.contains("`hashlab table tiny --format jsonl` prints every run."));
    let listed = |run: &RunDir| page.contains(&format!("<h2 id=\"drawer-heading\">{}</h2>", run.id()));
    assert_eq!([failed, &runs[998], &runs[999]].map(listed), [true, true, false]);
    assert!(page.contains("1099 finished") && page.contains("1 failed"), "all are counted");
    lab.ok(&["plot", NAME, "--figure", "pr", "--out", "pr.svg"]);
}
