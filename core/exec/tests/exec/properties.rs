//! Properties of every graph and every outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hashlab_exec::{Cores, ExecEvent, Exit, FakeExecutor, Job, JobGraph, JobId, Outcome, Script, Summary};
use hashlab_store::{RunDir, Store};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture::{prepared, result};
use crate::roles::execute_on;
use crate::scheduler::{finish, stage};

/// End of a scripted job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Done,
    Fails,
    IsStopped,
    /// The executor loses it once.
    IsLost,
    IsRefused,
}

#[derive(Clone, Debug)]
struct Spec {
    fate: Fate,
    /// A bit for each of the jobs before it.
    needs: u16,
    seconds: u64,
    all_cores: bool,
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let fate = prop_oneof![
        4 => Just(Fate::Done),
        1 => Just(Fate::Fails),
        1 => Just(Fate::IsStopped),
        1 => Just(Fate::IsLost),
        1 => Just(Fate::IsRefused)
    ];
    let spec = (fate, any::<u16>(), any::<u16>(), 0..5_u64, any::<bool>())
        .prop_map(|(fate, some, others, seconds, all_cores)| Spec { fate, needs: some & others, seconds, all_cores });
    vec(spec, 1..14)
}

fn needs(spec: &Spec, ids: &[JobId]) -> Vec<JobId> {
    ids.iter().enumerate().filter(|(at, _)| spec.needs & (1 << at) != 0).map(|(_, id)| *id).collect()
}

/// Whether each job is executed: all jobs that it needs get done.
fn reachable(graph: &JobGraph, specs: &[Spec]) -> Vec<bool> {
    let mut reached: Vec<bool> = Vec::new();
    for id in graph.ids() {
        let done =
            |need: &JobId| reached[need.index()] && matches!(specs[need.index()].fate, Fate::Done | Fate::IsLost);
        reached.push(graph.needs(id).iter().all(done));
    }
    reached
}

/// Events that an observer got.
#[derive(Default)]
struct Seen {
    running: BTreeSet<JobId>,
    done: BTreeSet<JobId>,
    ended: BTreeMap<(JobId, usize), usize>,
}

/// Executes a graph, and checks the invariants at every event.
fn observed(graph: &JobGraph, executor: &mut FakeExecutor, capacity: usize) -> (Summary, Seen) {
    let mut seen = Seen::default();
    let summary = execute_on(graph, executor, |event| match event {
        ExecEvent::Started { id, .. } => {
            assert!(graph.needs(id).iter().all(|need| seen.done.contains(need)), "{id:?} starts before its needs");
            seen.running.insert(id);
            let slots = |id: &JobId| if graph.job(*id).cores == Cores::All { capacity } else { 1 };
            assert!(seen.running.iter().map(slots).sum::<usize>() <= capacity, "{:?}", seen.running);
        }
        ExecEvent::Exited { id, .. } => assert!(seen.running.remove(&id)),
        ExecEvent::Ended { id, part, outcome, .. } => {
            *seen.ended.entry((id, part)).or_default() += 1;
            if outcome.is_success() && (0..graph.job(id).parts()).all(|part| seen.ended.contains_key(&(id, part))) {
                seen.done.insert(id);
            }
        }
        _ => {}
    });
    assert!(seen.running.is_empty());
    for id in graph.ids() {
        for part in 0..graph.job(id).parts() {
            assert_eq!(seen.ended.get(&(id, part)), Some(&1), "each part ends exactly once");
        }
    }
    (summary, seen)
}

proptest! {
    #[test]
    fn jobs_run_exactly_if_their_needs_are_done(specs in specs(), capacity in 1..4_usize) {
        let mut graph = JobGraph::new();
        let mut executor = FakeExecutor::new(capacity);
        let mut ids = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            let mut job = stage(&at.to_string());
            job.cores = if spec.all_cores { Cores::All } else { Cores::One };
            let script = match spec.fate {
                Fate::Done => Script::done(),
                Fate::Fails => Script::failing("out of luck"),
                Fate::IsStopped => Script::ending(Exit::Interrupted { reason: "SIGTERM".into() }),
                Fate::IsLost => Script::ending(Exit::Unknown { message: "lost".into() }),
                Fate::IsRefused => Script::refused("no room"),
            };
            executor.script(&job.title, script.after(Duration::from_secs(spec.seconds)));
            ids.push(graph.add(job, &needs(spec, &ids)));
        }
        let (summary, _) = observed(&graph, &mut executor, capacity);
        for (id, reached) in graph.ids().zip(reachable(&graph, &specs)) {
            let outcome = &summary.of(id)[0];
            let expected = match specs[id.index()].fate {
                _ if !reached => matches!(outcome, Outcome::Failed { .. } | Outcome::NotStarted { reason: Some(_) }),
                Fate::Done | Fate::IsLost => *outcome == Outcome::StageDone,
                Fate::Fails => *outcome == Outcome::Failed { message: "out of luck".into() },
                Fate::IsRefused => *outcome == Outcome::Failed { message: "no room".into() },
                Fate::IsStopped => matches!(outcome, Outcome::Interrupted { reason: Some(_) }),
            };
            prop_assert!(expected, "{id:?}: {outcome:?}");
        }
        let executed = executor.submitted().iter().map(|title| title.parse::<usize>().unwrap());
        let executed: BTreeSet<usize> = executed.collect();
        let reached = reachable(&graph, &specs);
        prop_assert_eq!(executed, (0..specs.len()).filter(|at| reached[*at]).collect::<BTreeSet<_>>());
    }
}

/// End of one run within a process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum RunFate {
    Finishes,
    Records,
    /// Its process dies in it.
    Kills,
}

fn packs() -> impl Strategy<Value = Vec<(bool, Vec<RunFate>)>> {
    let fate = prop_oneof![3 => Just(RunFate::Finishes), 1 => Just(RunFate::Records), 1 => Just(RunFate::Kills)];
    vec((any::<bool>(), vec(fate, 1..4)), 1..4)
}

/// Executes runs in order, until one kills the process.
fn execute_pack(runs: &[RunDir], fates: &BTreeMap<String, RunFate>) {
    for run in runs {
        match fates[&run.id().0] {
            RunFate::Finishes => finish(std::slice::from_ref(run)),
            RunFate::Records => run.try_claim().unwrap().unwrap().fail("no such file").unwrap(),
            RunFate::Kills => return drop(run.try_claim().unwrap().unwrap()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn runs_of_a_process_are_judged_one_by_one(packs in packs()) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path());
        let mut graph = JobGraph::new();
        let mut executor = FakeExecutor::new(2);
        executor.script("bad", Script::failing("no images"));
        let (good, bad) = (graph.add(stage("good"), &[]), graph.add(stage("bad"), &[]));
        let mut seed = 0;
        let mut expected = Vec::new();
        for (at, (has_features, run_fates)) in packs.iter().enumerate() {
            let dirs: Vec<RunDir> = run_fates.iter().map(|_| { seed += 1; prepared(&store, seed) }).collect();
            let fates: BTreeMap<String, RunFate> =
                dirs.iter().map(|dir| dir.id().0.clone()).zip(run_fates.iter().copied()).collect();
            // A process per death, and one for the rest.
            for _ in 0..=run_fates.len() {
                let fates = fates.clone();
                let script = Script::failing("killed by signal 9");
                executor.script(&at.to_string(), script.doing(move |runs| execute_pack(runs, &fates)));
            }
            let job = Job::pack(&at.to_string(), dirs.clone(), "nsh", "mAP", crate::scheduler::command());
            let id = graph.add(job, &[if *has_features { good } else { bad }]);
            for (part, (dir, fate)) in dirs.into_iter().zip(run_fates).enumerate() {
                expected.push((id, part, dir, has_features.then_some(*fate)));
            }
        }
        let (summary, _) = observed(&graph, &mut executor, 2);
        for (id, part, dir, fate) in expected {
            let failed = |message: &str| Outcome::Failed { message: message.into() };
            let outcome = match fate {
                None => failed("its features failed: no images"),
                Some(RunFate::Finishes) => Outcome::from(&result(dir.id(), 0.5)),
                Some(RunFate::Records) => failed("no such file"),
                Some(RunFate::Kills) => failed("killed by signal 9"),
            };
            prop_assert_eq!(&summary.of(id)[part], &outcome);
            prop_assert_eq!(dir.attempts().len(), usize::from(fate.is_some()));
            if let Outcome::Failed { message } = outcome {
                prop_assert_eq!(dir.failure().unwrap().message, message);
            }
        }
    }
}
