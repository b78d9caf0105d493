//! What is executed, and what becomes of it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::RunResult;
use crate::store::RunDir;

/// A program with its arguments, before it is started.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables added to the environment.
    pub env: Vec<(OsString, OsString)>,
}

/// A unit of execution: one process.
#[derive(Clone, Debug)]
pub struct Job {
    /// What users see: the run id, or the stage and what it works on.
    pub title: String,
    /// Jobs of one kind take about as long, e.g. those of one method.
    pub kind: String,
    /// What the process does.
    pub work: Work,
    /// What to start.
    pub command: CommandLine,
    /// Where its standard error goes, and what it prints that is no event.
    pub log: PathBuf,
}

/// What a process does.
#[derive(Clone, Debug)]
pub enum Work {
    /// A stage that several runs share, such as extracting features. It is done if its process says so,
    /// and waits by itself for another process at the same work.
    Stage,
    /// A run. It is done if its directory says so.
    Run {
        /// The run's directory, prepared.
        dir: RunDir,
        /// The headline metric as tables print it, e.g. `mAP@1000`.
        metric: String,
    },
}

impl Job {
    /// Describes the process that executes the run in `dir`.
    pub fn run(dir: RunDir, kind: &str, metric: &str, command: CommandLine) -> Self {
        Self {
            title: dir.id().to_string(),
            kind: kind.to_owned(),
            log: dir.log_path(),
            work: Work::Run { dir, metric: metric.to_owned() },
            command,
        }
    }

    /// Describes the process of a shared stage.
    pub fn stage(title: &str, log: PathBuf, command: CommandLine) -> Self {
        Self { title: title.to_owned(), kind: title.to_owned(), log, work: Work::Stage, command }
    }

    /// The run's directory; `None` for a stage.
    pub(super) fn dir(&self) -> Option<&RunDir> {
        match &self.work {
            Work::Run { dir, .. } => Some(dir),
            Work::Stage => None,
        }
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The run has a result, from this process or another. It may say that the run diverged.
    Finished(Box<RunResult>),
    /// The stage is done.
    StageDone,
    /// It failed.
    Failed {
        /// Why; the first line stands alone.
        message: String,
    },
    /// It was stopped, and goes on from its checkpoint next time.
    Interrupted,
    /// It was not started, because the sweep was stopped before.
    NotStarted,
}

/// What became of all jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// One outcome per job, in the order of the jobs.
    pub outcomes: Vec<Outcome>,
}

impl Summary {
    /// Counts the jobs that failed.
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed { .. })).count()
    }

    /// Counts the jobs that were stopped or not started.
    pub fn unfinished(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Interrupted | Outcome::NotStarted)).count()
    }
}
