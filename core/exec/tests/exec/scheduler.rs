//! The scheduler alone, with scripted jobs in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use hashlab_exec::Event;
use hashlab_exec::{
    CommandLine, Completion, ExecEvent, Execution, Exit, FakeExecutor, Job, JobGraph, Outcome, Program, Quiet,
    Scheduler, Script, StopRequests, Summary, Urgency,
};
use hashlab_store::{RunDir, RunState, Store};

use crate::fixture::{config, prepared, result};
use crate::roles::{OnEvent, execute_on, here, message};

pub(crate) fn command() -> CommandLine {
    CommandLine { program: Program::path("true"), args: vec![], env: vec![] }
}

pub(crate) fn stage(title: &str) -> Job {
    Job::stage("features", title, "features.log", command())
}

/// A run, prepared.
fn run(root: &std::path::Path, seed: u64) -> Job {
    Job::run(prepared(&Store::open(root), seed), "nsh", "mAP", command())
}

/// Writes the results of runs.
pub(crate) fn finish(runs: &[RunDir]) {
    for run in runs {
        run.try_claim().unwrap().expect("nobody holds it").finish(&result(run.id(), 0.5)).unwrap();
    }
}

fn submitted(executor: &FakeExecutor) -> Vec<&str> {
    executor.submitted().iter().map(|title| &**title).collect()
}

fn schedule(graph: &JobGraph, executor: &mut FakeExecutor) -> Summary {
    Scheduler::new(graph, executor, &mut Quiet, StopRequests::new()).run()
}

fn unknown() -> Script {
    Script::ending(Exit::Unknown { message: "not in the queue".into() })
}

#[test]
fn ready_jobs_start_in_the_order_of_the_graph_and_a_large_one_is_not_overtaken() {
    let mut graph = JobGraph::new();
    let small = |title: &str| {
        let mut job = stage(title);
        job.cores = hashlab_exec::Cores::One;
        job
    };
    graph.add(small("a"), &[]);
    let b = graph.add(small("b"), &[]);
    graph.add(small("after b"), &[b]);
    graph.add(stage("large"), &[]);
    graph.add(small("c"), &[]);
    let mut executor = FakeExecutor::new(2);
    executor.script("a", Script::done().after(Duration::from_secs(9)));
    let summary = schedule(&graph, &mut executor);
    assert_eq!(summary.completion(), Completion::Complete);
    assert_eq!(submitted(&executor), ["a", "b", "after b", "large", "c"]);
    assert_eq!(executor.now(), Duration::from_secs(11), "`large` waits for `a`");
}

#[test]
fn a_job_that_cannot_be_submitted_fails_what_needs_it() {
    let mut graph = JobGraph::new();
    let bad = graph.add(stage("bad"), &[]);
    let worse = graph.add(stage("worse"), &[bad]);
    let good = graph.add(stage("good"), &[]);
    let last = graph.add(stage("last"), &[worse, good]);
    let mut executor = FakeExecutor::new(1);
    executor.script("bad", Script::refused("no partition\nhelp: ask"));
    let summary = schedule(&graph, &mut executor);
    assert_eq!(submitted(&executor), ["bad", "good"]);
    assert_eq!(message(&summary.of(bad)[0]), "no partition\nhelp: ask");
    assert_eq!(message(&summary.of(last)[0]), "its features failed: its features failed: no partition");
    assert_eq!(summary.of(good), [Outcome::StageDone]);
}

#[test]
fn a_run_that_cannot_be_prepared_is_a_failed_run() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path());
    let mut graph = JobGraph::new();
    let ids: Vec<_> = (0..3)
        .map(|seed| graph.add(Job::run(store.run(&config(seed).id()).unwrap(), "nsh", "mAP", command()), &[]))
        .collect();
    // So is a stage that reads the configuration of one.
    let reader = graph.add(stage("reader").reading(store.run(&config(1).id()).unwrap()), &[]);
    // The configuration of the second was edited.
    let edited = store.run(&config(1).id()).unwrap();
    std::fs::create_dir_all(edited.path()).unwrap();
    std::fs::write(edited.path().join("config.json"), serde_json::to_vec(&config(7)).unwrap()).unwrap();

    let configs: BTreeMap<_, _> = (0..3).map(|seed| (config(seed).id(), config(seed))).collect();
    let mut executor = FakeExecutor::new(2);
    for seed in 0..3 {
        executor.script(&config(seed).id().0, Script::done().doing(finish));
    }
    let mut executions = Vec::new();
    let mut observer = OnEvent(|event: ExecEvent<'_>| {
        if let ExecEvent::Ended { id, execution, .. } = event {
            executions.push((id, execution));
        }
    });
    let summary = Scheduler::new(&graph, &mut executor, &mut observer, StopRequests::new())
        .prepare_runs(|dir| dir.prepare(&configs[dir.id()]).map_err(|error| error.to_string()))
        .run();
    assert!(summary.of(ids[0])[0].is_success() && summary.of(ids[2])[0].is_success(), "{summary:?}");
    assert!(message(&summary.of(ids[1])[0]).contains("is not what was written there"), "{summary:?}");
    assert_eq!(edited.failure().unwrap().message, message(&summary.of(ids[1])[0]));
    assert_eq!(message(&summary.of(reader)[0]), message(&summary.of(ids[1])[0]));
    assert_eq!(summary.completion(), Completion::Incomplete);
    let never = |id| (id, Execution::Never);
    assert_eq!(executions, [never(ids[1]), (ids[0], here(1)), (ids[2], here(1)), never(reader)]);
}

#[test]
fn a_stage_is_executed_only_for_runs_that_are_left() {
    let root = tempfile::tempdir().unwrap();
    finish(&[prepared(&Store::open(root.path()), 0)]);
    let mut graph = JobGraph::new();
    let (first, second) = (graph.add(stage("first"), &[]), graph.add(stage("second"), &[]));
    let through = graph.add(stage("through"), &[first]);
    graph.add(run(root.path(), 0), &[through]);
    graph.add(run(root.path(), 1), &[second]);
    let mut executor = FakeExecutor::new(1);
    executor.script(&config(1).id().0, Script::done().doing(finish));
    let mut begun = Vec::new();
    let summary = execute_on(&graph, &mut executor, |event| {
        if let ExecEvent::Begin { done, .. } = event {
            begun = done.iter().map(|(id, _)| id.index()).collect();
        }
    });
    assert_eq!(summary.completion(), Completion::Complete);
    assert_eq!(submitted(&executor), ["second", &config(1).id().0]);
    assert_eq!(begun, [3, 0, 2]);
}

#[test]
fn a_failure_that_names_a_run_is_that_runs() {
    let root = tempfile::tempdir().unwrap();
    let dirs: Vec<RunDir> = (0..2).map(|seed| prepared(&Store::open(root.path()), seed)).collect();
    let second = dirs[1].id().clone();
    let mut graph = JobGraph::new();
    let id = graph.add(Job::pack("pack", dirs, "nsh", "mAP", command()), &[]);
    let mut executor = FakeExecutor::new(1);
    let script = Script::failing("exited with code 1")
        .reporting(Event::Failed { run: Some(second), message: "no such file".into(), passing: None })
        .reporting(Event::failed("no device"));
    executor.script("pack", script);
    let summary = schedule(&graph, &mut executor);
    assert_eq!(summary.of(id).iter().map(message).collect::<Vec<_>>(), ["no device", "no such file"]);
}

#[test]
fn a_job_of_unknown_state_is_submitted_again() {
    let root = tempfile::tempdir().unwrap();
    let mut graph = JobGraph::new();
    let found = graph.add(stage("found"), &[]);
    let lost = graph.add(stage("lost"), &[]);
    let (finished, retried) = (graph.add(run(root.path(), 0), &[]), graph.add(run(root.path(), 1), &[]));
    let mut executor = FakeExecutor::new(1);
    executor.script("found", unknown());
    (0..9).for_each(|_| executor.script("lost", unknown()));
    executor.script(&config(0).id().0, unknown().doing(finish));
    executor.script(&config(1).id().0, unknown());
    executor.script(&config(1).id().0, Script::done().doing(finish));
    let summary = schedule(&graph, &mut executor);
    assert_eq!(summary.of(found), [Outcome::StageDone]);
    assert_eq!(summary.of(lost), [Outcome::Interrupted { reason: Some("not in the queue".into()) }]);
    assert!(summary.of(finished)[0].is_success(), "its directory says so");
    assert!(summary.of(retried)[0].is_success());
    let count = |title: &str| submitted(&executor).iter().filter(|other| **other == title).count();
    assert_eq!([count("found"), count("lost")], [2, 4]);
    assert_eq!([count(&config(0).id().0), count(&config(1).id().0)], [1, 2]);
}

#[test]
fn an_interrupted_stage_leaves_its_runs_for_the_next_sweep() {
    let root = tempfile::tempdir().unwrap();
    let mut graph = JobGraph::new();
    let stopped = graph.add(stage("stopped"), &[]);
    let left = graph.add(run(root.path(), 0), &[stopped]);
    let other = graph.add(stage("other"), &[]);
    let mut executor = FakeExecutor::new(1);
    executor.script("stopped", Script::ending(Exit::Interrupted { reason: "received SIGTERM".into() }));
    let summary = schedule(&graph, &mut executor);
    let reason = Some("its features stopped: received SIGTERM".to_owned());
    assert_eq!(summary.of(left), [Outcome::NotStarted { reason }]);
    assert_eq!(summary.of(other), [Outcome::StageDone]);
    assert_eq!(summary.completion(), Completion::Incomplete, "the user did not stop it");
    let interrupted = [("stopped".to_owned(), "received SIGTERM".to_owned())];
    assert_eq!(summary.interrupted(&graph), interrupted);
    assert_eq!(prepared(&Store::open(root.path()), 0).state(), RunState::Missing, "which is no failure");
}

/// No event comes over a pipe, as from a cluster.
#[test]
fn progress_is_read_from_journals() {
    let root = tempfile::tempdir().unwrap();
    let mut graph = JobGraph::new();
    graph.add(run(root.path(), 0).with_epochs(30), &[]);
    let dir = prepared(&Store::open(root.path()), 0);
    let claim = dir.try_claim().unwrap().unwrap();
    let mut journal = claim.journal(None).unwrap();
    journal.append(1, &BTreeMap::from([("loss".into(), 1.0)])).unwrap();
    drop(claim); // Written before the sweep, so it is no event.

    let mut executor = FakeExecutor::new(1);
    executor.script(&config(0).id().0, Script::done().after(Duration::from_secs(30)));
    let (mut ticks, mut events) = (0, Vec::new());
    execute_on(&graph, &mut executor, |event| match event {
        ExecEvent::Tick => {
            ticks += 1;
            if ticks == 8 {
                journal.append(2, &BTreeMap::from([("loss".into(), 0.5)])).unwrap();
                journal.append(2, &BTreeMap::from([("validation_map".into(), 0.25)])).unwrap();
            }
        }
        ExecEvent::Progress { event, .. } => events.push(event.clone()),
        _ => {}
    });
    let epoch = Event::Epoch { epoch: 2, epochs: 30, loss: 0.5, left: None };
    assert_eq!(events, [epoch, Event::Validation { epoch: 2, map: 0.25 }]);
}

#[test]
fn a_request_to_stop_ends_everything_once() {
    let graph = {
        let mut graph = JobGraph::new();
        let first = graph.add(stage("first"), &[]);
        graph.add(stage("second"), &[first]);
        graph.add(stage("third"), &[]);
        graph
    };
    for (deaf, urgencies, seconds) in [(false, 1, 2), (true, 1, 60), (true, 2, 4)] {
        let stop = StopRequests::new();
        let mut executor = FakeExecutor::new(1);
        let script = Script::done().after(Duration::from_secs(60));
        executor.script("first", if deaf { script.deaf() } else { script });
        let (mut ticks, mut ended) = (0, Vec::new());
        let mut observer = OnEvent(|event: ExecEvent<'_>| match event {
            ExecEvent::Tick => {
                ticks += 1;
                match ticks {
                    3 => stop.request(Urgency::Gently),
                    5 if urgencies == 2 => stop.request(Urgency::AtOnce),
                    _ => {}
                }
            }
            ExecEvent::Ended { id, .. } => ended.push(id.index()),
            _ => {}
        });
        let summary = Scheduler::new(&graph, &mut executor, &mut observer, stop.clone()).run();
        ended.sort_unstable();
        assert_eq!(ended, [0, 1, 2]);
        let first = &summary.outcomes[0][0];
        let deaf_until_done = deaf && urgencies == 1;
        let expected = if deaf_until_done { Outcome::StageDone } else { Outcome::Interrupted { reason: None } };
        assert_eq!(*first, expected);
        assert_eq!(
            summary.outcomes[1..],
            [[Outcome::NotStarted { reason: None }], [Outcome::NotStarted { reason: None }]]
        );
        assert_eq!(summary.completion(), Completion::Stopped);
        assert_eq!(executor.now(), Duration::from_secs(seconds));
    }
}

#[test]
fn a_stop_that_comes_too_late_does_not_count() {
    let mut graph = JobGraph::new();
    graph.add(stage("only"), &[]);
    let stop = StopRequests::new();
    let mut executor = FakeExecutor::new(1);
    executor.script("only", Script::done().deaf());
    let mut observer = OnEvent(|event: ExecEvent<'_>| {
        if let ExecEvent::Started { .. } = event {
            stop.request(Urgency::Gently);
        }
    });
    let summary = Scheduler::new(&graph, &mut executor, &mut observer, stop.clone()).run();
    assert_eq!(summary.completion(), Completion::Complete);
}

#[test]
fn runs_whose_features_failed_here_may_finish_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let mut graph = JobGraph::new();
    let bad = graph.add(stage("bad"), &[]);
    let ids = [0, 1].map(|seed| graph.add(run(root.path(), seed), &[bad]));
    let dirs = [0, 1].map(|seed| prepared(&Store::open(root.path()), seed));
    let mut claims = dirs.clone().map(|dir| dir.try_claim().unwrap());
    let mut executor = FakeExecutor::new(1);
    executor.script("bad", Script::failing("no images"));
    let summary = execute_on(&graph, &mut executor, |event| {
        if let ExecEvent::Waiting { id, .. } = event {
            let claim = claims[id.index() - 1].take().expect("reported once");
            if id == ids[0] { claim.finish(&result(dirs[0].id(), 0.5)).unwrap() } else { drop(claim) }
        }
    });
    assert!(summary.of(ids[0])[0].is_success());
    assert_eq!(message(&summary.of(ids[1])[0]), "its features failed: no images");
    assert_eq!(dirs[1].failure().unwrap().message, "its features failed: no images");
}

#[test]
fn a_large_graph_is_scheduled_at_once() {
    let mut graph = JobGraph::new();
    let first = graph.add(stage("first"), &[]);
    for at in 0..20_000 {
        graph.add(stage(&at.to_string()), &[first]);
    }
    let mut executor = FakeExecutor::new(8);
    executor.script("first", Script::failing("no images"));
    let summary = schedule(&graph, &mut executor);
    assert_eq!((summary.failed(), executor.submitted().len()), (20_001, 1));
}

#[test]
fn a_sweep_may_stop_after_failures() {
    let mut graph = JobGraph::new();
    let titles = ["a", "b", "c", "d", "e"];
    let ids = titles.map(|title| graph.add(stage(title), &[]));
    let stopped = |most: Option<usize>| {
        let mut executor = FakeExecutor::new(1);
        executor.script("b", Script::failing("no"));
        executor.script("d", Script::failing("no"));
        let mut quiet = Quiet;
        let scheduler = Scheduler::new(&graph, &mut executor, &mut quiet, StopRequests::new());
        let summary = scheduler.stop_after_failures(most).run();
        (summary.completion(), summary.failed(), summary.of(ids[4])[0].clone())
    };
    let not_started = |reason: &str| Outcome::NotStarted { reason: Some(reason.to_owned()) };
    // The user did not stop it, so that it is incomplete.
    assert_eq!(stopped(Some(1)), (Completion::Incomplete, 1, not_started("stopped after 1 failure")));
    assert_eq!(stopped(Some(2)), (Completion::Incomplete, 2, not_started("stopped after 2 failures")));
    assert_eq!(stopped(Some(3)), (Completion::Incomplete, 2, Outcome::StageDone));
    assert_eq!(stopped(None), (Completion::Incomplete, 2, Outcome::StageDone));
}
