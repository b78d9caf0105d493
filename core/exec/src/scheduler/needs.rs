//! Consequences of the end of a job for the jobs that need it.

use super::{Doom, Phase, Scheduler};
use crate::{ExecEvent, Execution, JobId, Outcome};
use hashlab_store::{RunDir, RunState};

impl Scheduler<'_> {
    /// Closes a job whose parts have all ended, and frees or fails the jobs that need it.
    pub(super) fn settle(&mut self, id: JobId) {
        let mut queue = vec![id];
        while let Some(id) = queue.pop() {
            if self.state.phases[id.index()] == Phase::Closed || !self.state.open_parts(id).is_empty() {
                continue;
            }
            self.state.close(id);
            let Some(doom) = self.state.doom_for_dependents(id, &self.graph.job(id).kind) else {
                self.state.free_dependents(id);
                continue;
            };
            let dependents = self.state.blocked_dependents(id);
            let runs = dependents.iter().map(|dependent| self.graph.job(*dependent).dirs().len()).sum();
            dependents.iter().for_each(|dependent| self.doom(*dependent, &doom, Execution::Dropped));
            if runs > 0 {
                self.observer.on_event(ExecEvent::Dropped { id, job: self.graph.job(id), runs });
            }
            queue.extend(dependents);
        }
    }

    /// Ends a job that cannot be executed, but waits for those of its runs that other sweeps execute.
    pub(super) fn doom(&mut self, id: JobId, doom: &Doom, execution: Execution) {
        for part in self.state.open_parts(id) {
            self.doom_part(id, part, doom, execution);
        }
        if !self.state.open_parts(id).is_empty() {
            self.state.doomed.insert(id, doom.clone());
            self.rest(id);
        }
    }

    pub(super) fn doom_part(&mut self, id: JobId, part: usize, doom: &Doom, execution: Execution) {
        match (self.graph.job(id).dirs().get(part).map(RunDir::state), doom) {
            (Some(RunState::Finished(result)), _) => {
                self.end(id, part, Outcome::from(&*result), Execution::Elsewhere);
            }
            (Some(RunState::Running), _) => self.hold(id, part),
            (_, Doom::Failed(message)) => self.fail(id, part, message.clone(), execution),
            (_, Doom::Skipped(reason)) => {
                let reason = Some(reason.clone());
                self.end(id, part, Outcome::NotStarted { reason }, execution);
            }
        }
    }
}
