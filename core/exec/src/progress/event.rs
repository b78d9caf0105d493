//! What a scheduler reports while it executes a graph.

use std::num::NonZeroUsize;

use crate::Event;
use crate::{Execution, Job, JobGraph, JobId, Outcome, Urgency};

/// Something that happened to a graph, or to one of its jobs (`id`, `job`). A job has one part per run.
#[derive(Clone, Copy, Debug)]
pub enum ExecEvent<'a> {
    /// Execution begins.
    Begin {
        /// All jobs.
        graph: &'a JobGraph,
        /// The runs that were finished before: each by its job and its part.
        done: &'a [(JobId, usize)],
        /// Slots of the executor.
        capacity: NonZeroUsize,
        /// Slots that each job takes.
        slots: &'a [NonZeroUsize],
    },
    /// A job's process runs.
    Started {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
    },
    /// A job's process reported progress, or a journal of its runs grew.
    Progress {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// The progress.
        event: &'a Event,
    },
    /// A job's process ended; what became of its parts follows.
    Exited {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
    },
    /// Another sweep executes a run, which is waited for.
    Waiting {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// The run.
        part: usize,
    },
    /// A run or a stage ended; reported once for each.
    Ended {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// The run, or 0 for a stage.
        part: usize,
        /// How it ended.
        outcome: &'a Outcome,
        /// Where it was executed.
        execution: Execution,
    },
    /// A job did not get done, so the runs and stages that need it have been ended, too.
    Dropped {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// How many need it.
        parts: usize,
    },
    /// The user asked to stop.
    Stopping {
        /// How urgently.
        urgency: Urgency,
        /// How many processes run.
        running: usize,
    },
    /// Time has passed.
    Tick,
    /// Execution is over.
    Over,
}

/// Follows the execution of a graph.
pub trait Observer {
    /// Called on the scheduler's thread for every event; must not block.
    fn on_event(&mut self, event: ExecEvent<'_>);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn on_event(&mut self, _: ExecEvent<'_>) {}
}
