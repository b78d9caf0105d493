//! Outcomes of runs with every kind of end.

use std::collections::BTreeMap;

use std::sync::Arc;
use std::time::Duration;

use hashlab_exec::Event;
use hashlab_exec::{
    Completion, ExecEvent, JobGraph, Limits, LocalExecutor, LocalOptions, Outcome, Program, ResultSummary,
};
use hashlab_store::RunState;

use crate::roles::{
    STEPS, assert_undisturbed, execute, execute_on, gate, graph, job, jobs, local, message, open_gate, outcomes, pack,
    runs, stage,
};

#[test]
fn one_failure_stops_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let behaviors = ["trains", "exits", "panics", "aborts", "vanishes", "records", "trains"];
    let mut jobs = jobs(root.path(), &behaviors);
    let mut missing = job(root.path(), 7, "trains");
    Arc::make_mut(&mut missing.command).program = Program::path("/no/such/program");
    jobs.push(missing);

    let summary = execute(jobs, |_| {});
    let outcomes = outcomes(&summary);
    assert_eq!((summary.failed(), summary.unfinished()), (6, 0));
    assert!(matches!(outcomes[0], Outcome::Finished(_)) && matches!(outcomes[6], Outcome::Finished(_)));
    let first_lines = outcomes[1..6].iter().chain(&outcomes[7..]).map(|o| message(o).lines().next().unwrap());
    let expected = [
        "exited with code 7: out of luck",
        "panicked at ",
        "killed by signal 6 (SIGABRT)",
        "ended without a result",
        "no such file",
        "cannot start `/no/such/program`: ",
    ];
    for (line, expected) in first_lines.zip(expected) {
        assert!(line.starts_with(expected), "expected {expected:?}, got {line:?}");
    }
    assert!(message(outcomes[1]).contains("\nthe log ends:\n"), "{}", message(outcomes[1]));
    assert!(message(outcomes[2]).ends_with(": the cache is full"), "{}", message(outcomes[2]));

    // The directories agree.
    for (run, outcome) in runs(root.path(), 8).iter().zip(outcomes) {
        match (run.state(), outcome) {
            (RunState::Finished(kept), Outcome::Finished(result)) => assert_eq!(ResultSummary::from(&*kept), *result),
            (RunState::Failed(kept), Outcome::Failed { message }) => assert_eq!(kept.message, *message),
            (state, outcome) => panic!("{state:?} but {outcome:?}"),
        }
    }
}

#[test]
fn failed_runs_are_tried_again_and_finished_ones_are_not() {
    let root = tempfile::tempdir().unwrap();
    execute(jobs(root.path(), &["trains", "records", "finishes-then-aborts"]), |_| {});
    let mut begun = None;
    let summary = execute(jobs(root.path(), &["trains", "trains", "trains"]), |event| {
        if let ExecEvent::Begin { done, .. } = event {
            begun = Some(done.iter().map(|(id, _)| id.index()).collect::<Vec<_>>());
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
    execute(vec![job(root.path(), 0, "records")], |_| {});
    // This process dies before it claims its run, and so before it removes the old record.
    let mut dies_early = job(root.path(), 0, "trains");
    Arc::make_mut(&mut dies_early.command).env.clear();
    let summary = execute(vec![dies_early], |_| {});
    assert_eq!(message(outcomes(&summary)[0]).lines().next().unwrap(), "ended without a result");
    assert_eq!(runs(root.path(), 1)[0].failure().unwrap().message, message(outcomes(&summary)[0]));
}

#[test]
fn children_tell_what_they_do_and_the_rest_is_logged() {
    let root = tempfile::tempdir().unwrap();
    let mut epochs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut running = 0_usize;
    let mut most = 0;
    execute(jobs(root.path(), &["trains"; 5]), |event| match event {
        ExecEvent::Progress { id, event: Event::Epoch { epoch, .. }, .. } => {
            epochs.entry(id.index()).or_default().push(*epoch);
        }
        ExecEvent::Started { .. } => {
            running += 1;
            most = most.max(running);
        }
        ExecEvent::Ended { .. } => running -= 1,
        _ => {}
    });
    let all: Vec<usize> = (1..=STEPS as usize).collect();
    assert_eq!(epochs, (0..5).map(|job| (job, all.clone())).collect(), "nothing is lost at the end");
    assert!(most <= 2, "{most} at once, asked for 2");
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
    let summary = execute(jobs, |_| {});
    assert!(matches!(outcomes(&summary)[0], Outcome::Finished(_)));
    assert!(message(outcomes(&summary)[1]).starts_with("exited with code 7"));
}

#[test]
fn a_stage_is_done_if_its_process_says_so() {
    let root = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    let summary = execute(vec![stage(root.path(), "stage"), stage(root.path(), "bad-stage")], |event| {
        if let ExecEvent::Progress { event: Event::Stage { done, .. }, .. } = event {
            images.push(*done);
        }
    });
    assert_eq!(images, [1, 2]);
    assert_eq!(*outcomes(&summary)[0], Outcome::StageDone);
    assert_eq!(message(outcomes(&summary)[1]).lines().next().unwrap(), "exited with code 1: no images");
}

#[test]
fn a_failed_stage_fails_only_the_runs_that_need_it() {
    let root = tempfile::tempdir().unwrap();
    let mut graph = JobGraph::new();
    let good = graph.add(stage(root.path(), "stage"), &[]);
    let bad = graph.add(stage(root.path(), "bad-stage"), &[]);
    let jobs = jobs(root.path(), &["trains"; 3]);
    let ids: Vec<_> = jobs.into_iter().zip([good, bad, bad]).map(|(job, need)| graph.add(job, &[need])).collect();
    let mut dropped = Vec::new();
    let summary = execute_on(&graph, &mut local(2), |event| {
        if let ExecEvent::Dropped { id, runs, .. } = event {
            dropped.push((id, runs));
        }
    });
    assert_eq!(dropped, [(bad, 2)]);
    assert_eq!(summary.completion(), Completion::Incomplete);
    assert!(matches!(summary.of(ids[0])[0], Outcome::Finished(_)));
    for (id, run) in ids[1..].iter().zip(&runs(root.path(), 3)[1..]) {
        assert_eq!(message(&summary.of(*id)[0]), "its features failed: exited with code 1: no images");
        assert_eq!(run.failure().unwrap().message, message(&summary.of(*id)[0]));
        assert_eq!(run.attempts().len(), 0);
    }
}

/// The disk is full: the log is empty, and no record can be written. The pipe still works.
#[test]
#[cfg(target_os = "linux")]
fn a_reason_arrives_over_the_pipe_when_nothing_can_be_written() {
    let root = tempfile::tempdir().unwrap();
    let mut full = stage(root.path(), "telling-stage");
    full.log = std::path::Path::new("/dev/full").into();
    let mut nowhere = stage(root.path(), "telling-stage");
    nowhere.log = std::path::Path::new("/proc/none/features.log").into();
    let run = job(root.path(), 0, "tells");
    std::os::unix::fs::symlink("/dev/full", &run.log).unwrap();
    let summary = execute(vec![full, nowhere, run], |_| {});
    let said: Vec<&str> = outcomes(&summary).into_iter().map(message).collect();
    let stage = "no space left for features\nhelp: free some";
    assert_eq!(said, [stage, stage, "no space left for the result\nhelp: free some"]);
}

#[test]
fn a_lack_of_memory_names_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    let summary = execute(vec![job(root.path(), 0, "runs-out-of-memory")], |_| {});
    let expected = "killed by signal 6 (SIGABRT): memory allocation of 131072 bytes failed\n\
                    help: fewer runs at once: --jobs 1\n";
    assert!(message(outcomes(&summary)[0]).starts_with(expected), "{}", message(outcomes(&summary)[0]));
}

#[test]
fn runs_of_one_process_have_their_own_outcomes() {
    let root = tempfile::tempdir().unwrap();
    let runs = runs(root.path(), 4);
    // The first was finished before; another process holds the second and releases it later.
    execute(vec![job(root.path(), 0, "trains")], |_| {});
    let mut held = runs[1].try_claim().unwrap();
    let mut ended = Vec::new();
    let summary = execute_on(&graph_of(pack(root.path(), 4, "trains")), &mut local(2), |event| match event {
        ExecEvent::Ended { part, .. } => ended.push(part),
        ExecEvent::Exited { .. } => drop(held.take()),
        _ => {}
    });
    assert!(summary.outcomes[0].iter().all(Outcome::is_success), "{summary:?}");
    assert_eq!(ended, [2, 3, 1]);
    assert_eq!(runs.iter().map(|run| run.attempts().len()).collect::<Vec<_>>(), [1, 2, 1, 1]);
    assert_undisturbed(&runs);
}

#[test]
fn a_crash_costs_only_the_runs_that_had_begun() {
    let root = tempfile::tempdir().unwrap();
    let summary = execute_on(&graph_of(pack(root.path(), 3, "aborts")), &mut local(2), |_| {});
    assert!(summary.outcomes[0].iter().all(|outcome| message(outcome).starts_with("killed by signal 6")));
    let attempts: Vec<usize> = runs(root.path(), 3).iter().map(|run| run.attempts().len()).collect();
    assert_eq!(attempts, [1; 3], "each had its own process");
}

fn graph_of(job: hashlab_exec::Job) -> JobGraph {
    crate::roles::graph(vec![job])
}

#[test]
fn runs_at_once_are_divided_among_gpus() {
    let root = tempfile::tempdir().unwrap();
    let gpus = vec!["3".to_owned(), "GPU-7f".to_owned()];
    let jobs_at_once = std::num::NonZeroUsize::new(4);
    let options = LocalOptions { jobs: jobs_at_once, gpu: true, gpus, ..LocalOptions::default() };
    let mut executor = LocalExecutor::new(options);
    // Each waits until all four have begun.
    let summary = execute_on(&graph(jobs(root.path(), &["sees-gpu"; 4])), &mut executor, |_| {});
    assert_eq!(summary.completion(), Completion::Complete);
    let seen = runs(root.path(), 4).into_iter().map(|run| root.path().join(format!("{}.gpu", run.id())));
    let mut seen: Vec<String> = seen.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    seen.sort();
    assert_eq!(seen, ["3", "3", "GPU-7f", "GPU-7f"]);
}

#[test]
fn a_run_on_several_gpus_sees_as_many() {
    let root = tempfile::tempdir().unwrap();
    let gpus = ["3", "GPU-7f", "5"].map(str::to_owned).to_vec();
    let mut executor = LocalExecutor::new(LocalOptions { gpu: true, gpus, ..LocalOptions::default() });
    let job = job(root.path(), 0, "sees-gpus").on_all_cores().with_gpus(2);
    let summary = execute_on(&graph(vec![job]), &mut executor, |_| {});
    assert_eq!(summary.completion(), Completion::Complete);
    let seen = root.path().join(format!("{}.gpu", runs(root.path(), 1)[0].id()));
    assert_eq!(std::fs::read_to_string(seen).unwrap(), "3,GPU-7f");
}

#[test]
fn a_run_that_exceeds_a_limit_fails_and_keeps_its_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let limited = |limits| LocalExecutor::new(LocalOptions { limits, ..LocalOptions::default() });
    let time = Limits { time: Some(Duration::from_millis(300)), memory: None };
    // It waits at a gate that nobody opens, and leaves a checkpoint when it is asked to stop.
    let summary = execute_on(&graph(vec![job(root.path(), 0, "gated")]), &mut limited(time), |_| {});
    let outcomes = outcomes(&summary);
    assert!(message(outcomes[0]).starts_with("took longer than its limit of 0.3 s"), "{outcomes:?}");
    let run = &runs(root.path(), 1)[0];
    assert!(matches!(run.state(), RunState::Failed(_)) && run.read_checkpoint().is_some());

    let memory = Limits { time: None, memory: Some(1 << 10) };
    let summary = execute_on(&graph(vec![job(root.path(), 1, "gated")]), &mut limited(memory), |_| {});
    assert!(message(&summary.outcomes[0][0]).contains("MiB of memory, more than its limit"), "{summary:?}");

    // Without a limit it goes on from its checkpoint.
    open_gate(&gate(root.path()));
    let summary = execute(vec![job(root.path(), 0, "gated")], |_| {});
    assert_eq!(summary.completion(), Completion::Complete);
    assert_undisturbed(&runs(root.path(), 1));
}
