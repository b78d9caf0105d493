//! Repetition of jobs that failed for reasons that may pass, and admission of jobs by memory.

use super::{Scheduler, Submitted};
use crate::{ExecEvent, JobId, Passing, Retry};

impl Scheduler<'_> {
    /// Counts a failure that may pass, and reports the repetition. Returns whether there is one: not after too many, or when
    /// the sweep stops.
    pub(super) fn retries(&mut self, submitted: &Submitted, cause: Option<Passing>, message: &str) -> bool {
        let id = submitted.id;
        let before = self.state.retries.get(&id).map_or(0, |retry| retry.number);
        let (Some(cause), None, true) = (cause, self.stopping, before < self.most_retries) else { return false };
        let retry = Retry { number: before + 1, cause };
        self.state.retries.insert(id, retry);
        self.observer.on_event(ExecEvent::Retrying { id, job: self.graph.job(id), message, retry });
        self.state.pause(id, retry.pause());
        true
    }

    /// The slots that a job takes: all, if nothing may run beside it.
    pub(super) fn slots(&self, id: JobId) -> usize {
        match self.state.retries.get(&id) {
            Some(retry) if retry.is_alone() => self.executor.capacity().get(),
            _ => self.state.slots[id.index()],
        }
    }

    /// Whether a job is likely to find the memory that it takes. A job alone is always tried.
    pub(super) fn memory_suffices(&mut self, id: JobId) -> bool {
        let job = self.graph.job(id);
        let (Some(needs), Some(memory)) = (job.memory, self.executor.memory()) else { return true };
        let running = self.state.submitted.len();
        let suffices = running == 0 || self.state.memory.saturating_add(needs) <= memory;
        if !suffices && !std::mem::replace(&mut self.state.memory_short, true) {
            self.observer.on_event(ExecEvent::MemoryShort { job, needs, memory, running });
        }
        suffices
    }
}
