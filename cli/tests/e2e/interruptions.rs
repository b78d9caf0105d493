//! However a sweep is interrupted, the same command ends with the same bits.

use std::fs;
use std::sync::LazyLock;

use hashlab_store::{RunDir, RunState};
use rustix::process::Signal;

use crate::findings::Findings;
use crate::lab::{FILE, Lab, PROGRAM, Started, TINY, files_named, signal_worker, until};

/// Long enough to be interrupted anywhere; about a second.
const LONG: &str = r#"dataset = "shapes"
bits = [16]
seeds = [0, 1]

[data]
items = 200
size = 16

[image]
image_size = 16
views = 4

[train]
epochs = 200
batch_size = 32
validate_every = 25

[[method]]
name = "itq"

[[method]]
name = "cibhash"
"#;

/// What an undisturbed sweep of [`LONG`] finds, one run after the other.
static UNDISTURBED: LazyLock<Findings> = LazyLock::new(|| {
    let lab = Lab::with(LONG);
    lab.ok(&["sweep", FILE, "--jobs", "1"]);
    Findings::of(&lab)
});

const SWEEP: [&str; 4] = ["sweep", FILE, "--jobs", "2"];

/// Whether the newest attempt at a run is number `attempt`, and `epochs` are in the journal.
pub(crate) fn at(run: &RunDir, attempt: usize, epochs: u64) -> bool {
    run.attempts().len() == attempt && run.metrics().last().map_or(0, |point| point.step) >= epochs
}

#[test]
fn runs_killed_at_several_moments_go_on() {
    let lab = Lab::with(LONG);
    let victim = &lab.runs_of("cibhash")[0];
    for (attempt, epochs) in [(1, 0), (2, 5), (3, 40)] {
        let sweep = lab.start(&[&SWEEP[..], &["--retries", "0"]].concat());
        until("an attempt of the victim", || at(victim, attempt, epochs));
        signal_worker(victim, Signal::KILL);
        let ended = sweep.end();
        assert_eq!(ended.code, Some(3), "{ended:#?}");
        assert!(ended.stderr.contains("FAILED after") && ended.stderr.contains("SIGKILL"), "{}", ended.stderr);
        assert!(ended.stdout.contains("killed by signal 9"), "{}", ended.stdout);
    }
    lab.ok(&SWEEP);
    assert_eq!(lab.attempts(), [1, 1, 4, 1], "one failure stops nothing else");
    assert_eq!(Findings::of(&lab), *UNDISTURBED);
}

/// As earlyoom or a colleague may do it: nobody stopped the sweep.
#[test]
fn a_run_terminated_from_outside_stops_nothing_else() {
    let lab = Lab::with(LONG);
    let victim = &lab.runs_of("cibhash")[0];
    let sweep = lab.start(&SWEEP);
    until("epochs of the victim", || at(victim, 1, 20));
    signal_worker(victim, Signal::TERM);
    let ended = sweep.end();
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains(&format!("{} INTERRUPTED after ", victim.id())), "{}", ended.stderr);
    assert!(ended.stderr.contains("received SIGTERM"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the same command resumes it"), "{}", ended.stderr);
    assert!(ended.stdout.contains("CIBHash, 16 bits: 1 missing of 2 runs"), "{}", ended.stdout);
    assert_eq!(victim.state(), RunState::Interrupted { checkpoint: true });
    assert_eq!(lab.attempts(), [1; 4], "the others are finished");
    lab.ok(&SWEEP);
    assert_eq!(lab.attempts(), [1, 1, 2, 1]);
    assert_eq!(Findings::of(&lab), *UNDISTURBED);
}

/// As an update does: every process of a sweep is the program that the sweep started with.
#[test]
fn a_program_replaced_during_a_sweep_is_not_used_by_it() {
    let lab = Lab::with(LONG);
    // Copied by another process: this one could pass the open file on to a child, and then nobody can start it.
    let copied = lab.command_of("cp", &[PROGRAM, "hashlab"]).status().unwrap();
    assert!(copied.success());
    lab.write("update", "#!/bin/sh\necho the new program >&2\n");
    assert!(lab.command_of("chmod", &["+x", "update"]).status().unwrap().success());
    let sweep = Started::of(lab.command_of(lab.path("hashlab"), &["sweep", FILE, "--jobs", "1"]));
    until("features are extracted", || !files_named(&lab.path("runs/cache"), "data.f32").is_empty());
    fs::rename(lab.path("update"), lab.path("hashlab")).unwrap();
    let ended = sweep.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(Findings::of(&lab), *UNDISTURBED);
}

#[test]
fn a_sweep_killed_at_several_moments_goes_on() {
    let lab = Lab::with(LONG);
    let cache = lab.path("runs/cache");
    let victim = &lab.runs_of("cibhash")[0];
    let moments: [(&str, &dyn Fn() -> bool); 4] = [
        ("features are extracted", &|| !files_named(&cache, "data.f32").is_empty()),
        ("a run has begun", &|| at(victim, 1, 0)),
        ("epochs are done", &|| at(victim, 2, 5)),
        ("more epochs are done", &|| at(victim, 3, 40)),
    ];
    for (what, moment) in moments {
        let sweep = lab.start(&SWEEP);
        until(what, moment);
        sweep.kill();
        // Its processes die with it: nothing goes on behind the user's back.
        until("the runs are let go", || lab.runs().iter().all(|run| run.state() != RunState::Running));
        assert_eq!(victim.result(), None);
    }
    lab.ok(&SWEEP);
    assert_eq!(victim.attempts().len(), 4);
    assert_eq!(Findings::of(&lab), *UNDISTURBED);
}

#[test]
fn ctrl_c_leaves_checkpoints_to_go_on_from() {
    let lab = Lab::with(LONG);
    let victims = lab.runs_of("cibhash");
    let mut sweep = lab.start(&SWEEP);
    until("epochs of both runs", || victims.iter().all(|run| at(run, 1, 20)));
    sweep.interrupt();
    let ended = sweep.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert!(
        ended.stderr.contains("stopping: 2 processes will end, with a checkpoint if in training"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("the same command resumes it"), "{}", ended.stderr);
    for run in &victims {
        assert_eq!(run.state(), RunState::Interrupted { checkpoint: true });
    }
    assert_eq!(lab.ok(&["plan", FILE]).matches("  interrupted  ").count(), 2);

    // Killed on the way from its checkpoint, a run goes on from there once more.
    let reached = victims[0].metrics().last().unwrap().step;
    let sweep = lab.start(&SWEEP);
    until("epochs after the checkpoint", || at(&victims[0], 2, reached + 20));
    sweep.kill();
    until("the runs are let go", || victims.iter().all(|run| run.state() != RunState::Running));
    lab.ok(&SWEEP);

    let log = fs::read_to_string(victims[0].log_path()).unwrap();
    assert_eq!(log.matches("epoch done epoch=1 ").count(), 1, "it never started anew: {log}");
    assert!(victims.iter().all(|run| run.read_checkpoint().is_none()), "a result ends the need for one");
    assert_eq!(Findings::of(&lab), *UNDISTURBED);
}

/// A fit is one call, and keeps no checkpoint.
#[test]
fn a_fit_ends_at_a_request_to_stop() {
    let endless = LONG.split("[[method]]").next().unwrap().replace("seeds = [0, 1]", "seeds = [0]");
    let endless = endless + "[[method]]\nname = \"itq\"\nparams = { iterations = 1_000_000 }\n";
    let lab = Lab::with(&endless);
    let run = &lab.runs_of("itq")[0];
    let mut sweep = lab.start(&SWEEP);
    until("the fit has begun", || run.state() == RunState::Running);
    sweep.interrupt();
    let ended = sweep.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert_eq!(run.state(), RunState::Interrupted { checkpoint: false });
}

/// A parent that ignores the end of children hands that on.
#[test]
fn a_sweep_sees_its_children_end_whatever_its_parent_ignored() {
    let lab = Lab::with(TINY);
    let script = format!("trap '' CHLD; exec {PROGRAM} sweep {FILE}");
    let ended = lab.command_of("timeout", &["100", "sh", "-c", &script]).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn the_number_of_jobs_changes_no_bit() {
    let lab = Lab::with(LONG);
    lab.ok(&["sweep", FILE, "--jobs", "3"]);
    assert_eq!(Findings::of(&lab), *UNDISTURBED);
}

/// As a scheduler would: one process per prepared run, with as many threads as it likes.
#[test]
fn runs_executed_without_a_sweep_find_the_same() {
    let lab = Lab::with(LONG);
    for (run, other) in lab.runs().iter().zip(&UNDISTURBED.runs) {
        run.prepare(&other.config).unwrap();
        let executed = lab.command(&["worker", &run.id().0]).env("RAYON_NUM_THREADS", "3").output().unwrap();
        assert!(executed.status.success(), "{executed:?}");
    }
    lab.ok(&SWEEP);
    assert_eq!(lab.attempts(), [1; 4], "the sweep finds nothing to do");
    assert_eq!(Findings::of(&lab), *UNDISTURBED);
}
