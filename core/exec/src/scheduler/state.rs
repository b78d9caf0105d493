//! The scheduler's records: the phase of each job.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::JournalWatch;
use crate::Event;
use crate::{Handle, JobGraph, JobId, Outcome, Passing, Retry};
use hashlab_store::RunId;

/// Phase of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A job that it needs is not done.
    Blocked,
    /// It can be submitted.
    Ready,
    Submitted,
    /// It failed, and pauses before it is repeated.
    Pausing,
    /// Other processes hold its open runs.
    Held,
    /// All its parts have ended.
    Closed,
}

/// Reason why a job cannot be executed.
#[derive(Clone, Debug)]
pub(super) enum Doom {
    /// It fails, too.
    Failed(String),
    /// It is left for the next sweep.
    Skipped(String),
}

/// A part of a submitted job, and the attempts at it before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) part: usize,
    pub(super) before: u32,
}

/// A job that was submitted to the executor.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) id: JobId,
    pub(super) slots: usize,
    /// Memory that it is likely to take.
    pub(super) memory: u64,
    pub(super) attempts: Vec<Attempt>,
    /// Failures that its process reported, each with its run if there are several.
    pub(super) failures: Vec<Reported>,
    pub(super) watch: JournalWatch,
}

/// A failure that a process reported.
#[derive(Debug)]
pub(super) struct Reported {
    run: Option<RunId>,
    message: String,
    /// Why it may pass.
    passing: Option<Passing>,
}

impl Submitted {
    pub(super) fn note(&mut self, event: &Event) {
        self.watch.reported();
        if let Event::Failed { run, message, passing } = event.clone() {
            self.failures.push(Reported { run, message, passing });
        }
    }

    /// The last failure that was reported for `run`, or else for the whole process.
    pub(super) fn failure_of(&self, run: &RunId) -> Option<&str> {
        self.last(run).map(|failure| failure.message.as_str())
    }

    /// Why the last failure that was reported for `run` may pass.
    pub(super) fn passing_of(&self, run: &RunId) -> Option<Passing> {
        self.last(run)?.passing
    }

    fn last(&self, run: &RunId) -> Option<&Reported> {
        let last = |of: Option<&RunId>| self.failures.iter().rfind(|failure| failure.run.as_ref() == of);
        last(Some(run)).or_else(|| last(None))
    }

    /// The last failure that was reported.
    pub(super) fn failure(&self) -> Option<(&str, Option<Passing>)> {
        self.failures.last().map(|failure| (failure.message.as_str(), failure.passing))
    }
}

#[derive(Debug)]
pub(super) struct State {
    ids: Vec<JobId>,
    pub(super) phases: Vec<Phase>,
    pub(super) slots: Vec<usize>,
    /// Jobs that are not closed.
    pub(super) open: usize,
    pub(super) ready: BTreeSet<JobId>,
    pub(super) held: BTreeSet<JobId>,
    pub(super) doomed: BTreeMap<JobId, Doom>,
    pub(super) submitted: BTreeMap<Handle, Submitted>,
    /// Slots of the submitted jobs.
    pub(super) used: usize,
    /// Memory that the submitted jobs are likely to take.
    pub(super) memory: u64,
    /// The last repetition of each job that was repeated.
    pub(super) retries: BTreeMap<JobId, Retry>,
    /// Time that is left before jobs are repeated.
    pub(super) pausing: BTreeMap<JobId, Duration>,
    /// Whether it was reported that a job waits for memory.
    pub(super) memory_short: bool,
    /// Held runs that were reported to the observer.
    pub(super) announced: BTreeSet<(JobId, usize)>,
    /// Number of times that the executor lost each job.
    pub(super) lost: BTreeMap<JobId, usize>,
    /// Runs and stages that failed.
    pub(super) failures: usize,
    outcomes: Vec<Vec<Option<Outcome>>>,
    /// Number of unfinished needs of each job.
    needs: Vec<usize>,
    dependents: Vec<Vec<JobId>>,
}

impl State {
    pub(super) fn new(graph: &JobGraph) -> Self {
        let needs: Vec<usize> = graph.ids().map(|id| graph.needs(id).len()).collect();
        let phase = |needs: &usize| if *needs == 0 { Phase::Ready } else { Phase::Blocked };
        Self {
            ids: graph.ids().collect(),
            phases: needs.iter().map(phase).collect(),
            slots: Vec::new(),
            open: graph.jobs().len(),
            ready: graph.ids().filter(|id| needs[id.index()] == 0).collect(),
            held: BTreeSet::new(),
            doomed: BTreeMap::new(),
            submitted: BTreeMap::new(),
            used: 0,
            memory: 0,
            retries: BTreeMap::new(),
            pausing: BTreeMap::new(),
            memory_short: false,
            announced: BTreeSet::new(),
            lost: BTreeMap::new(),
            failures: 0,
            outcomes: graph.jobs().iter().map(|job| vec![None; job.parts()]).collect(),
            needs,
            dependents: graph.dependents(),
        }
    }

    pub(super) fn into_outcomes(self) -> Vec<Vec<Outcome>> {
        let ended = |outcome: Option<Outcome>| outcome.expect("every part of a closed job has ended");
        self.outcomes.into_iter().map(|parts| parts.into_iter().map(ended).collect()).collect()
    }

    /// The stages that are not needed any more, as all jobs that need them have ended.
    pub(super) fn unneeded_stages(&self, graph: &JobGraph) -> Vec<JobId> {
        let mut unneeded = BTreeSet::new();
        for id in graph.ids().rev().filter(|id| graph.job(*id).is_stage()) {
            let dependents = &self.dependents[id.index()];
            let done = |id: &JobId| unneeded.contains(id) || self.open_parts(*id).is_empty();
            if !dependents.is_empty() && dependents.iter().all(done) {
                unneeded.insert(id);
            }
        }
        unneeded.into_iter().collect()
    }

    /// The parts of a job that have not ended.
    pub(super) fn open_parts(&self, id: JobId) -> Vec<usize> {
        let parts = self.outcomes[id.index()].iter().enumerate();
        parts.filter(|(_, outcome)| outcome.is_none()).map(|(part, _)| part).collect()
    }

    pub(super) fn end(&mut self, id: JobId, part: usize, outcome: Outcome) {
        let place = &mut self.outcomes[id.index()][part];
        assert!(place.is_none(), "a part ends once");
        self.failures += usize::from(matches!(outcome, Outcome::Failed { .. }));
        *place = Some(outcome);
    }

    pub(super) fn make_ready(&mut self, id: JobId) {
        self.held.remove(&id);
        self.phases[id.index()] = Phase::Ready;
        self.ready.insert(id);
    }

    pub(super) fn put_on_hold(&mut self, id: JobId) {
        self.ready.remove(&id);
        self.phases[id.index()] = Phase::Held;
        self.held.insert(id);
    }

    /// Sets a job aside until its pause is over.
    pub(super) fn pause(&mut self, id: JobId, pause: Duration) {
        self.phases[id.index()] = Phase::Pausing;
        self.pausing.insert(id, pause);
    }

    /// Counts time towards the pauses of jobs.
    pub(super) fn pass(&mut self, passed: Duration) {
        self.pausing.values_mut().for_each(|left| *left = left.saturating_sub(passed));
        let over: Vec<JobId> = self.pausing.iter().filter(|(_, left)| left.is_zero()).map(|(id, _)| *id).collect();
        for id in over {
            self.pausing.remove(&id);
            self.make_ready(id);
        }
    }

    pub(super) fn close(&mut self, id: JobId) {
        self.pausing.remove(&id);
        self.ready.remove(&id);
        self.held.remove(&id);
        self.phases[id.index()] = Phase::Closed;
        self.open -= 1;
    }

    /// The jobs that are neither submitted nor closed.
    pub(super) fn unsubmitted(&self) -> Vec<JobId> {
        let waits = |phase: Phase| matches!(phase, Phase::Blocked | Phase::Ready | Phase::Held | Phase::Pausing);
        self.ids.iter().copied().filter(|id| waits(self.phases[id.index()])).collect()
    }

    /// Reason why the jobs that need a closed job cannot be executed; `None` if they can.
    pub(super) fn doom_for_dependents(&self, id: JobId, kind: &str) -> Option<Doom> {
        let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let mut skipped = None;
        for outcome in self.outcomes[id.index()].iter().flatten() {
            match outcome {
                Outcome::Failed { message } => {
                    return Some(Doom::Failed(format!("its {kind} failed: {}", first_line(message))));
                }
                Outcome::Interrupted { reason } | Outcome::NotStarted { reason } => {
                    let reason =
                        reason.as_deref().map(|reason| format!(": {}", first_line(reason))).unwrap_or_default();
                    skipped = Some(Doom::Skipped(format!("its {kind} stopped{reason}")));
                }
                Outcome::Finished(_) | Outcome::Stopped { .. } | Outcome::StageDone => {}
            }
        }
        skipped
    }

    pub(super) fn free_dependents(&mut self, id: JobId) {
        for dependent in self.dependents[id.index()].clone() {
            self.needs[dependent.index()] -= 1;
            if self.needs[dependent.index()] == 0 && self.phases[dependent.index()] == Phase::Blocked {
                self.make_ready(dependent);
            }
        }
    }

    pub(super) fn blocked_dependents(&self, id: JobId) -> Vec<JobId> {
        let blocked = |dependent: &&JobId| self.phases[dependent.index()] == Phase::Blocked;
        self.dependents[id.index()].iter().filter(blocked).copied().collect()
    }
}
