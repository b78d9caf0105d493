//! What becomes of runs that end in every way.

use std::collections::BTreeMap;

use hashlab_engine::exec::{News, Outcome, PoolOptions};
use hashlab_engine::store::RunState;
use hashlab_engine::{Event, exec};

use crate::roles::{STEPS, assert_undisturbed, execute, job, jobs, runs, stage};

fn message(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_failure_stops_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let behaviours = ["trains", "exits", "panics", "aborts", "vanishes", "records", "trains"];
    let mut jobs = jobs(root.path(), &behaviours);
    let mut missing = job(root.path(), 7, "trains");
    missing.command.program = "/no/such/program".into();
    jobs.push(missing);

    let summary = execute(&jobs, |_| {});
    let outcomes = &summary.outcomes;
    assert_eq!((summary.failed(), summary.unfinished()), (6, 0));
    assert!(matches!(outcomes[0], Outcome::Finished(_)) && matches!(outcomes[6], Outcome::Finished(_)));
    let first_lines = outcomes[1..6].iter().chain(&outcomes[7..]).map(|o| message(o).lines().next().unwrap());
    let expected = [
        "exited with code 7: out of luck",
        "exited with code 101: panicked at ",
        "killed by signal 6 (SIGABRT)",
        "ended without a result",
        "no such bank",
        "cannot start `/no/such/program`: ",
    ];
    for (line, expected) in first_lines.zip(expected) {
        assert!(line.starts_with(expected), "expected {expected:?}, got {line:?}");
    }
    assert!(message(&outcomes[1]).contains("\nthe log ends:\n"), "{}", message(&outcomes[1]));
    assert!(message(&outcomes[2]).contains("the bank is short"));

    // The directories tell the same.
    for (run, outcome) in runs(root.path(), 8).iter().zip(outcomes) {
        match (run.state(), outcome) {
            (RunState::Finished(kept), Outcome::Finished(result)) => assert_eq!(kept, *result),
            (RunState::Failed(kept), Outcome::Failed { message }) => assert_eq!(kept.message, *message),
            (state, outcome) => panic!("{state:?} but {outcome:?}"),
        }
    }
}

#[test]
fn failed_runs_are_tried_again_and_finished_ones_are_not() {
    let root = tempfile::tempdir().unwrap();
    execute(&jobs(root.path(), &["trains", "records", "finishes-then-aborts"]), |_| {});
    let mut begun = None;
    let summary = execute(&jobs(root.path(), &["trains", "trains", "trains"]), |news| {
        if let News::Begin { done, .. } = news {
            begun = Some(done.to_vec());
        }
    });
    assert_eq!(begun.unwrap(), [0, 2], "a result counts, however its process ended");
    assert_eq!((summary.failed(), summary.unfinished()), (0, 0));
    let attempts: Vec<usize> = runs(root.path(), 3).iter().map(|run| run.attempts().len()).collect();
    assert_eq!(attempts, [1, 2, 1]);
    assert_undisturbed(&runs(root.path(), 2));
}

#[test]
fn a_stale_failure_is_not_taken_for_a_new_one() {
    let root = tempfile::tempdir().unwrap();
    execute(&[job(root.path(), 0, "records")], |_| {});
    // This process dies before it claims its run, and so before it removes the old record.
    let mut dies_early = job(root.path(), 0, "trains");
    dies_early.command.env.clear();
    let summary = execute(&[dies_early], |_| {});
    assert_eq!(message(&summary.outcomes[0]).lines().next().unwrap(), "ended without a result");
    assert_eq!(runs(root.path(), 1)[0].failure().unwrap().message, message(&summary.outcomes[0]));
}

#[test]
fn children_tell_what_they_do_and_the_rest_is_logged() {
    let root = tempfile::tempdir().unwrap();
    let mut epochs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut running = 0_usize;
    let mut most = 0;
    execute(&jobs(root.path(), &["trains"; 5]), |news| match news {
        News::Told { job, event: Event::Epoch { epoch, .. } } => epochs.entry(job).or_default().push(*epoch),
        News::Started { .. } => {
            running += 1;
            most = most.max(running);
        }
        News::Ended { .. } => running -= 1,
        _ => {}
    });
    let all: Vec<usize> = (1..=STEPS as usize).collect();
    assert_eq!(epochs, (0..5).map(|job| (job, all.clone())).collect(), "nothing is lost at the end");
    assert_eq!(most, 2, "no more at once than asked for");
    let log = std::fs::read_to_string(runs(root.path(), 1)[0].log_path()).unwrap();
    assert!(log.contains("running 1 test") && !log.contains("epoch"), "{log}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_that_cannot_be_written_does_not_stop_its_run() {
    let root = tempfile::tempdir().unwrap();
    let jobs = jobs(root.path(), &["trains", "exits"]);
    for job in &jobs {
        std::os::unix::fs::symlink("/dev/full", &job.log).unwrap();
    }
    let summary = execute(&jobs, |_| {});
    assert!(matches!(summary.outcomes[0], Outcome::Finished(_)));
    assert!(message(&summary.outcomes[1]).starts_with("exited with code 7"));
}

#[test]
fn a_stage_is_done_if_its_process_says_so() {
    let root = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    let summary = execute(&[stage(root.path(), "stage"), stage(root.path(), "bad-stage")], |news| {
        if let News::Told { job: 0, event: Event::Stage { done, .. } } = news {
            images.push(*done);
        }
    });
    assert_eq!(images, [1, 2]);
    assert_eq!(summary.outcomes[0], Outcome::StageDone);
    assert_eq!(message(&summary.outcomes[1]).lines().next().unwrap(), "exited with code 1: no images");
}

#[test]
fn the_default_pool_fits_the_cores() {
    let cores = std::thread::available_parallelism().unwrap();
    let PoolOptions { parallel, threads_per_job } = exec::PoolOptions::default();
    assert_eq!((parallel, threads_per_job.get()), (cores, 1));
}
