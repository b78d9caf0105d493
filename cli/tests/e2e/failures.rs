//! Runs that fail, and runs that diverge.

use std::fs;

use hashlab_store::{RunState, Status};

use crate::lab::{ALIKE_ERROR, FILE, Lab, NAME, TINY, files_named};

/// The features of [`ALIKE`](crate::lab::ALIKE), without a second method that fails.
const ONE_FAILS: &str = r#"dataset = "features"
seeds = [0]

[data]
dir = "alike"
queries = 8

[[method]]
name = "sh"
bits = [16]

[[method]]
name = "lsh"
bits = [16, 8]
"#;

#[test]
fn a_failure_stops_nothing_else_and_is_tried_again() {
    let lab = Lab::alike(ONE_FAILS);
    for sweeps in 1..=2 {
        let ended = lab.run(&["sweep", FILE]);
        assert_eq!(ended.code, Some(3), "{ended:#?}");
        assert!(ended.stderr.contains(" FAILED after ") && ended.stderr.contains(ALIKE_ERROR), "{}", ended.stderr);
        assert!(ended.stdout.contains(ALIKE_ERROR), "{}", ended.stdout);
        let sh = ended.stdout.lines().find(|line| line.starts_with(" SH")).unwrap();
        assert!(sh.ends_with("failed"), "{sh}");
        assert_eq!(lab.attempts(), [sweeps, 1, 1]);
    }
    let failed = &lab.runs()[0];
    let RunState::Failed(failure) = failed.state() else { panic!("{:?}", failed.state()) };
    assert_eq!((failure.message.as_str(), failure.attempt), (ALIKE_ERROR, 2));
    let plan = lab.ok(&["plan", FILE]);
    let line = plan.lines().find(|line| line.contains(&failed.id().0)).unwrap();
    assert_eq!(line.split_whitespace().nth(1), Some("failed"), "{plan}");
    assert!(lab.ok(&["table", NAME]).contains(ALIKE_ERROR), "the table alone is no failure");
}

#[test]
fn features_that_fail_stop_only_the_runs_that_need_them() {
    let other = "\n[[method]]\nname = \"lsh\"\nlabel = \"LSH on filters\"\nimage = { encoder = \"filterbank\" }\n";
    let lab = Lab::with(&(TINY.to_owned() + other));
    // The features of the last row alone are in the cache, and a folder lies where their file was.
    lab.write("filters.toml", TINY.replace("convnet", "filterbank"));
    lab.ok(&["features", "filters.toml", "--out", "out"]);
    for file in files_named(&lab.path("runs/cache"), "data.f32") {
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
    }
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert_eq!(lab.attempts(), [1, 1, 1, 1, 1, 1, 0, 0]);
    assert!(ended.stderr.contains("features of shapes by filterbank FAILED after "), "{}", ended.stderr);
    let reason = "Is a directory";
    assert!(ended.stderr.contains(reason) && ended.stdout.contains(reason), "{ended:#?}");
    assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("2 runs that need features of shapes by filterbank will not start"),
        "{}",
        ended.stderr
    );
    let row = |label: &str| ended.stdout.lines().find(|line| line.starts_with(label)).unwrap();
    assert!(row(" CIBHash").contains(" ± ") && row(" LSH on filters").ends_with("failed"), "{}", ended.stdout);
}

#[test]
fn a_divergence_is_a_result() {
    let lab = Lab::with(
        r#"dataset = "shapes"
bits = [16]
seeds = [0]

[data]
items = 100
size = 16

[image]
image_size = 16
views = 2

[train]
epochs = 5

[[method]]
name = "cibhash"
train = { learning_rate = 1e30 }

[[method]]
name = "lsh"
"#,
    );
    let first = lab.run(&["sweep", FILE]);
    assert_eq!(first.code, Some(0), "{first:#?}");
    let why = "not finite at step 2 (epoch 1): loss ";
    assert!(first.stderr.contains(" diverged after ") && first.stderr.contains(why), "{}", first.stderr);
    assert!(first.stdout.contains("CIBHash, 16 bits: 1 diverged of 1 run\n"), "{}", first.stdout);
    let result = lab.runs()[0].result().unwrap();
    assert_eq!((result.status, result.test.len()), (Status::Diverged, 0));
    assert!(lab.runs()[1].result().unwrap().mean_test("map_at_k").unwrap() > 0.0);

    assert_eq!(lab.ok(&["sweep", FILE]), first.stdout);
    assert_eq!(lab.attempts(), [1, 1], "it would diverge again");
}

/// A cause that keeps every run from being recorded is said once, and the table knows it.
#[test]
fn failures_that_cannot_be_recorded_are_counted() {
    let lab = Lab::with(&TINY.replace("seeds = [0, 1]", "seeds = [0, 1, 2, 3]"));
    for run in lab.runs_of("lsh") {
        fs::create_dir_all(run.path().parent().unwrap()).unwrap();
        fs::write(run.path(), "in the way").unwrap();
    }
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert_eq!(ended.stderr.matches("WARN").count(), 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot record why `lsh-b16-s0-"), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot record why 3 more runs failed, either"), "{}", ended.stderr);
    assert!(ended.stdout.contains("LSH, 16 bits: 4 failed of 4 runs"), "{}", ended.stdout);
}

/// A result is worth more than what is kept beside it.
#[test]
fn what_cannot_be_kept_beside_a_result_fails_no_run() {
    let lab = Lab::with(TINY);
    let runs = lab.runs();
    for (run, name) in [(&runs[0], "queries.json"), (&runs[4], "model.safetensors")] {
        fs::create_dir_all(run.path().join(name)).unwrap();
    }
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(runs.iter().all(|run| run.result().is_some()));
    let note =
        |run: usize, lost: &str| format!("{}: the result is stored, without {lost}: cannot write `", runs[run].id());
    for note in [note(0, "the results of single queries"), note(4, "the trained model")] {
        assert!(ended.stderr.contains(&note), "{note} in {}", ended.stderr);
    }
    assert!(ended.stderr.contains("\n  help: `--rerun lsh` repeats the run\n"), "{}", ended.stderr);
}
