//! Runs that are stopped early: what each is to do next, and what the stops have saved.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use anyhow::Result;
use hashlab_exec::event::VALIDATION;
use hashlab_pipeline::config::section;
use hashlab_settings::Settings;
use hashlab_store::{Point, RunId, RunResult, Status, Store};
use hashlab_sweep::{Plan, PlannedRun, Pruning, PruningMethod, Standing, Turn};
use hashlab_train::TrainConfig;

use crate::{Workspace, asha};

/// What is known of a run.
struct Run {
    standing: Standing,
    diverged: bool,
    journal: OnceCell<Vec<Point>>,
}

/// What a result tells about pruning.
#[derive(Clone, Copy)]
struct Ended {
    diverged: bool,
    seconds: Option<f64>,
}

impl From<RunResult> for Ended {
    fn from(result: RunResult) -> Self {
        Self { diverged: result.status == Status::Diverged, seconds: result.seconds.get("train").copied() }
    }
}

/// What every run of a plan is to do next; `None` where no run is stopped early.
pub(crate) fn turns(workspace: &Workspace, plan: &Plan) -> Result<Option<Vec<Turn>>> {
    let Some(pruning) = &plan.pruning else { return Ok(None) };
    let store = workspace.dirs.store();
    let ended = store.results_as(plan.runs.iter().map(|run| &run.id), Ended::from)?;
    let runs = runs(workspace, plan, &ended)?;
    if pruning.method == PruningMethod::Asha {
        return Ok(Some(decided(workspace, plan, &runs)?));
    }
    let mut turns = vec![Turn::Wait; plan.runs.len()];
    for contest in plan.contests() {
        let validation = |run: usize, epoch: usize| runs[run].validation(&store, plan, run, epoch);
        for (run, turn) in pruning.turns(&contest, |run| runs[run].standing, validation) {
            turns[run] = turn;
        }
    }
    Ok(Some(turns))
}

/// The turns of runs that decide for themselves.
fn decided(workspace: &Workspace, plan: &Plan, runs: &[Run]) -> Result<Vec<Turn>> {
    let dir = workspace.dirs.store().sweep(&plan.name)?.plan(&plan.digest())?;
    let stopped: BTreeSet<RunId> =
        asha::decisions(&dir).into_iter().filter(|decision| !decision.goes_on).map(|decision| decision.run).collect();
    let turn = |(planned, run): (&PlannedRun, &Run)| match run.standing {
        Standing { ended: true, .. } => Turn::Wait,
        Standing { reached: 1.., .. } if stopped.contains(&planned.id) => Turn::Stop,
        _ => Turn::Train { until: None },
    };
    Ok(plan.runs.iter().zip(runs).map(turn).collect())
}

fn runs(workspace: &Workspace, plan: &Plan, ended: &[Option<Ended>]) -> Result<Vec<Run>> {
    let store = workspace.dirs.store();
    let begun = store.begun()?;
    let mut runs = Vec::with_capacity(plan.runs.len());
    for (run, ended) in plan.runs.iter().zip(ended) {
        let deep = workspace.registry.method(&run.template().method)?.deep;
        let epochs = if deep { epochs(&run.template().train)? } else { 0 };
        let stopped = if begun.contains(&run.id) { store.run(&run.id)?.stopped() } else { None };
        let reached = stopped.map_or(0, |stopped| stopped.epoch);
        let standing = Standing { epochs, reached, ended: ended.is_some() };
        runs.push(Run { standing, diverged: ended.is_some_and(|ended| ended.diverged), journal: OnceCell::new() });
    }
    Ok(runs)
}

fn epochs(train: &Settings) -> Result<usize> {
    Ok(section::<TrainConfig>(train)?.epochs)
}

impl Run {
    /// The best validation mAP up to an epoch; `None` for a run that diverged.
    fn validation(&self, store: &Store, plan: &Plan, index: usize, epoch: usize) -> Option<f64> {
        if self.diverged {
            return None;
        }
        let read = || store.run(&plan.runs[index].id).map(|dir| dir.metrics()).unwrap_or_default();
        best_validation(self.journal.get_or_init(read), epoch)
    }
}

/// The best validation mAP of a journal up to an epoch.
pub(crate) fn best_validation(journal: &[Point], epoch: usize) -> Option<f64> {
    let points = journal.iter().take_while(|point| point.step <= epoch as u64);
    points.filter_map(|point| point.values.get(VALIDATION).copied().flatten()).reduce(f64::max)
}

/// The part of a plan's training that stopping runs has left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saved {
    /// Runs that stay stopped.
    pub stopped: usize,
    /// Runs of deep methods.
    pub runs: usize,
    /// Epochs that the stopped runs have left.
    pub epochs: usize,
    /// Epochs of all runs to their ends.
    pub of_epochs: usize,
    /// Seconds of these epochs, at the mean pace of the finished runs of the same row and code length; `None` if none
    /// of them has finished.
    pub seconds: Option<f64>,
}

impl Saved {
    /// The share of epochs in words.
    pub fn epochs_in_words(&self) -> String {
        let Self { stopped, runs, epochs, of_epochs, .. } = self;
        let share = 100.0 * *epochs as f64 / (*of_epochs).max(1) as f64;
        format!("{stopped} of {runs} runs stopped early, which left out {epochs} of {of_epochs} epochs ({share:.0} %)")
    }
}

/// Sums up what pruning has saved; `None` where no run is stopped early.
pub(crate) fn saved(workspace: &Workspace, plan: &Plan) -> Result<Option<Saved>> {
    let Some(turns) = turns(workspace, plan)? else { return Ok(None) };
    let store = workspace.dirs.store();
    let ended = store.results_as(plan.runs.iter().map(|run| &run.id), Ended::from)?;
    let runs = runs(workspace, plan, &ended)?;
    let mut saved = Saved { stopped: 0, runs: 0, epochs: 0, of_epochs: 0, seconds: None };
    for contest in plan.contests() {
        let members: Vec<usize> = contest.into_iter().flatten().filter(|run| runs[*run].standing.epochs > 0).collect();
        let pace = |run: &usize| Some(ended[*run]?.seconds? / runs[*run].standing.epochs as f64);
        let paces: Vec<f64> = members.iter().filter_map(pace).collect();
        let pace = paces.iter().sum::<f64>() / paces.len() as f64;
        for run in members {
            let Standing { epochs, reached, .. } = runs[run].standing;
            saved.runs += 1;
            saved.of_epochs += epochs;
            if turns[run] == Turn::Stop {
                let left = epochs.saturating_sub(reached);
                saved.stopped += 1;
                saved.epochs += left;
                if pace.is_finite() {
                    *saved.seconds.get_or_insert(0.0) += pace * left as f64;
                }
            }
        }
    }
    Ok(Some(saved))
}

/// The largest number of rungs of a plan's runs: as often as that, a run is started beyond its first time.
pub(crate) fn most_rungs(plan: &Plan) -> usize {
    let rungs = |pruning: &Pruning| {
        let longest = plan.runs.iter().filter_map(|run| epochs(&run.template().train).ok()).max();
        pruning.rungs(longest.unwrap_or(0)).len()
    };
    plan.pruning.as_ref().map_or(0, rungs)
}
