//! Runs that another process holds.

use hashlab_exec::{ExecEvent, Outcome};
use hashlab_store::RunState;

use crate::fixture::result;
use crate::roles::{
    Sweep, assert_undisturbed, at_gate, eventually, execute, gate, job, jobs, open_gate, outcomes, runs,
};

#[test]
fn a_held_run_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let jobs = jobs(root.path(), &["trains"; 4]);
    let runs = runs(root.path(), 4);
    let mut claims: Vec<_> = runs[..3].iter().map(|run| run.try_claim().unwrap()).collect();
    // After each was found to be held: the first is finished, the second fails, the third is released.
    let summary = execute(jobs, |event| {
        if let ExecEvent::Waiting { id, .. } = event {
            let claim = claims[id.index()].take().expect("it is seen once");
            match id.index() {
                0 => claim.finish(&result(runs[0].id(), 0.125)).unwrap(),
                1 => claim.fail("elsewhere").unwrap(),
                _ => drop(claim),
            }
        }
    });
    assert_eq!(*outcomes(&summary)[0], Outcome::from(&result(runs[0].id(), 0.125)));
    assert_eq!(*outcomes(&summary)[1], Outcome::Failed { message: "elsewhere".into() });
    assert!(matches!(outcomes(&summary)[2], Outcome::Finished(_)));
    assert!(matches!(outcomes(&summary)[3], Outcome::Finished(_)));
    assert_eq!(runs.iter().map(|run| run.attempts().len()).collect::<Vec<_>>(), [1, 1, 2, 1]);
}

#[test]
fn a_process_that_finds_its_run_held_is_started_again() {
    let root = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    let summary = execute(vec![job(root.path(), 0, "declines-once")], |event| match event {
        ExecEvent::Waiting { .. } => seen.push("waiting"),
        ExecEvent::Started { .. } => seen.push("started"),
        _ => {}
    });
    assert_eq!(seen, ["waiting", "started"], "what finds nothing to do has not started");
    assert!(matches!(outcomes(&summary)[0], Outcome::Finished(_)));
}

#[test]
fn two_sweeps_share_the_runs() {
    let root = tempfile::tempdir().unwrap();
    let behaviors = ["trains", "gated", "trains", "trains", "gated", "trains"];
    let runs = runs(root.path(), 6);
    let mut first = Sweep::start(root.path(), &behaviors);
    eventually("a run waits at the gate", || at_gate(&runs[1]));
    let mut second = Sweep::start(root.path(), &behaviors);
    eventually("both gated runs wait", || at_gate(&runs[1]) && at_gate(&runs[4]));
    eventually("the others are finished", || {
        [0, 2, 3, 5].iter().all(|run| matches!(runs[*run].state(), RunState::Finished(_)))
    });
    open_gate(&gate(root.path()));
    assert_eq!((first.wait(), second.wait()), (Some(0), Some(0)));
    for run in &runs {
        assert_eq!(run.attempts().len(), 1, "{}", run.id());
    }
    assert_undisturbed(&runs);
}
