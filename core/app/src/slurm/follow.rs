//! Following a sweep on a cluster to its end, and cancelling it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use hashlab_exec::slurm::SlurmError;
use hashlab_exec::{Completion, StopRequests};
use hashlab_store::{RunId, counted};
use hashlab_sweep::PlannedRun;

use super::{CANCELLED, Cluster, Look, RunLook};
use crate::rungs;
use crate::sweep::put_back;

/// Pause between two looks: short at first, as tests and small sweeps are.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// Time of the short pauses.
const BEGINNING: Duration = Duration::from_secs(120);

/// Pause between two looks for a request to stop.
const TICK: Duration = Duration::from_millis(100);

/// How following a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// No run is left that a task will execute.
    Ended(Completion),
    /// The user stopped following; jobs run on.
    Left,
    /// The sweep was cancelled by another process.
    Cancelled,
}

impl Cluster<'_> {
    /// The runs of the options' choice that are unfinished and in no task, those that failed or were cancelled included,
    /// and withdraws their cancellation.
    ///
    /// # Errors
    /// If the directory of runs cannot be read.
    pub fn open_runs(&mut self, cancelled: bool) -> Result<BTreeSet<RunId>> {
        let look = self.look()?;
        let mut open = BTreeSet::new();
        for (run, state) in &look.runs {
            let again = match state {
                RunLook::Open | RunLook::Failed(_) => true,
                RunLook::Cancelled => cancelled,
                _ => false,
            };
            if again && self.is_chosen(run) {
                if *state == RunLook::Cancelled {
                    self.workspace.dirs.store().run(&run.id)?.clear_cancelled()?;
                }
                open.insert(run.id.clone());
            }
        }
        Ok(open)
    }

    fn is_chosen(&self, run: &PlannedRun) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&run.id))
    }

    /// Follows a sweep until no task is left that could execute one of its runs. Runs whose task ended before them, by a
    /// time limit, a lost node or `scancel`, are submitted again. `say` gets a line when something changed.
    ///
    /// # Errors
    /// If the directory of runs cannot be read, or the scheduler refuses a submission.
    pub fn follow(&mut self, stop: &StopRequests, say: &mut dyn FnMut(&str)) -> Result<Followed> {
        let (began, from) = (Instant::now(), self.ledger.submissions.len());
        let (mut last, mut reported) = (String::new(), BTreeSet::new());
        let mut lost: BTreeSet<RunId> = BTreeSet::new();
        loop {
            if self.dir.read(CANCELLED).is_some() {
                return Ok(Followed::Cancelled);
            }
            let look = self.look()?;
            report(&look, &mut last, &mut reported, say);
            // On a network file system, a result may show a moment after its task has ended.
            let open = self.lost(&look);
            let again: BTreeSet<RunId> = open.intersection(&lost).cloned().collect();
            lost = open;
            let submits = look.silence.is_none() && !again.is_empty();
            if submits {
                let again = self.within_limit(again, from, say);
                self.submit_again(&again, say)?;
                lost.clear();
            }
            let failed = look.count(|state| matches!(state, RunLook::Failed(_)));
            if self.options.max_failures.is_some_and(|most| failed >= most) {
                say(&format!("stopping after {}: the other runs are cancelled", counted(failed, "failure")));
                self.cancel(None)?;
                return Ok(Followed::Ended(Completion::Incomplete));
            }
            // The end is looked at twice, too.
            if !submits && lost.is_empty() && self.is_over(&look) && self.still_over()? {
                let done = self.is_done(&look, &reported, say)?;
                return Ok(Followed::Ended(if done { Completion::Complete } else { Completion::Incomplete }));
            }
            let pause = PAUSES[usize::from(began.elapsed() > BEGINNING)];
            let waited = Instant::now();
            while waited.elapsed() < pause {
                if stop.urgency().is_some() {
                    return Ok(Followed::Left);
                }
                std::thread::sleep(TICK);
            }
        }
    }

    /// Whether nothing can change without a new submission, and none is due.
    fn is_over(&self, look: &Look<'_>) -> bool {
        look.silence.is_none() && !look.is_alive() && self.lost(look).is_empty()
    }

    /// Whether every chosen run has come as far as it shall. One with a result beside a failure has that of before, which
    /// was put back.
    fn is_done(&self, look: &Look<'_>, reported: &BTreeSet<RunId>, say: &mut dyn FnMut(&str)) -> Result<bool> {
        let mut done = true;
        for (run, state) in look.runs.iter().filter(|(run, _)| self.is_chosen(run)) {
            done &= matches!(state, RunLook::Finished | RunLook::Stopped);
            let failure = self.workspace.dirs.store().run(&run.id)?.failure();
            if let (RunLook::Finished, Some(failure)) = (state, failure) {
                done = false;
                if !reported.contains(&run.id) {
                    say(&format!("{} FAILED: {}", run.id, failure.message.lines().next().unwrap_or_default()));
                }
            }
        }
        Ok(done)
    }

    /// Puts the results back that were set aside for a repetition which left none; returns what is said of them. Not while
    /// a task may still execute one of the runs.
    ///
    /// # Errors
    /// If a file cannot be moved.
    pub fn put_back(&self) -> Result<Option<String>> {
        let chosen = self.sweep.plan.runs.iter().filter(|run| self.is_chosen(run));
        put_back(self.workspace, chosen.map(|run| &run.id))
    }

    fn still_over(&mut self) -> Result<bool> {
        let look = self.look()?;
        Ok(self.is_over(&look))
    }

    /// Submits runs again. A scheduler that does not answer, or is full, is asked again at the next look.
    fn submit_again(&mut self, runs: &BTreeSet<RunId>, say: &mut dyn FnMut(&str)) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        match self.submit(runs, false) {
            Ok(0) => say("Slurm takes no more jobs for now; the rest is submitted when others have ended"),
            Ok(count) => say(&format!("{} submitted again", counted(count, "run"))),
            Err(error) => match error.downcast_ref::<SlurmError>() {
                Some(SlurmError::Unknown(_)) => say(&format!("{error}; it is asked again")),
                _ => return Err(error),
            },
        }
        Ok(())
    }

    /// The chosen runs that are unfinished and in no task.
    fn lost(&self, look: &Look<'_>) -> BTreeSet<RunId> {
        let open = look.runs.iter().filter(|(run, state)| *state == RunLook::Open && self.is_chosen(run));
        open.map(|(run, _)| run.id.clone()).filter(|id| !self.ledger.given_up.contains(id)).collect()
    }

    /// Keeps the runs that were not submitted too often since this process follows.
    fn within_limit(&mut self, runs: BTreeSet<RunId>, from: usize, say: &mut dyn FnMut(&str)) -> BTreeSet<RunId> {
        // A run of a further rung was not lost.
        let most = self.ledger.profile.resubmissions + rungs::most_rungs(&self.sweep.plan);
        let counts = self.ledger.counts(from);
        let (kept, over): (BTreeSet<RunId>, BTreeSet<RunId>) =
            runs.into_iter().partition(|run| counts.get(run).copied().unwrap_or(0) < most);
        for run in &over {
            say(&format!(
                "{run} was submitted again {most} times and is still unfinished: it is left for the next sweep"
            ));
        }
        self.ledger.given_up.extend(over);
        kept
    }

    /// Cancels runs, or all that are unfinished. Tasks that hold other runs, too, go on with those.
    ///
    /// # Errors
    /// If a run's directory cannot be written, or the scheduler does not answer.
    pub fn cancel(&mut self, only: Option<&BTreeSet<RunId>>) -> Result<usize> {
        let look = self.look()?;
        let unfinished = |state: &RunLook| {
            !matches!(state, RunLook::Finished | RunLook::Stopped | RunLook::Failed(_) | RunLook::Cancelled)
        };
        let mut cancelled = BTreeSet::new();
        for (run, state) in &look.runs {
            if unfinished(state) && only.is_none_or(|only| only.contains(&run.id)) {
                let dir = self.workspace.dirs.store().run(&run.id)?;
                dir.prepare(&run.config())?;
                dir.cancel()?;
                cancelled.insert(run.id.clone());
            }
        }
        match only {
            None => {
                self.dir.write(CANCELLED, b"")?;
                self.slurm.cancel(&self.ledger.jobs())?;
            }
            Some(_) => self.cancel_tasks(&cancelled)?,
        }
        put_back(self.workspace, &cancelled)?;
        Ok(cancelled.len())
    }

    /// Cancels the tasks all of whose runs are cancelled.
    fn cancel_tasks(&self, cancelled: &BTreeSet<RunId>) -> Result<()> {
        for task in self.slurm.queue()? {
            let pack = self
                .ledger
                .named(&task.name)
                .zip(task.index)
                .and_then(|(submission, index)| submission.packs.get(usize::try_from(index).ok()?));
            if let (Some(pack), Some(index)) = (pack, task.index)
                && pack.iter().all(|run| cancelled.contains(run))
            {
                self.slurm.cancel_task(task.job, index)?;
            }
        }
        Ok(())
    }

    /// The final states of tasks that did not complete, with their number, where the scheduler still knows them.
    pub fn ended_tasks(&self) -> Vec<(String, usize)> {
        let start = self.ledger.submissions.iter().map(|one| one.time).min().unwrap_or(0);
        let mut counts = std::collections::BTreeMap::new();
        for (_, state) in self.slurm.accounts(&self.ledger.jobs(), start) {
            *counts.entry(state).or_default() += 1;
        }
        counts.into_iter().filter(|(state, _)| state != "COMPLETED").collect()
    }
}

/// Says what changed since the last look: counts, and every failure once.
fn report(look: &Look<'_>, last: &mut String, reported: &mut BTreeSet<RunId>, say: &mut dyn FnMut(&str)) {
    for (run, state) in &look.runs {
        if let RunLook::Failed(message) = state
            && reported.insert(run.id.clone())
        {
            say(&format!("{} FAILED: {}", run.id, message.lines().next().unwrap_or_default()));
        }
    }
    let line = look.summary();
    if line != *last {
        say(&line);
        *last = line;
    }
}

impl Look<'_> {
    /// The counts in one line.
    pub fn summary(&self) -> String {
        let count = |wanted: &dyn Fn(&RunLook) -> bool| self.count(wanted);
        let parts: [(&str, usize); 8] = [
            ("finished", count(&|look| *look == RunLook::Finished)),
            ("running", count(&|look| *look == RunLook::Running)),
            ("in tasks", count(&|look| *look == RunLook::Queued)),
            ("failed", count(&|look| matches!(look, RunLook::Failed(_)))),
            ("stopped", count(&|look| *look == RunLook::Stopped)),
            ("cancelled", count(&|look| *look == RunLook::Cancelled)),
            ("unknown", count(&|look| *look == RunLook::Unknown)),
            ("in no task", count(&|look| *look == RunLook::Open)),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(_, count)| *count > 0).map(|(state, count)| format!("{count} {state}")).collect();
        let (running, waiting) = self.tasks;
        let tasks = match &self.silence {
            Some(error) => format!(" ({error})"),
            None if running + waiting > 0 => format!(" ({running} tasks running, {waiting} waiting)"),
            None => String::new(),
        };
        format!("{} of {}{tasks}", parts.join(", "), counted(self.runs.len(), "run"))
    }
}
