//! Results that are made again, and models that are kept.

use std::fs;

use hashlab_store::RunDir;
use serde_json::Value;

use crate::lab::{Ended, FILE, Lab, NAME, PROGRAM, TINY};

/// Makes a run's result one of other sources, of which its provenance has the digest under a key.
fn age(run: &RunDir, key: &str) {
    let path = run.path().join("result.json");
    let mut result: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    result["provenance"][key] = "0123456789abcdef".into();
    // A result without the digest of its own text is taken as it is.
    result.as_object_mut().unwrap().remove("digest");
    fs::write(path, result.to_string()).unwrap();
}

#[test]
fn results_of_other_sources_are_named_and_repeated_on_request() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let before: Vec<_> = lab.runs().iter().map(|run| run.result().unwrap().test).collect();
    age(&lab.runs_of("itq")[1], "sources_digest");
    age(&lab.runs_of("cibhash")[0], "sources_digest");
    age(&lab.runs_of("cibhash")[1], "sources_digest");

    let warned = lab.run(&["sweep", FILE]);
    assert_eq!(warned.code, Some(0), "{warned:#?}");
    for warning in [
        "warning: 1 finished run of `itq` was made by other sources of the method; `--rerun itq` repeats it\n",
        "warning: 2 finished runs of `cibhash` were made by other sources of the method; `--rerun cibhash` repeats them\n",
    ] {
        assert!(warned.stderr.contains(warning), "{}", warned.stderr);
    }
    assert_eq!(lab.attempts(), [1; 6], "a warning repeats nothing");
    assert!(warned.stdout.contains("1 run was made by other sources of itq (0123456789ab) than the rest"));

    let repeated = lab.run(&["sweep", FILE, "--rerun", "cibhash"]);
    assert_eq!(repeated.code, Some(0), "{repeated:#?}");
    assert!(!repeated.stderr.contains("of `cibhash` were"), "{}", repeated.stderr);
    assert!(repeated.stderr.contains("of `itq` was"), "{}", repeated.stderr);
    assert_eq!(lab.attempts(), [1, 1, 1, 1, 2, 2]);
    assert!(lab.runs().iter().map(|run| run.result().unwrap().test).eq(before), "the same numbers");
    assert!(!lab.run(&["sweep", FILE]).stderr.contains("`cibhash`"));
}

/// In a checkout, where the program knows the digest of core.
#[test]
fn results_of_another_core_are_named() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let run = &lab.runs_of("itq")[1];
    if !run.result().unwrap().provenance.contains_key("core_digest") {
        return;
    }
    assert!(!lab.run(&["sweep", FILE]).stderr.contains("warning"));
    age(run, "core_digest");
    let warning = "warning: 1 finished run of `itq` was made by other sources of hashlab's core; \
                   `--rerun itq` repeats it\n";
    let warned = lab.run(&["sweep", FILE]);
    assert!(warned.stderr.contains(warning), "{}", warned.stderr);
}

/// Runs with a model, by the names of their methods and the states of their settings.
fn models(lab: &Lab) -> Vec<(String, bool)> {
    let document: Value = serde_json::from_str(&lab.ok(&["table", NAME, "--all", "--format", "json"])).unwrap();
    let mut models = Vec::new();
    for row in document["rows"].as_array().unwrap() {
        for run in row["runs"].as_array().unwrap() {
            let id = run["run"].as_str().unwrap();
            let kept = lab.runs().iter().any(|run| run.id().0 == id && run.model_path().is_file());
            assert!(!kept || id.starts_with(row["method"].as_str().unwrap()));
            if kept {
                models.push((row["method"].as_str().unwrap().to_owned(), row["selected"] == true));
            }
        }
    }
    models
}

fn kept(options: &[&str]) -> Vec<(String, bool)> {
    let lab = Lab::with(&(TINY.to_owned() + "grid = { tau = [0.3, 0.2] }\n"));
    lab.ok(&[&["sweep", FILE], options].concat());
    models(&lab)
}

#[test]
fn the_models_of_selected_settings_are_kept() {
    let expected = ["lsh", "lsh", "itq", "itq", "cibhash", "cibhash"].map(|method| (method.to_owned(), true));
    assert_eq!(kept(&[]), expected, "both seeds of one setting each");
}

#[test]
fn runs_that_finished_before_a_model_was_asked_for_are_named() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE, "--keep", "none"]);
    let said = lab.run(&["sweep", FILE, "--keep", "all"]).stderr;
    let expected = "warning: 6 finished runs have no model, because none was kept before; \
                    `--keep all --rerun cibhash --rerun itq --rerun lsh` trains again\n";
    assert!(said.contains(expected), "{said}");
    let said = lab.run(&["sweep", FILE, "--keep", "all", "--rerun", "lsh"]).stderr;
    assert!(said.contains("4 finished runs have no model"), "{said}");
    let said = lab.run(&["sweep", FILE, "--keep", "none"]).stderr;
    assert!(said.contains("2 finished runs have a model from before"), "{said}");
}

#[test]
fn all_models_are_kept_or_none() {
    let all = kept(&["--keep", "all"]);
    assert_eq!((all.len(), all.iter().filter(|(_, selected)| !selected).count()), (8, 2), "{all:?}");
    assert_eq!(kept(&["--keep", "none"]), []);
}

/// Puts a folder in the place of a file that training appends to, so that a repetition fails.
fn block(run: &RunDir) {
    let _ = fs::remove_file(run.path().join("metrics.jsonl"));
    fs::create_dir(run.path().join("metrics.jsonl")).unwrap();
}

/// A result is given up for its successor, not for the attempt.
#[test]
fn a_repetition_that_fails_keeps_the_result() {
    let lab = Lab::with(TINY);
    let before = lab.ok(&["sweep", FILE, "--no-times"]);
    lab.runs_of("cibhash").iter().for_each(block);
    let ended = lab.run(&["sweep", FILE, "--no-times", "--rerun", "cibhash"]);
    assert_eq!((ended.code, ended.stderr.matches(" FAILED ").count()), (Some(3), 2), "the failure is told: {ended:#?}");
    assert!(ended.stderr.contains("2 results of before stay, as their runs were not repeated"), "{}", ended.stderr);
    assert!(lab.runs().iter().all(|run| run.result().is_some()));
    assert!(lab.runs_of("cibhash").iter().all(|run| run.model_path().is_file()));
    assert_eq!(lab.ok(&["table", NAME, "--no-times"]), before);
}

/// A process that is killed while it moves a result aside, between two renames, loses nothing: the next sweep has the
/// result, its own or that of before.
#[test]
fn a_result_that_was_moved_in_part_is_found_by_the_next_sweep() {
    for fails in [false, true] {
        for moved in 1..=4 {
            let lab = Lab::with(TINY);
            let sweep = ["sweep", FILE, "--no-times", "--set", "seeds=[0]"];
            let before = lab.ok(&sweep);
            let run = lab.runs_of("cibhash").remove(0);
            let previous = run.path().join("previous");
            fs::create_dir(&previous).unwrap();
            for file in ["result.json", "queries.json", "items.json", "codes.json"].iter().take(moved) {
                fs::rename(run.path().join(file), previous.join(file)).unwrap();
            }
            if fails {
                block(&run);
            }
            let ended = lab.run(&sweep);
            assert_eq!(ended.code, Some(if fails { 3 } else { 0 }), "{moved} files: {ended:#?}");
            assert!(run.result().is_some() && !run.has_previous(), "{moved} files");
            assert!(run.queries().is_some() && run.items().is_some() && run.codes().is_some(), "{moved} files");
            assert_eq!(lab.ok(&["table", NAME, "--no-times"]), before, "{moved} files, fails: {fails}");
        }
    }
}

/// A limit on the size of files stands for a disk that has room for results, and not for checkpoints.
#[test]
fn a_checkpoint_that_cannot_be_kept_costs_nothing() {
    let lab = Lab::with(TINY);
    let table = lab.ok(&["sweep", FILE, "--no-times"]);
    let limited = format!("ulimit -f 400; exec {PROGRAM} sweep {FILE} --no-times --rerun cibhash");
    let ended = Ended::from(lab.command_of("sh", &["-c", &limited]).output().unwrap());
    assert_eq!((ended.code, &ended.stdout), (Some(0), &table), "{}", ended.stderr);
    assert!(ended.stderr.contains(": goes on without a checkpoint: cannot write `"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the result is stored, without the trained model: "), "{}", ended.stderr);
}
