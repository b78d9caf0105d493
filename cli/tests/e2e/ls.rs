//! Finding one's way among runs: `ls` and `open`.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use crate::lab::{FILE, Lab, NAME, TINY};

/// A lab with two finished sweeps, of which one varies a hyperparameter.
fn lab() -> Lab {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    lab.write("grid.toml", TINY.replace("name = \"cibhash\"", "name = \"cibhash\"\ngrid = { tau = [0.2, 0.3] }"));
    lab.ok(&["sweep", "grid.toml", "--set", "seeds=[0]"]);
    lab
}

/// The ids of listed runs, without their digests.
fn ids(listed: &str) -> Vec<String> {
    let rows: Vec<Value> = serde_json::from_str(listed).unwrap();
    rows.iter().map(|row| row["run"].as_str().unwrap().rsplit_once('-').unwrap().0.to_owned()).collect()
}

#[test]
fn runs_are_listed_filtered_and_sorted() {
    let lab = lab();
    let columns = "run,state,method,bits,seed,dataset,protocol,tau,train.epochs,image.encoder,attempts";
    assert_snapshot!(lab.ok(&["ls", "--columns", columns]));
    assert_snapshot!(lab.ok(&["ls", "grid", "--columns", "run,label,tau", "--only", "CIBHash"]));
    let json = |args: &[&str]| ids(&lab.ok(&[&["ls", "--format", "json"], args].concat()));
    assert_eq!(json(&["--only", "itq,seed=1"]), ["itq-b16-s1"]);
    assert_eq!(json(&["--only", "itq", "--only", "lsh,seed<1"]), ["itq-b16-s0", "itq-b16-s1", "lsh-b16-s0"]);
    assert_eq!(json(&["--only", "tau=0.2"]), ["cibhash-b16-s0"], "what the grid varies");
    assert_eq!(json(&["--only", "tau=0.3"]), ["cibhash-b16-s0", "cibhash-b16-s1"], "also by default");
    assert_eq!(json(&["--only", "train.epochs=8,method=cibhash"]).len(), 3);
    assert_eq!(json(&["--only", "bits>16"]), [""; 0]);
    // By a metric, the best first: as the numbers say.
    let rows: Vec<Value> =
        serde_json::from_str(&lab.ok(&["ls", "--format", "json", "--sort=-primary", "--columns", "primary"])).unwrap();
    let values: Vec<f64> = rows.iter().map(|row| row["primary"].as_f64().unwrap()).collect();
    assert!(values.len() == 7 && values.is_sorted_by(|a, b| a >= b), "{values:?}");
    let best = json(&["--only", &format!("primary>={}", values[0])]);
    assert_eq!(json(&["--sort=-primary", "-n", "1"]), best[..1]);
}

#[test]
fn tags_notes_and_states_are_listed() {
    let lab = lab();
    let run = lab.ids()[0].clone();
    lab.ok(&["tag", &run, "baseline", "figure3"]);
    lab.ok(&["note", &run, "the run of figure 3"]);
    fs::remove_file(lab.runs()[1].path().join("result.json")).unwrap();
    let listed = lab.ok(&["ls", NAME]);
    let head: Vec<&str> = listed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["run", "state", "dataset", "map_at_k", "validation", "changed", "tags", "note"], "{listed}");
    assert!(listed.contains("baseline, figure3") && listed.contains("the run of figure 3"), "{listed}");
    assert!(listed.ends_with("6 runs: 5 finished, 1 interrupted\n"), "{listed}");
    assert_eq!(ids(&lab.ok(&["ls", "--only", "tag=baseline", "--format", "json"])), ["lsh-b16-s0"]);
    assert_eq!(ids(&lab.ok(&["ls", "--only", "figure3", "--format", "json"])), ["lsh-b16-s0"]);
    assert_eq!(ids(&lab.ok(&["ls", "--only", "interrupted", "--format", "json"])), ["lsh-b16-s1"]);
    let csv = lab.ok(&["ls", "--only", "baseline", "--format", "csv", "--columns", "seed,tags,note"]);
    assert_eq!(csv, "seed,tags,note\n0,\"baseline, figure3\",the run of figure 3\n");
    let none = Lab::with(TINY);
    assert_eq!(none.ok(&["ls"]), "0 runs\n");
    assert_eq!(none.ok(&["ls", "--sweeps"]), "0 sweeps\n");
    assert_eq!(none.ok(&["ls", "--format", "json"]), "[]\n");
}

#[test]
fn sweeps_are_listed() {
    let lab = lab();
    let listed = lab.ok(&["ls", "--sweeps"]);
    let head: Vec<&str> = listed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["sweep", "dataset", "protocol", "runs", "states", "started"], "{listed}");
    assert!(listed.contains("grid") && listed.contains("4 finished") && listed.contains("6 finished"), "{listed}");
    let json: Vec<Value> = serde_json::from_str(&lab.ok(&["ls", "--sweeps", "--format", "json"])).unwrap();
    assert_eq!((json[1]["sweep"].as_str(), json[1]["finished"].as_u64()), (Some(NAME), Some(6)));
    assert!(lab.ok(&["ls", "--sweeps", "--format", "csv"]).starts_with("sweep,dataset,protocol,runs,finished,"));
}

#[test]
fn mistakes_in_lists_are_named() {
    let lab = lab();
    let wrong = lab.refused(&["ls", "--columns", "run,image.encodr"]);
    assert!(
        wrong.contains("`--columns` names `image.encodr`") && wrong.contains("did you mean `image.encoder`?"),
        "{wrong}"
    );
    let wrong = lab.refused(&["ls", "--only", "map_at_q>0.5"]);
    assert!(wrong.contains("`--only` names `map_at_q`") && wrong.contains("did you mean `map_at_k`?"), "{wrong}");
    assert!(lab.refused(&["ls", "--sort=-nothing_like_it"]).contains("`--sort` names `nothing_like_it`"));
    assert!(lab.refused(&["ls", "tinny"]).contains("did you mean `tiny`?"));
    assert_eq!(lab.run(&["ls", "--sweeps", "tiny"]).code, Some(2));
}

#[test]
fn what_is_opened_is_printed() {
    let lab = lab();
    let page = lab.ok(&["open", NAME, "--print"]);
    assert_eq!(page, format!("runs/sweeps/{NAME}/{}/report.html\n", lab.newest()));
    let before = lab.read(page.trim());
    fs::remove_file(lab.path(page.trim())).unwrap();
    assert_eq!(lab.ok(&["open", NAME, "--print"]), page);
    assert_eq!(lab.read(page.trim()), before, "a page that is not there yet is written");
    assert_eq!(lab.ok(&["open", NAME, "--print", "--dir"]), format!("runs/sweeps/{NAME}/{}\n", lab.newest()));
    let run = &lab.runs()[0];
    let digits = run.id().0.rsplit('-').next().unwrap();
    let opened = lab.ok(&["open", &digits[..8], "--print"]);
    assert_eq!(lab.path(opened.trim()), run.path());
    assert!(lab.refused(&["open", "nothing", "--print"]).contains("there is no sweep and no run `nothing`"));
    assert!(lab.refused(&["open", "lsh-b16", "--print"]).contains("may be any of 2 runs"));
    // Without a program that opens files.
    let mut command = lab.command(&["open", NAME]);
    command.env("PATH", lab.path("nowhere")).env_remove("BROWSER");
    let refused = crate::lab::Ended::from(command.output().unwrap());
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), page.as_str()), "{refused:#?}");
    assert!(refused.stderr.contains("nothing here opens ") && refused.stderr.contains("--print"), "{refused:#?}");
}

#[test]
fn ten_thousand_runs_are_listed_with_and_without_their_index() {
    let lab = crate::large::finished_many(10_000);
    let first = lab.ok(&["ls", "--sort=-primary", "--format", "json"]);
    assert!(lab.path("runs/results.index").exists());
    let again = lab.ok(&["ls", "--sort=-primary", "--format", "json"]);
    assert_eq!(again, first, "the index changes nothing");
    let rows: Vec<Value> = serde_json::from_str(&again).unwrap();
    assert_eq!((rows.len(), rows[0]["primary"].as_f64()), (10_000, Some(0.9999)));
    fs::remove_file(lab.path("runs/results.index")).unwrap();
    assert_eq!(lab.ok(&["ls", "--sort=-primary", "--format", "json"]), first);
}
