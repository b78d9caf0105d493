//! Repetition of failures that may pass, and admission by memory, with scripted jobs in virtual time.

use std::cell::RefCell;
use std::time::Duration;

use hashlab_exec::{
    Cores, Event, ExecEvent, Exit, FakeExecutor, Job, JobGraph, LocalExecutor, LocalOptions, Outcome, Passing, Quiet,
    Retry, Scheduler, Script, StopRequests, Summary,
};
use hashlab_store::{RunState, Store};

use crate::fixture::{config, prepared};
use crate::roles::{OnEvent, graph, job, message, runs};
use crate::scheduler::{command, finish, stage};

const FULL: &str = "killed by signal 9 (SIGKILL), which the kernel sends when memory is full";

fn out_of_memory() -> Script {
    Script::ending(Exit::OutOfMemory { message: FULL.into() })
}

/// A run reports an error of the disk, records it and fails.
fn disk_error(seed: u64) -> Script {
    let (run, message) = (config(seed).id(), "cannot read features: Input/output error".to_owned());
    let text = message.clone();
    Script::failing("exited with code 1")
        .reporting(Event::Failed { run: Some(run), message, passing: Some(Passing::Io) })
        .doing(move |runs| runs[0].try_claim().unwrap().unwrap().fail(&text).unwrap())
}

fn run(root: &std::path::Path, seed: u64) -> Job {
    Job::run(prepared(&Store::open(root), seed), "nsh", "mAP", command())
}

/// A stage on one core.
fn small(title: &str) -> Job {
    Job { cores: Cores::One, ..stage(title) }
}

fn schedule(graph: &JobGraph, executor: &mut FakeExecutor, retries: usize) -> Summary {
    Scheduler::new(graph, executor, &mut Quiet, StopRequests::new()).retry(retries).run()
}

fn retry(number: usize, cause: Passing) -> Retry {
    Retry { number, cause }
}

#[test]
fn a_run_that_ran_out_of_memory_is_repeated_alone() {
    let root = tempfile::tempdir().unwrap();
    let mut graph = JobGraph::new();
    let victim = graph.add(run(root.path(), 0), &[]);
    graph.add(run(root.path(), 1), &[]);
    graph.add(run(root.path(), 2), &[]);
    let mut executor = FakeExecutor::new(2);
    let id = |seed: u64| config(seed).id().0;
    executor.script(&id(0), out_of_memory());
    executor.script(&id(0), Script::done().doing(finish).after(Duration::from_secs(5)));
    executor.script(&id(1), Script::done().doing(finish).after(Duration::from_secs(4)));
    executor.script(&id(2), Script::done().doing(finish));
    let seen = RefCell::new(Vec::new());
    let mut observer = OnEvent(|event: ExecEvent<'_>| match event {
        ExecEvent::Started { job, .. } => seen.borrow_mut().push(("begins", job.title.to_string())),
        ExecEvent::Exited { job, .. } => seen.borrow_mut().push(("ends", job.title.to_string())),
        ExecEvent::Retrying { message, .. } => assert_eq!(message, FULL),
        _ => {}
    });
    let summary = Scheduler::new(&graph, &mut executor, &mut observer, StopRequests::new()).retry(2).run();
    assert!(matches!(summary.of(victim), [Outcome::Finished(_)]));
    assert_eq!(executor.retries(), [retry(1, Passing::Memory)]);
    // It begins again when all others have ended.
    let seen = seen.into_inner();
    assert_eq!(seen[0], ("begins", id(0)));
    assert_eq!(seen[6..], [("begins", id(0)), ("ends", id(0))], "{seen:?}");
}

#[test]
fn too_many_repetitions_are_a_failure() {
    let root = tempfile::tempdir().unwrap();
    for most in 0..4 {
        let mut graph = JobGraph::new();
        let id = graph.add(run(root.path(), most as u64), &[]);
        let mut executor = FakeExecutor::new(2);
        (0..9).for_each(|_| executor.script(&config(most as u64).id().0, out_of_memory()));
        let summary = schedule(&graph, &mut executor, most);
        assert_eq!(summary.of(id), [Outcome::Failed { message: FULL.into() }]);
        assert_eq!(executor.submitted().len(), most + 1);
        let expected: Vec<Retry> = (1..=most).map(|number| retry(number, Passing::Memory)).collect();
        assert_eq!(executor.retries(), expected);
    }
}

#[test]
fn errors_of_the_disk_are_repeated_after_growing_pauses() {
    let root = tempfile::tempdir().unwrap();
    let dir = prepared(&Store::open(root.path()), 0);
    let mut graph = JobGraph::new();
    let id = graph.add(run(root.path(), 0), &[]);
    let mut executor = FakeExecutor::new(1);
    let name = config(0).id().0;
    executor.script(&name, disk_error(0));
    executor.script(&name, disk_error(0));
    executor.script(&name, Script::done().doing(finish));
    let summary = schedule(&graph, &mut executor, 2);
    assert!(matches!(summary.of(id), [Outcome::Finished(_)]), "{summary:?}");
    assert_eq!(executor.retries(), [retry(1, Passing::Io), retry(2, Passing::Io)]);
    // Three attempts of a second, and pauses of 1 and 4 seconds.
    assert_eq!(executor.now(), Duration::from_secs(3 + 1 + 4));
    assert_eq!(dir.failure(), None);

    let other = graph_of_one(run(root.path(), 1));
    let mut executor = FakeExecutor::new(1);
    (0..3).for_each(|_| executor.script(&config(1).id().0, disk_error(1)));
    let summary = schedule(&other, &mut executor, 1);
    let RunState::Failed(failure) = prepared(&Store::open(root.path()), 1).state() else { panic!("it failed") };
    assert_eq!((message(&summary.outcomes[0][0]), failure.attempt), (failure.message.as_str(), 2));
}

fn graph_of_one(job: Job) -> JobGraph {
    graph(vec![job])
}

#[test]
fn a_failure_that_would_come_again_is_not_repeated() {
    let root = tempfile::tempdir().unwrap();
    let graph = graph_of_one(run(root.path(), 0));
    let mut executor = FakeExecutor::new(1);
    executor.script(&config(0).id().0, Script::failing("the labels differ in length"));
    let summary = schedule(&graph, &mut executor, 5);
    assert_eq!((summary.failed(), executor.submitted().len()), (1, 1));
}

#[test]
fn stages_are_repeated_and_what_needs_them_waits() {
    let mut graph = JobGraph::new();
    let features = graph.add(stage("features"), &[]);
    let after = graph.add(stage("after"), &[features]);
    let mut executor = FakeExecutor::new(2);
    executor.script("features", out_of_memory());
    let error = Event::Failed { run: None, message: "stale file handle".into(), passing: Some(Passing::Io) };
    executor.script("features", Script::failing("exited with code 1").reporting(error));
    let summary = schedule(&graph, &mut executor, 2);
    assert_eq!((summary.of(features), summary.of(after)), (&[Outcome::StageDone][..], &[Outcome::StageDone][..]));
    assert_eq!(executor.retries(), [retry(1, Passing::Memory), retry(2, Passing::Io)]);
}

#[test]
fn a_sweep_that_stops_repeats_nothing() {
    let mut graph = JobGraph::new();
    let (bad, full) = (graph.add(small("bad"), &[]), graph.add(small("full"), &[]));
    let mut executor = FakeExecutor::new(2);
    executor.script("bad", Script::failing("no").after(Duration::from_secs(2)));
    executor.script("full", out_of_memory());
    let mut quiet = Quiet;
    let summary =
        Scheduler::new(&graph, &mut executor, &mut quiet, StopRequests::new()).stop_after_failures(Some(1)).retry(9);
    // `full` fails first and pauses for a second; then `bad` ends the sweep.
    let summary = summary.run();
    assert_eq!(summary.of(bad), [Outcome::Failed { message: "no".into() }]);
    assert!(
        matches!(summary.of(full), [Outcome::NotStarted { .. } | Outcome::Interrupted { .. }]),
        "{:?}",
        summary.of(full)
    );
}

#[test]
fn jobs_begin_only_where_memory_suffices() {
    let mut graph = JobGraph::new();
    let sizes = [("a", Some(40)), ("b", Some(70)), ("c", None), ("too large", Some(500)), ("d", Some(60))];
    for (title, memory) in sizes {
        graph.add(small(title).with_memory(memory), &[]);
    }
    let mut executor = FakeExecutor::new(4).with_memory(100);
    let (mut running, mut most, mut short) = (0_u64, 0, Vec::new());
    let size = |title: &str| sizes.iter().find(|(name, _)| *name == title).unwrap().1.unwrap_or(0);
    let mut observer = OnEvent(|event: ExecEvent<'_>| match event {
        ExecEvent::Started { job, .. } => {
            running += size(&job.title);
            most = most.max(if &*job.title == "too large" { 0 } else { running });
            assert!(&*job.title != "too large" || running == 500, "it runs alone");
        }
        ExecEvent::Exited { job, .. } => running -= size(&job.title),
        ExecEvent::MemoryShort { job, needs, memory, running } => {
            short.push((job.title.to_string(), needs, memory, running));
        }
        _ => {}
    });
    let summary = Scheduler::new(&graph, &mut executor, &mut observer, StopRequests::new()).run();
    assert_eq!(summary.failed() + summary.unfinished(), 0);
    assert_eq!(most, 70, "a beside b would take 110 of 100");
    assert_eq!(short, [("b".to_owned(), 70, 100, 1)], "said once");
}

/// A real process that the kernel kills, as where memory is full.
#[test]
fn a_killed_process_is_repeated_and_its_attempt_says_why() {
    let root = tempfile::tempdir().unwrap();
    let graph = graph(vec![job(root.path(), 0, "is-killed-once"), job(root.path(), 1, "trains")]);
    let mut executor = LocalExecutor::new(LocalOptions { jobs: 2.try_into().ok(), ..LocalOptions::default() });
    let mut said = Vec::new();
    let mut observer = OnEvent(|event: ExecEvent<'_>| {
        if let ExecEvent::Retrying { message, retry, .. } = event {
            said.push((message.to_owned(), retry));
        }
    });
    let summary = Scheduler::new(&graph, &mut executor, &mut observer, StopRequests::new()).retry(2).run();
    assert_eq!(summary.failed() + summary.unfinished(), 0, "{summary:?}");
    assert!(said.len() == 1 && said[0].0.starts_with(FULL), "{said:?}");
    let retries = |seed: usize| -> Vec<Option<String>> {
        runs(root.path(), 2)[seed].attempts().into_iter().map(|attempt| attempt.retry).collect()
    };
    assert_eq!(retries(0), [None, Some("out of memory: alone".to_owned())]);
    assert_eq!(retries(1), [None]);
}
