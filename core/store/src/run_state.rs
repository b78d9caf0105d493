//! The state of a run, and what its attempts leave.

use serde::{Deserialize, Serialize};

use crate::lock::is_held;
use crate::{RunDir, RunResult, checkpoint};

/// One execution of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, counted from 1.
    pub attempt: u32,
    /// Its start, in seconds since 1970.
    pub time: u64,
    /// The machine that executes it.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// Why and how the sweep repeated the attempt before, if it did, e.g. `out of memory: alone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}

/// Failure of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error; its first line is a summary.
    pub message: String,
    /// The attempt that failed, counted from 1; 0 if none had begun.
    pub attempt: u32,
    /// When, in seconds since 1970.
    pub time: u64,
}

/// A stop of an attempt short of the run's end, with a checkpoint, so that the run may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Epochs done.
    pub epoch: usize,
    /// The attempt that stopped, counted from 1.
    pub attempt: u32,
}

/// State of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It has a result; a diverged run has one, too.
    Finished(Box<RunResult>),
    /// A process executes it now.
    Running,
    /// Its last attempt failed.
    Failed(Failure),
    /// Its last attempt stopped as it was asked to, with a checkpoint.
    Stopped {
        /// Epochs done.
        epoch: usize,
    },
    /// Its last attempt was interrupted or killed.
    Interrupted {
        /// Whether the next attempt resumes, rather than starting anew.
        checkpoint: bool,
    },
    /// No attempt has begun.
    Missing,
}

impl RunState {
    /// The state in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Running => "running",
            Self::Failed(_) => "failed",
            Self::Stopped { .. } => "stopped",
            Self::Interrupted { .. } => "interrupted",
            Self::Missing => "missing",
        }
    }
}

impl RunDir {
    /// Returns the state of the run.
    pub fn state(&self) -> RunState {
        // The lock is tested first: a process that released it before has written its result by then.
        let held = self.is_held();
        match self.result() {
            Some(result) => RunState::Finished(Box::new(result)),
            None => self.state_without_result(held),
        }
    }

    /// Returns the state of a run whose result is known to be absent or damaged: one that comes to its end meanwhile
    /// counts as running.
    pub fn state_of_unfinished(&self) -> RunState {
        self.state_without_result(self.is_held())
    }

    fn state_without_result(&self, held: bool) -> RunState {
        if held {
            RunState::Running
        } else if let Some(failure) = self.failure() {
            RunState::Failed(failure)
        } else if let Some(stopped) = self.stopped().filter(|stopped| stopped.attempt == self.last_attempt()) {
            RunState::Stopped { epoch: stopped.epoch }
        } else if !self.attempts().is_empty() {
            RunState::Interrupted { checkpoint: checkpoint::exists(self.path()) }
        } else {
            RunState::Missing
        }
    }

    /// Whether a process executes the run.
    fn is_held(&self) -> bool {
        is_held(&self.lock_path())
    }
}
