//! Runs of one shape that are trained stacked in one process.

use std::sync::LazyLock;

use hashlab_store::{RunDir, RunState};
use rustix::process::Signal;

use crate::findings::Findings;
use crate::interruptions::at;
use crate::lab::{FILE, Lab, signal_worker, until};

/// Six runs of one shape, which differ in seed, temperature and learning rate, beside four of other shapes.
const GRID: &str = r#"dataset = "shapes"
bits = [16]
seeds = [0, 1]

[data]
items = 200
size = 16

[image]
image_size = 16
views = 4

[train]
epochs = 60
batch_size = 32
validate_every = 20

[[method]]
name = "itq"

[[method]]
name = "cibhash"
grid = { tau = [0.2, 0.5] }

[[method]]
name = "cibhash"
label = "slower"
train = { learning_rate = 0.0003 }

[[method]]
name = "cibhash"
label = "wider"
params = { hidden = 64 }
"#;

/// What a sweep of [`GRID`] finds with a process per run.
static SINGLE: LazyLock<Findings> = LazyLock::new(|| {
    let lab = Lab::with(GRID);
    lab.ok(&["sweep", FILE]);
    Findings::of(&lab)
});

const SWEEP: [&str; 4] = ["sweep", FILE, "--stack", "4"];

/// The number of runs that each run was trained with.
fn stacked_with(runs: &[RunDir]) -> Vec<String> {
    let count = |run: &RunDir| match run.result().unwrap().provenance.get("stacked") {
        Some(count) => count.to_string(),
        None => "alone".to_owned(),
    };
    runs.iter().map(count).collect()
}

/// At most four of the six in a process; the wider ones in one of their own; shallow runs alone.
#[test]
fn stacked_runs_find_what_single_runs_find() {
    let lab = Lab::with(GRID);
    let ended = lab.run(&SWEEP);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(stacked_with(&lab.runs()), ["alone", "alone", "4", "4", "4", "4", "2", "2", "2", "2"]);
    assert_eq!(Findings::of(&lab), *SINGLE);
    assert!(ended.stderr.contains("[10/"), "every run is counted: {}", ended.stderr);
}

#[test]
fn a_stack_that_is_killed_goes_on() {
    let lab = Lab::with(GRID);
    let runs = lab.runs_of("cibhash");
    let sweep = lab.start(&[&SWEEP[..], &["--jobs", "1", "--retries", "0"]].concat());
    until("epochs of the stack", || at(&runs[3], 1, 5));
    signal_worker(&runs[0], Signal::KILL);
    let ended = sweep.end();
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    for run in &runs[..4] {
        assert!(ended.stderr.contains(&format!("{} FAILED after", run.id())), "{}", ended.stderr);
    }
    lab.ok(&SWEEP);
    assert_eq!(lab.attempts(), [1, 1, 2, 2, 2, 2, 1, 1, 1, 1], "other stacks are finished");
    assert_eq!(Findings::of(&lab), *SINGLE);
}

/// Each run of a stack keeps a checkpoint of its own, and goes on stacked with others, or alone.
#[test]
fn ctrl_c_leaves_a_checkpoint_of_every_run() {
    let four = GRID.split("\n[[method]]\nname = \"cibhash\"\nlabel").next().unwrap();
    let four = four.replace("epochs = 60", "epochs = 400");
    let lab = Lab::with(&four);
    let runs = lab.runs_of("cibhash");
    let mut sweep = lab.start(&[&SWEEP[..], &["--jobs", "1"]].concat());
    until("epochs of the stack", || at(&runs[3], 1, 20));
    sweep.interrupt();
    let ended = sweep.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    for run in &runs {
        assert_eq!(run.state(), RunState::Interrupted { checkpoint: true });
    }
    // One goes on alone, the other three in a stack.
    lab.ok(&["exec", FILE, "--run", &runs[1].id().to_string()]);
    lab.ok(&SWEEP);
    let first_epochs = |run: &RunDir| {
        let log = std::fs::read_to_string(run.log_path()).unwrap();
        log.matches("epoch done epoch=1 ").count()
    };
    assert_eq!(first_epochs(&runs[0]), 4, "no run of the stack started anew");
    let single = Lab::with(&four);
    single.ok(&["sweep", FILE]);
    assert_eq!(Findings::of(&lab), Findings::of(&single));
}

/// As a sweep never orders it: runs of other shapes, of methods that are not stacked, the same run twice.
#[test]
fn a_worker_refuses_a_stack_of_other_shapes() {
    let lab = Lab::with(GRID);
    lab.ok(&["sweep", FILE, "--only", "itq"]);
    lab.ok(&["exec", FILE, "--run", "cibhash", "--stack", "8"]);
    let (itq, cibhash) = (lab.runs_of("itq"), lab.runs_of("cibhash"));
    let id = |run: &RunDir| run.id().to_string();
    let wider = cibhash.last().unwrap();
    for (runs, expected) in [
        ([&cibhash[0], wider], "are not of one shape"),
        ([&itq[0], &itq[1]], "cannot be stacked"),
        ([&cibhash[0], &cibhash[0]], "is named twice"),
    ] {
        let ended = lab.run(&["worker", "--stacked", &id(runs[0]), &id(runs[1])]);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[test]
fn a_stack_of_none_is_refused() {
    let lab = Lab::with(GRID);
    let said = lab.refused(&["sweep", FILE, "--stack", "0"]);
    assert!(said.contains("--stack"), "{said}");
}
