//! A look at a sweep on a cluster: directories of runs first, the queue beside them.

use std::collections::BTreeMap;

use anyhow::Result;
use hashlab_exec::slurm::{Life, QueuedTask, SlurmError, life};
use hashlab_store::{RunId, RunState};
use hashlab_sweep::{PlannedRun, Turn};

use super::Cluster;
use super::ledger::Kind;
use crate::rungs;

/// State of a run of a sweep on a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunLook {
    /// It has a result.
    Finished,
    /// A process executes it.
    Running,
    /// A task that lives will execute it, or go on with it.
    Queued,
    /// Whether a task will execute it is unknown, since the scheduler does not answer.
    Unknown,
    /// It failed, and no task will repeat it.
    Failed(String),
    /// It is stopped early, or waits until others have come as far.
    Stopped,
    /// It was cancelled.
    Cancelled,
    /// It is unfinished and in no task: it was never submitted, or its task ended before it.
    Open,
}

/// A sweep at one moment.
pub struct Look<'p> {
    /// The runs, in the order of the plan.
    pub runs: Vec<(&'p PlannedRun, RunLook)>,
    /// Tasks that run, and tasks that wait.
    pub tasks: (usize, usize),
    /// Why the scheduler did not answer, if it did not.
    pub silence: Option<SlurmError>,
}

impl Look<'_> {
    /// The number of runs in a state.
    pub fn count(&self, state: impl Fn(&RunLook) -> bool) -> usize {
        self.runs.iter().filter(|(_, look)| state(look)).count()
    }

    /// Whether something may still change without a new submission.
    pub fn is_alive(&self) -> bool {
        self.count(|look| matches!(look, RunLook::Running | RunLook::Queued | RunLook::Unknown)) > 0
    }
}

impl<'a> Cluster<'a> {
    /// Looks at all runs and at the queue.
    ///
    /// # Errors
    /// If the directory of runs cannot be read.
    pub fn look(&mut self) -> Result<Look<'a>> {
        // The queue comes first: a task that ends between both looks has written its results by then.
        let queue = if self.was_submitted() { self.slurm.queue() } else { Ok(Vec::new()) };
        let (tasks, silence) = match queue {
            Ok(tasks) => (Some(tasks), None),
            Err(error) => (None, Some(error)),
        };
        if let Some(tasks) = &tasks {
            self.adopt(tasks)?;
        }
        let living = self.living(tasks.as_deref());
        let store = self.workspace.dirs.store();
        let begun = store.begun()?;
        let turns = rungs::turns(self.workspace, &self.sweep.plan)?;
        let idle = |at: usize| turns.as_ref().is_some_and(|turns| matches!(turns[at], Turn::Wait | Turn::Stop));
        let mut runs = Vec::new();
        for (at, run) in self.sweep.plan.runs.iter().enumerate() {
            let dir = store.run(&run.id)?;
            let state = if begun.contains(&run.id) { dir.state() } else { RunState::Missing };
            let look = match (state, living.get(&run.id)) {
                (RunState::Finished(_), _) => RunLook::Finished,
                (RunState::Running, _) => RunLook::Running,
                _ if dir.is_cancelled() => RunLook::Cancelled,
                (_, Some(look)) => look.clone(),
                (RunState::Failed(failure), None) => RunLook::Failed(failure.message),
                (_, None) if idle(at) => RunLook::Stopped,
                (_, None) => RunLook::Open,
            };
            runs.push((run, look));
        }
        let ours = || tasks.iter().flatten().filter(|task| self.is_ours(task));
        let count = |wanted: Life| ours().filter(|task| life(&task.state) == wanted).count();
        let tasks = (count(Life::Running), count(Life::Waiting));
        Ok(Look { runs, tasks, silence })
    }

    fn is_ours(&self, task: &QueuedTask) -> bool {
        self.ledger.named(&task.name).is_some()
    }

    /// Learns the numbers of jobs whose submission was not answered, by their names. One that the queue does not list was
    /// never accepted, or is over.
    fn adopt(&mut self, tasks: &[QueuedTask]) -> Result<()> {
        let open = |submission: &super::ledger::Submission| submission.job.is_none();
        if !self.ledger.submissions.iter().any(open) {
            return Ok(());
        }
        for submission in self.ledger.submissions.iter_mut().filter(|one| open(one)) {
            submission.job = tasks.iter().find(|task| task.name == submission.name).map(|task| task.job).or(Some(0));
        }
        self.ledger.write(&self.dir)
    }

    /// The runs that some task may still execute.
    fn living(&self, tasks: Option<&[QueuedTask]>) -> BTreeMap<&RunId, RunLook> {
        let submissions = self.ledger.submissions.iter().filter(|one| one.kind == Kind::Runs);
        let mut living = BTreeMap::new();
        let Some(tasks) = tasks else {
            living.extend(submissions.flat_map(|one| &one.packs).flatten().map(|run| (run, RunLook::Unknown)));
            return living;
        };
        let mut alive: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for task in tasks.iter().filter(|task| life(&task.state) != Life::Ended) {
            alive.entry(&task.name).or_default().extend(task.index);
        }
        for submission in submissions {
            let indices = alive.get(submission.name.as_str()).into_iter().flatten();
            let packs = indices.filter_map(|index| submission.packs.get(usize::try_from(*index).ok()?));
            living.extend(packs.flatten().map(|run| (run, RunLook::Queued)));
        }
        living
    }
}
