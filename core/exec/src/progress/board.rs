//! State of a graph for display; [`super::Bars`] and [`super::Lines`] print it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::eta::{Durations, Load, makespan};
use super::row::Row;
use super::{ExecEvent, span};
use crate::{Execution, Job, JobGraph, JobId, Outcome};

/// All jobs. Those without a process are only counted, by kind: there may be a hundred thousand.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Runs and stages.
    pub(super) total: usize,
    done: usize,
    failed: usize,
    /// Jobs with a process.
    pub(super) running: BTreeMap<JobId, Row>,
    /// Runs that other sweeps execute.
    held: BTreeSet<(JobId, usize)>,
    /// Jobs without a process so far, by their nature.
    pending: BTreeMap<Nature, usize>,
    jobs: Vec<Standing>,
    capacity: usize,
    durations: Durations,
}

/// Nature of a job, on which the estimate of its duration depends: whether it is a stage, its kind, its slots.
type Nature = (bool, Arc<str>, usize);

#[derive(Debug)]
struct Standing {
    slots: usize,
    /// Parts that have not ended.
    open: usize,
    pending: bool,
}

impl Board {
    /// Records an event.
    pub(super) fn note(&mut self, event: ExecEvent<'_>) {
        match event {
            ExecEvent::Begin { graph, done, capacity, slots } => self.begin(graph, done, capacity, slots),
            ExecEvent::Started { id, job } => {
                self.leave_pending(id, job);
                self.running.insert(id, Row::new(job, self.jobs[id.index()].slots));
            }
            ExecEvent::Progress { id, event, .. } => {
                if let Some(row) = self.running.get_mut(&id) {
                    row.note(event);
                }
            }
            ExecEvent::Exited { id, .. } => drop(self.running.remove(&id)),
            ExecEvent::Waiting { id, part, .. } => drop(self.held.insert((id, part))),
            ExecEvent::Ended { id, job, part, outcome, execution } => {
                self.end(id, job, part, outcome);
                if let (true, Execution::Here(took)) = (outcome.is_success(), execution) {
                    self.durations.add(job.is_stage(), &job.kind, took);
                }
            }
            ExecEvent::Retrying { .. }
            | ExecEvent::MemoryShort { .. }
            | ExecEvent::Dropped { .. }
            | ExecEvent::Stopping { .. }
            | ExecEvent::Tick
            | ExecEvent::Over => {}
        }
    }

    fn begin(&mut self, graph: &JobGraph, done: &[(JobId, usize)], capacity: NonZeroUsize, slots: &[NonZeroUsize]) {
        *self = Self { capacity: capacity.get(), ..Self::default() };
        for (job, slots) in graph.jobs().iter().zip(slots) {
            self.total += job.parts();
            self.jobs.push(Standing { slots: slots.get(), open: job.parts(), pending: true });
            *self.pending.entry((job.is_stage(), Arc::clone(&job.kind), slots.get())).or_default() += 1;
        }
        for (id, _) in done {
            self.done += 1;
            self.close_part(*id, graph.job(*id));
        }
    }

    fn end(&mut self, id: JobId, job: &Job, part: usize, outcome: &Outcome) {
        self.held.remove(&(id, part));
        match outcome {
            Outcome::Finished(_) | Outcome::Stopped { .. } | Outcome::StageDone => self.done += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Interrupted { .. } | Outcome::NotStarted { .. } => {}
        }
        self.close_part(id, job);
    }

    fn close_part(&mut self, id: JobId, job: &Job) {
        let standing = &mut self.jobs[id.index()];
        standing.open -= 1;
        if standing.open == 0 {
            self.leave_pending(id, job);
        }
    }

    fn leave_pending(&mut self, id: JobId, job: &Job) {
        let standing = &mut self.jobs[id.index()];
        if std::mem::take(&mut standing.pending)
            && let Some(count) = self.pending.get_mut(&(job.is_stage(), Arc::clone(&job.kind), standing.slots))
        {
            *count -= 1;
        }
    }

    /// Runs and stages that are done or have failed.
    pub(super) fn ended(&self) -> usize {
        self.done + self.failed
    }

    /// Describes the whole, e.g. `1 failed, 2 running, about 14 min left`.
    pub(super) fn overall(&self) -> String {
        let counts =
            [(self.failed, "failed"), (self.running.len(), "running"), (self.held.len(), "held by another sweep")];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        counts.chain(self.left().map(|left| format!("about {} left", span(left)))).collect::<Vec<_>>().join(", ")
    }

    /// Estimates the time to the end; `None` without any finished job or progress.
    pub(super) fn left(&self) -> Option<Duration> {
        let mut loads = Vec::new();
        for row in self.running.values() {
            let by_others = || Some((self.durations.estimate(row.stage, &row.kind)? - row.age()).max(0.0));
            let seconds = row.left().or_else(by_others).or_else(|| self.slowest_running(row.stage))?;
            loads.push(Load { jobs: 1, seconds, slots: row.slots });
        }
        for ((stage, kind, slots), count) in self.pending.iter().filter(|(_, count)| **count > 0) {
            let seconds = self.durations.estimate(*stage, kind).or_else(|| self.slowest_running(*stage))?;
            loads.push(Load { jobs: *count, seconds, slots: *slots });
        }
        (!loads.is_empty()).then(|| Duration::try_from_secs_f64(makespan(&loads, self.capacity)).ok())?
    }

    /// Estimated seconds of the slowest running job in total.
    fn slowest_running(&self, stage: bool) -> Option<f64> {
        let alike = self.running.values().filter(|row| row.stage == stage);
        alike.filter_map(|row| Some(row.age() + row.left()?)).reduce(f64::max)
    }
}
