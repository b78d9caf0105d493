//! Consequences of the end of a job's process for its runs.

use std::time::Duration;

use super::{Attempt, Phase, Scheduler, Submitted, last_attempt};
use crate::{ExecEvent, Execution, Exit, Handle, Outcome, Passing};
use hashlab_store::{RunDir, RunState};

/// Number of times that a job is submitted again after the executor lost it.
const RESUBMISSIONS: usize = 3;

impl Scheduler<'_> {
    pub(super) fn on_exit(&mut self, handle: Handle, exit: Exit, took: Duration) {
        let Some(submitted) = self.state.submitted.remove(&handle) else { return };
        let (id, job) = (submitted.id, self.graph.job(submitted.id));
        self.state.used -= submitted.slots;
        self.state.memory -= submitted.memory;
        self.state.phases[id.index()] = Phase::Blocked;
        self.observer.on_event(ExecEvent::Exited { id, job });
        let again = if job.is_stage() {
            self.judge_stage(&submitted, exit, took)
        } else {
            self.judge_runs(&submitted, exit, took)
        };
        if again && self.stopping.is_none() {
            // One that pauses becomes ready by itself.
            if self.state.phases[id.index()] == Phase::Blocked {
                self.state.make_ready(id);
            }
            return;
        }
        if self.stopping.is_some() {
            for part in self.state.open_parts(id) {
                let reason = self.gave_up();
                self.end(id, part, Outcome::NotStarted { reason }, Execution::Never);
            }
        }
        self.rest(id);
    }

    /// Ends a stage. Returns whether to submit it again.
    fn judge_stage(&mut self, submitted: &Submitted, exit: Exit, took: Duration) -> bool {
        let (reported, passing) = submitted.failure().unzip();
        let reported = reported.map(str::to_owned);
        let outcome = match exit {
            Exit::Done => Outcome::StageDone,
            Exit::Busy => Outcome::Failed { message: "another process is at its work, and it did not wait".to_owned() },
            Exit::Interrupted { reason } => self.interrupted(reason),
            Exit::OutOfMemory { message } if self.retries(submitted, Some(Passing::Memory), &message) => return true,
            Exit::OutOfMemory { message } => Outcome::Failed { message },
            Exit::Failed { message } => {
                let message = reported.unwrap_or(message);
                if self.retries(submitted, passing.flatten(), &message) {
                    return true;
                }
                Outcome::Failed { message }
            }
            Exit::Unknown { message } => match self.count_loss(submitted, message) {
                None => return true,
                Some(outcome) => outcome,
            },
        };
        self.end(submitted.id, 0, outcome, Execution::Here(took));
        false
    }

    /// Ends the runs of a process; each run's directory decides first. Returns whether to submit the job again, with
    /// the remaining runs.
    fn judge_runs(&mut self, submitted: &Submitted, exit: Exit, took: Duration) -> bool {
        let id = submitted.id;
        let (mut left, mut passing) = (Vec::new(), Vec::new());
        for attempt in &submitted.attempts {
            let dir = &self.graph.job(id).dirs()[attempt.part];
            let failure = dir.failure().filter(|failure| failure.attempt > attempt.before);
            // A run that was to stop at an epoch has no result.
            let stopped = dir.stopped().filter(|stopped| stopped.attempt > attempt.before);
            let outcome = match (dir.result(), failure, stopped) {
                (Some(result), ..) => Outcome::from(&result),
                (None, Some(failure), _) if submitted.passing_of(dir.id()).is_some() => {
                    passing.push((*attempt, failure.message));
                    continue;
                }
                (None, Some(failure), _) => Outcome::Failed { message: failure.message },
                (None, None, Some(stopped)) => Outcome::Stopped { epoch: stopped.epoch },
                (None, None, None) => {
                    left.push(*attempt);
                    continue;
                }
            };
            self.end(id, attempt.part, outcome, Execution::Here(took));
        }
        let again = self.retry_recorded(submitted, passing, took);
        let others = match exit {
            Exit::Busy => {
                left.iter().for_each(|attempt| self.hold(id, attempt.part));
                false
            }
            Exit::Interrupted { reason } => {
                for attempt in left {
                    let outcome = self.interrupted(reason.clone());
                    self.end(id, attempt.part, outcome, Execution::Here(took));
                }
                false
            }
            Exit::Done => self.fail_runs(submitted, left, "ended without a result", None, took),
            Exit::OutOfMemory { message } => self.fail_runs(submitted, left, &message, Some(Passing::Memory), took),
            Exit::Failed { message } => self.fail_runs(submitted, left, &message, None, took),
            Exit::Unknown { message } => self.lose_runs(submitted, left, message, took),
        };
        again || others
    }

    /// Repeats runs whose failures were recorded and may pass, or ends them. Returns whether they are repeated.
    fn retry_recorded(&mut self, submitted: &Submitted, failed: Vec<(Attempt, String)>, took: Duration) -> bool {
        let id = submitted.id;
        let Some((first, message)) = failed.first() else { return false };
        let cause = submitted.passing_of(self.graph.job(id).dirs()[first.part].id());
        if self.retries(submitted, cause, message) {
            return true;
        }
        for (attempt, message) in failed {
            self.end(id, attempt.part, Outcome::Failed { message }, Execution::Here(took));
        }
        false
    }

    /// Fails the runs that a process left unfinished, unless it is repeated as its failure may pass. If it had finished
    /// others before, those that it had not begun are left for the next process.
    fn fail_runs(
        &mut self,
        submitted: &Submitted,
        left: Vec<Attempt>,
        message: &str,
        cause: Option<Passing>,
        took: Duration,
    ) -> bool {
        let id = submitted.id;
        let begun = |attempt: &Attempt| last_attempt(&self.graph.job(id).dirs()[attempt.part]) > attempt.before;
        let (begun, not_begun): (Vec<_>, Vec<_>) = left.iter().partition(|attempt| begun(attempt));
        let some_ended = left.len() < submitted.attempts.len() || !begun.is_empty();
        let failed = if some_ended { begun } else { left };
        let Some(first) = failed.first() else { return some_ended && !not_begun.is_empty() };
        let run = self.graph.job(id).dirs()[first.part].id();
        let cause = cause.or_else(|| submitted.passing_of(run));
        if self.retries(submitted, cause, submitted.failure_of(run).unwrap_or(message)) {
            return true;
        }
        for attempt in failed {
            let run = self.graph.job(id).dirs()[attempt.part].id();
            let message = submitted.failure_of(run).unwrap_or(message).to_owned();
            self.fail(id, attempt.part, message, Execution::Here(took));
        }
        some_ended && !not_begun.is_empty()
    }

    fn lose_runs(&mut self, submitted: &Submitted, left: Vec<Attempt>, message: String, took: Duration) -> bool {
        let id = submitted.id;
        let dirs = self.graph.job(id).dirs();
        let runs_on = |attempt: &Attempt| dirs.get(attempt.part).map(RunDir::state) == Some(RunState::Running);
        let (running, free): (Vec<_>, Vec<_>) = left.into_iter().partition(runs_on);
        running.iter().for_each(|attempt| self.hold(id, attempt.part));
        if free.is_empty() {
            return false;
        }
        let Some(outcome) = self.count_loss(submitted, message) else { return true };
        for attempt in free {
            self.end(id, attempt.part, outcome.clone(), Execution::Here(took));
        }
        false
    }

    /// Counts a loss of the job by the executor. Returns the job's outcome if it was lost too often.
    fn count_loss(&mut self, submitted: &Submitted, message: String) -> Option<Outcome> {
        let lost = self.state.lost.entry(submitted.id).or_default();
        *lost += 1;
        (*lost > RESUBMISSIONS || self.stopping.is_some()).then(|| self.interrupted(message))
    }

    /// The outcome of an interruption; without a reason if the sweep was stopped.
    fn interrupted(&self, reason: String) -> Outcome {
        Outcome::Interrupted { reason: self.stopping.is_none().then_some(reason) }
    }
}
