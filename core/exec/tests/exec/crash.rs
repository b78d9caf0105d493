//! Ctrl-C and `kill -9`, and the same command again.

use hashlab_exec::Event;
use hashlab_exec::{ExecEvent, Outcome};
use hashlab_store::{RunDir, RunState};
use rustix::process::Signal;

use crate::roles::{
    STOPPED, Sweep, assert_undisturbed, at_gate, eventually, execute, gate, job, open_gate, outcomes, runs, signal_run,
};

const GATED: [&str; 4] = ["trains", "gated", "gated", "trains"];

/// Starts a sweep and waits until its two gated runs wait and its first is finished.
fn sweep_at_gate(root: &std::path::Path) -> (Sweep, Vec<RunDir>) {
    let runs = runs(root, 4);
    let sweep = Sweep::start(root, &GATED);
    eventually("the gated runs wait", || at_gate(&runs[1]) && at_gate(&runs[2]));
    assert!(matches!(runs[0].state(), RunState::Finished(_)));
    (sweep, runs)
}

/// Runs the same command again, undisturbed.
fn run_again(root: &std::path::Path, runs: &[RunDir]) {
    open_gate(&gate(root));
    let mut sweep = Sweep::start(root, &GATED);
    assert_eq!(sweep.wait(), Some(0), "{}", sweep.printed());
    assert_eq!(runs.iter().map(|run| run.attempts().len()).collect::<Vec<_>>(), [1, 2, 2, 1], "finished runs stay");
    assert_undisturbed(runs);
}

#[test]
fn a_killed_run_fails_and_goes_on_next_time() {
    let root = tempfile::tempdir().unwrap();
    let run = &runs(root.path(), 1)[0];
    let summary = execute(vec![job(root.path(), 0, "gated")], |event| {
        if let ExecEvent::Progress { event: Event::Epoch { epoch: 5, .. }, .. } = event {
            signal_run(run, Signal::KILL);
        }
    });
    let Outcome::Failed { message } = outcomes(&summary)[0] else { panic!("{summary:?}") };
    assert!(message.starts_with("killed by signal 9 (SIGKILL)"), "{message}");
    assert_eq!(&run.failure().unwrap().message, message);

    execute(vec![job(root.path(), 0, "trains")], |_| {});
    assert_undisturbed(std::slice::from_ref(run));
}

#[test]
fn a_killed_sweep_takes_its_children_along() {
    let root = tempfile::tempdir().unwrap();
    let (mut sweep, runs) = sweep_at_gate(root.path());
    sweep.signal(Signal::KILL);
    assert_eq!(sweep.wait(), None);
    eventually("the children are gone", || runs.iter().all(|run| run.state() != RunState::Running));
    for run in &runs[1..3] {
        assert_eq!(run.state(), RunState::Interrupted { checkpoint: true });
        assert_eq!(run.read_checkpoint().unwrap()[0], 6, "killed at step 7, they resume from step 6");
    }
    assert_eq!(runs[3].state(), RunState::Missing);
    run_again(root.path(), &runs);
}

#[test]
fn ctrl_c_lets_runs_write_checkpoints() {
    let root = tempfile::tempdir().unwrap();
    let (mut sweep, runs) = sweep_at_gate(root.path());
    sweep.signal(Signal::INT);
    assert_eq!(sweep.wait(), Some(STOPPED));
    assert!(sweep.printed().contains("stopping: 2 processes"), "{}", sweep.printed());
    for run in &runs[1..3] {
        assert_eq!(run.state(), RunState::Interrupted { checkpoint: true });
        // Not the checkpoint of step 6, but one written on request.
        assert_eq!(run.read_checkpoint().unwrap()[0], 7);
    }
    assert_eq!(runs[3].state(), RunState::Missing, "nothing is started any more");
    run_again(root.path(), &runs);
}

#[test]
fn ctrl_c_twice_stops_at_once() {
    let root = tempfile::tempdir().unwrap();
    let runs = runs(root.path(), 2);
    let mut sweep = Sweep::start(root.path(), &["stubborn", "stubborn"]);
    eventually("both run", || runs.iter().all(|run| run.state() == RunState::Running));
    sweep.signal(Signal::INT);
    eventually("the first is carried out", || sweep.printed().contains("stopping: 2 processes"));
    assert!(runs.iter().all(|run| run.state() == RunState::Running), "deaf children run on");
    sweep.signal(Signal::INT);
    assert_eq!(sweep.wait(), Some(STOPPED));
    for run in &runs {
        assert_eq!(run.state(), RunState::Interrupted { checkpoint: false }, "killed, which is no failure");
    }
}
