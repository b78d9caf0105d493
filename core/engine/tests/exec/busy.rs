//! Runs that another process holds.

use hashlab_engine::exec::{News, Outcome};
use hashlab_engine::store::RunState;

use crate::fixture::result;
use crate::roles::{Sweep, assert_undisturbed, at_gate, eventually, execute, gate, job, jobs, open_gate, runs};

#[test]
fn a_held_run_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let jobs = jobs(root.path(), &["trains"; 4]);
    let runs = runs(root.path(), 4);
    let mut claims: Vec<_> = runs[..3].iter().map(|run| run.try_claim().unwrap()).collect();
    // Once each is seen to be held: the first is finished, the second fails, the third is given up.
    let summary = execute(&jobs, |news| {
        if let News::Waiting { job } = news {
            let claim = claims[job].take().expect("it is seen once");
            match job {
                0 => claim.finish(&result(runs[0].id(), 0.125)).unwrap(),
                1 => claim.fail("elsewhere").unwrap(),
                _ => drop(claim),
            }
        }
    });
    assert_eq!(summary.outcomes[0], Outcome::Finished(Box::new(result(runs[0].id(), 0.125))));
    assert_eq!(summary.outcomes[1], Outcome::Failed { message: "elsewhere".into() });
    assert!(matches!(summary.outcomes[2], Outcome::Finished(_)));
    assert!(matches!(summary.outcomes[3], Outcome::Finished(_)));
    assert_eq!(runs.iter().map(|run| run.attempts().len()).collect::<Vec<_>>(), [1, 1, 2, 1]);
}

#[test]
fn a_process_that_finds_its_run_held_is_started_again() {
    let root = tempfile::tempdir().unwrap();
    let mut waited = 0;
    let summary = execute(&[job(root.path(), 0, "declines-once")], |news| {
        waited += usize::from(matches!(news, News::Waiting { .. }));
    });
    assert_eq!(waited, 1);
    assert!(matches!(summary.outcomes[0], Outcome::Finished(_)));
}

#[test]
fn two_sweeps_share_the_runs() {
    let root = tempfile::tempdir().unwrap();
    let behaviours = ["trains", "gated", "trains", "trains", "gated", "trains"];
    let runs = runs(root.path(), 6);
    let mut first = Sweep::start(root.path(), &behaviours);
    eventually("a run waits at the gate", || at_gate(&runs[1]));
    let mut second = Sweep::start(root.path(), &behaviours);
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
