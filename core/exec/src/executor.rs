//! The interface between the scheduler and executors.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Job, Retry};
use crate::Event;
use hashlab_store::RunDir;

/// Starts, follows and stops jobs: on this machine, on a cluster, or in a test.
///
/// Calls return without waiting for jobs. The outcome of a run is decided by its directory, not here.
pub trait Executor {
    /// Returns the number of slots. The submitted jobs never take more together.
    fn capacity(&self) -> NonZeroUsize;

    /// Returns the slots that a job takes; the scheduler grants at most the capacity.
    fn slots(&self, job: &Job) -> NonZeroUsize;

    /// Returns the memory in bytes that the submitted jobs may take together, as far as they are known; `None` without
    /// a limit.
    fn memory(&self) -> Option<u64> {
        None
    }

    /// Submits a job. `runs` are its unfinished runs, prepared; empty for a stage. `retry` says why and how it is
    /// repeated, if it is.
    ///
    /// # Errors
    /// A job that cannot be started.
    fn submit(&mut self, job: &Job, runs: &[RunDir], retry: Option<Retry>) -> Result<Handle, SubmitError>;

    /// Returns the updates since the last call. A state that cannot be determined is no update. Every handle gets one
    /// [`Update::Exited`], its last.
    fn poll(&mut self) -> Vec<(Handle, Update)>;

    /// Stops a job; its [`Update::Exited`] follows. Has no effect on a job that has exited.
    fn cancel(&mut self, handle: Handle, urgency: Urgency);

    /// Waits until there may be updates, and returns the time that passed.
    fn pause(&mut self) -> Duration;
}

/// A submitted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

/// An update of a submitted job.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Its process started.
    Started,
    /// Its process reported progress. Optional: the scheduler also reads the journals of runs.
    Event(Event),
    /// It ended.
    Exited {
        /// Exit of its process.
        exit: Exit,
        /// Time that it ran.
        took: Duration,
    },
}

/// Exit of a job's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It reported success.
    Done,
    /// Another process holds its runs.
    Busy,
    /// It was stopped, by [`Executor::cancel`] or from outside.
    Interrupted {
        /// The reason, e.g. `received SIGTERM`.
        reason: String,
    },
    /// Memory ran out.
    OutOfMemory {
        /// The reason; its first line is a summary.
        message: String,
    },
    /// It ended in another way.
    Failed {
        /// The reason; its first line is a summary.
        message: String,
    },
    /// The executor lost track of it. The scheduler submits it again, a few times, unless its runs are finished.
    Unknown {
        /// The details.
        message: String,
    },
}

/// Urgency of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Runs write a checkpoint and end.
    Gently,
    /// Processes are killed.
    AtOnce,
}

/// A job that could not be submitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SubmitError(pub String);
