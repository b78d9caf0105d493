//! Outcomes of jobs, and of a whole graph.

use std::time::Duration;

use super::{JobGraph, JobId};
use hashlab_store::{RunResult, Status};

/// Outcome of a run or a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The run has a result, from this sweep or another. The result may say that the run diverged.
    Finished(ResultSummary),
    /// The run stopped with a checkpoint after the epochs that were asked of it.
    Stopped {
        /// Epochs done.
        epoch: usize,
    },
    /// The stage is done.
    StageDone,
    /// It failed.
    Failed {
        /// The reason; its first line is a summary.
        message: String,
    },
    /// It was stopped, and resumes from its checkpoint next time.
    Interrupted {
        /// The reason; absent if the user stopped the sweep.
        reason: Option<String>,
    },
    /// It was not started.
    NotStarted {
        /// The reason; absent if the user stopped the sweep.
        reason: Option<String>,
    },
}

/// The part of a result that progress shows. Whole results stay on disk: those of a large sweep would not fit into
/// memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultSummary {
    /// Status of the run.
    pub status: Status,
    /// Reason of a divergence.
    pub message: Option<String>,
    /// The primary metric.
    pub score: Option<Score>,
}

/// A value of the primary metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// On the protocol's queries.
    Test(f64),
    /// On the validation queries, if there is no other.
    Validation(f64),
}

impl From<&RunResult> for ResultSummary {
    fn from(result: &RunResult) -> Self {
        // Its mean over the run's tasks.
        let test = result.mean_test(&result.primary).map(Score::Test);
        let validation = || result.primary_validation().map(Score::Validation);
        Self { status: result.status, message: result.message.clone(), score: test.or_else(validation) }
    }
}

impl From<&RunResult> for Outcome {
    fn from(result: &RunResult) -> Self {
        Self::Finished(result.into())
    }
}

impl Outcome {
    /// Whether jobs that need this one can start.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Stopped { .. } | Self::StageDone)
    }
}

/// Place of a job's execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// A process of this sweep, with its duration.
    Here(Duration),
    /// Another sweep.
    Elsewhere,
    /// None: it could not be prepared or started, or the user stopped the sweep before.
    Never,
    /// None: a job that it needs is not done.
    Dropped,
}

/// Completion of a graph, for an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Everything is done.
    Complete,
    /// A job failed, or a process was terminated from outside.
    Incomplete,
    /// The user stopped the sweep before everything was done.
    Stopped,
}

impl Completion {
    /// The completion of two graphs, one executed after the other.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Stopped, _) | (_, Self::Stopped) => Self::Stopped,
            (Self::Incomplete, _) | (_, Self::Incomplete) => Self::Incomplete,
            (Self::Complete, Self::Complete) => Self::Complete,
        }
    }
}

/// Outcomes of all jobs of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// One list per job, in the graph's order; one outcome per run, or one for a stage.
    pub outcomes: Vec<Vec<Outcome>>,
    /// Whether the user asked to stop.
    pub stop_requested: bool,
}

impl Summary {
    /// Returns the outcomes of a job: one per run, or one for a stage.
    pub fn of(&self, job: JobId) -> &[Outcome] {
        &self.outcomes[job.index()]
    }

    /// Counts the runs and stages that failed.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed { .. }))
    }

    /// Counts the runs and stages that were interrupted or not started.
    pub fn unfinished(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Interrupted { .. } | Outcome::NotStarted { .. }))
    }

    /// Lists the runs and stages that something from outside interrupted, with the reason.
    pub fn interrupted(&self, graph: &JobGraph) -> Vec<(String, String)> {
        let all = graph.ids().flat_map(|id| self.of(id).iter().enumerate().map(move |(part, end)| (id, part, end)));
        let reason = |(id, part, outcome)| match outcome {
            &Outcome::Interrupted { reason: Some(ref reason) } => {
                Some((graph.job(id).part_title(part), reason.clone()))
            }
            _ => None,
        };
        all.filter_map(reason).collect()
    }

    /// Returns the completion of the graph. A request to stop that came too late to stop anything is ignored.
    pub fn completion(&self) -> Completion {
        match (self.unfinished(), self.failed()) {
            (0, 0) => Completion::Complete,
            (1.., _) if self.stop_requested => Completion::Stopped,
            _ => Completion::Incomplete,
        }
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.iter().flatten().filter(|outcome| wanted(outcome)).count()
    }
}
