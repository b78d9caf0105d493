//! Events of a scheduler while it executes a graph.

use std::num::NonZeroUsize;

use crate::Event;
use crate::{Execution, Job, JobGraph, JobId, Outcome, Retry, Urgency};

/// An event of a graph, or of one of its jobs (`id`, `job`). A job has one part per run.
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
    /// A job's process ended; the outcomes of its parts follow.
    Exited {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
    },
    /// The scheduler waits for a run that another sweep executes.
    Waiting {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// The run.
        part: usize,
    },
    /// A job failed for a reason that may pass: it will be executed again.
    Retrying {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// The failure.
        message: &'a str,
        /// The repetition.
        retry: Retry,
    },
    /// A slot is free, and the memory of the next job is not; reported once.
    MemoryShort {
        /// The job that waits.
        job: &'a Job,
        /// Memory in bytes that it is likely to take.
        needs: u64,
        /// Memory in bytes of all jobs together.
        memory: u64,
        /// Number of processes that run.
        running: usize,
    },
    /// A run or a stage ended; reported once for each.
    Ended {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// The run, or 0 for a stage.
        part: usize,
        /// The outcome.
        outcome: &'a Outcome,
        /// The place of its execution.
        execution: Execution,
    },
    /// A job is not done, so the runs and stages that need it have ended, too.
    Dropped {
        /// The job's number.
        id: JobId,
        /// The job.
        job: &'a Job,
        /// Number of runs that need it.
        runs: usize,
    },
    /// The user asked to stop, or too much failed.
    Stopping {
        /// Urgency of the stop.
        urgency: Urgency,
        /// Number of running processes.
        running: usize,
        /// The number of failures after which the sweep stops, if they are the reason.
        failures: Option<usize>,
    },
    /// Time has passed.
    Tick,
    /// Execution is over.
    Over,
}

/// Observer of the execution of a graph.
pub trait Observer {
    /// Called on the scheduler's thread for every event; must not block.
    fn on_event(&mut self, event: ExecEvent<'_>);
}

/// Observer without output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn on_event(&mut self, _: ExecEvent<'_>) {}
}
