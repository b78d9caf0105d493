//! Single runs: shown, compared, tagged, removed.

use serde_json::Value;

use crate::lab::{FILE, Lab, NAME, TINY};

/// A lab with a finished sweep, and the ids of its runs.
fn lab() -> (Lab, Vec<String>) {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let runs = lab.runs().iter().map(|run| run.id().to_string()).collect();
    (lab, runs)
}

#[test]
fn a_run_is_shown_with_its_settings_metrics_and_log() {
    let (lab, runs) = lab();
    let run = runs.iter().find(|run| run.starts_with("cibhash-b16-s1-")).unwrap();
    let shown = lab.ok(&["show", run]);
    for part in [
        "finished, 1 attempt",
        "cibhash, 16 bits, seed 1",
        "image_size=16",
        "i2i map_at_k 0.",
        "sources_digest ",
        " µs, search query ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // The digits at the end are enough.
    let digits = run.rsplit('-').next().unwrap();
    let json: Value = serde_json::from_str(&lab.ok(&["show", &digits[..8], "--format", "json"])).unwrap();
    assert_eq!((json["run"].as_str(), json["state"].as_str()), (Some(run.as_str()), Some("finished")));
    assert_eq!(json["config"]["seed"], 1);
    assert!(json["result"]["test"]["i2i"]["metrics"]["map_at_k"].is_number(), "{json:#}");
    assert!(lab.ok(&["logs", run, "--follow"]).contains("validated"), "a finished run's log has an end");
}

#[test]
fn two_runs_differ_in_what_differs() {
    let (lab, runs) = lab();
    let [first, second] =
        ["cibhash-b16-s0-", "cibhash-b16-s1-"].map(|start| runs.iter().find(|run| run.starts_with(start)).unwrap());
    let diff = lab.ok(&["diff", first, second]);
    let names: Vec<&str> = diff.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(names.contains(&"seed") && names.contains(&"test.i2i.map_at_k"), "{diff}");
    assert!(!diff.contains("bits ") && !diff.contains("dataset "), "{diff}");
    assert_eq!(lab.ok(&["diff", first, first]), "the runs are equal in all settings and facts\n");
}

#[test]
fn words_about_a_run_are_kept_and_removed() {
    let (lab, runs) = lab();
    let run = runs[0].as_str();
    assert_eq!(lab.ok(&["tag", run, "baseline", "figure3"]), "baseline\nfigure3\n");
    assert_eq!(lab.ok(&["tag", run, "figure3", "--remove"]), "baseline\n");
    lab.ok(&["note", run, "the run of figure 3"]);
    assert_eq!(lab.ok(&["note", run]), "the run of figure 3\n");
    let shown = lab.ok(&["show", run]);
    assert!(shown.contains("baseline") && shown.contains("the run of figure 3"), "{shown}");
    assert!(lab.refused(&["tag", run, "two words"]).contains("a tag is one word"));
    // A sweep that has nothing to do leaves them.
    lab.ok(&["sweep", FILE]);
    assert_eq!(lab.ok(&["tag", run]), "baseline\n");
    lab.ok(&["note", run, ""]);
    assert_eq!(lab.ok(&["note", run]), "");
}

#[test]
fn a_removed_run_is_missing_and_made_again() {
    let (lab, runs) = lab();
    let table = lab.ok(&["table", NAME, "--no-times"]);
    let asked = lab.refused(&["rm", &runs[0]]);
    assert!(asked.contains("--yes"), "{asked}");
    assert_eq!(lab.ok(&["rm", &runs[0], &runs[3], "--yes"]), "2 runs removed\n");
    let plan = lab.ok(&["plan", FILE]);
    assert_eq!(plan.matches(" missing ").count(), 2, "{plan}");
    assert!(lab.refused(&["show", &runs[0]]).contains("there is no run"));
    lab.ok(&["sweep", FILE]);
    assert_eq!(lab.ok(&["table", NAME, "--no-times"]), table);
}

#[test]
fn an_ambiguous_or_unknown_name_is_refused() {
    let (lab, _) = lab();
    let several = lab.refused(&["show", "lsh-b16"]);
    assert!(several.contains("may be any of 2 runs:\n  lsh-b16-s0-"), "{several}");
    assert!(lab.refused(&["show", "nothing"]).contains("there is no run `nothing`"));
    assert!(lab.refused(&["logs", ""]).contains("there is no run ``"));
}

#[test]
fn what_no_plan_refers_to_is_removed_and_the_rest_stays() {
    let (lab, _) = lab();
    assert!(lab.ok(&["gc"]).starts_with("nothing to remove"));
    // A second experiment, of which the plan is lost: its features and models are of no use.
    lab.write("other.toml", TINY.replace("items = 300", "items = 250"));
    lab.ok(&["sweep", "other.toml", "--keep", "all"]);
    std::fs::remove_dir_all(lab.path("runs/sweeps/other")).unwrap();
    let table = lab.ok(&["table", NAME]);
    let listed = lab.run(&["gc"]);
    assert_eq!(listed.code, Some(2), "{listed:#?}");
    assert!(listed.stdout.contains("features by convnet") && listed.stdout.contains("\"items\":250"), "{listed:#?}");
    assert_eq!(listed.stdout.matches("checkpoints and model of ").count(), 6, "{listed:#?}");
    assert!(!listed.stdout.contains("\"items\":300"), "{listed:#?}");
    let models = || crate::lab::files_named(&lab.path("runs"), "model.safetensors").len();
    let before = models();
    assert!(lab.ok(&["gc", "--yes"]).ends_with(" MiB removed\n"));
    assert_eq!(models(), before - 6);
    assert!(lab.ok(&["gc"]).starts_with("nothing to remove"));
    assert_eq!(lab.ok(&["table", NAME]), table);
    assert_eq!(lab.ok(&["cache"]).matches("\"items\":250").count(), 0);
}
