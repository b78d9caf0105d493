//! Asynchronous successive halving: a run decides at each rung by what others have found there so far. As that depends on
//! which come first, every decision is written down, and holds whenever the run is executed again.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hashlab_store::{Lock, PlanDir, RunId};
use hashlab_sweep::{Plan, Pruning, PruningMethod};
use serde::{Deserialize, Serialize};

use crate::Workspace;

/// The decisions of a plan, one line each.
const DECISIONS: &str = "asha.jsonl";

/// Name of the file that lets one process decide at a time.
const LOCK: &str = "asha.lock";

/// Pause before another process is asked again for its turn.
const PAUSE: Duration = Duration::from_millis(20);

/// A decision on a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// The run.
    pub(crate) run: RunId,
    /// The runs that it is compared with: those of its row, code length and seed.
    contest: String,
    /// Epochs of the rung.
    rung: usize,
    /// Best validation mAP so far; absent if there is none.
    validation: Option<f64>,
    /// Whether the run goes on.
    pub(crate) goes_on: bool,
}

/// Reads the decisions of a plan, in their order. A line that a dying process left half-written is skipped.
pub(crate) fn decisions(dir: &PlanDir) -> Vec<Decision> {
    let text = dir.read(DECISIONS).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The rungs of a run, and where it decides.
pub(crate) struct Rungs {
    dir: PlanDir,
    pruning: Pruning,
    rungs: Vec<usize>,
    run: RunId,
    contest: String,
}

impl Rungs {
    /// Finds a run of the plan `NAME/DIGEST`; `None` if its runs do not decide for themselves.
    ///
    /// # Errors
    /// If there is no such plan, or it does not hold the run.
    pub(crate) fn of(workspace: &Workspace, plan: &str, run: &RunId, epochs: usize) -> Result<Option<Self>> {
        let (name, digest) = plan.split_once('/').context("a plan is named NAME/DIGEST")?;
        let (plan, dir) = workspace.plan_of(workspace.dirs.store().sweep(name)?.plan(digest)?)?;
        let Plan { pruning, runs, .. } = plan;
        let Some(pruning) = pruning.filter(|pruning| pruning.method == PruningMethod::Asha) else { return Ok(None) };
        let planned = runs.iter().find(|planned| planned.id == *run).context("the run is in no plan")?;
        let contest = format!("{}, {} bits, seed {}", planned.label, planned.bits, planned.seed);
        Ok(Some(Self { dir, rungs: pruning.rungs(epochs), pruning, run: run.clone(), contest }))
    }

    /// Whether the run stops after so many epochs. `validation` is its best validation mAP so far.
    ///
    /// # Errors
    /// If the decision cannot be written down.
    pub(crate) fn stops(&self, epoch: usize, validation: impl FnOnce() -> Option<f64>) -> Result<bool> {
        if !self.rungs.contains(&epoch) {
            return Ok(false);
        }
        let _turn = self.turn()?;
        let mut all = decisions(&self.dir);
        if let Some(known) = all.iter().find(|one| one.run == self.run && one.rung == epoch) {
            return Ok(!known.goes_on);
        }
        let validation = validation();
        let others = all.iter().filter(|one| one.rung == epoch && one.contest == self.contest);
        let goes_on = self.pruning.goes_on(validation, others.map(|one| one.validation));
        let (run, contest) = (self.run.clone(), self.contest.clone());
        all.push(Decision { run, contest, rung: epoch, validation, goes_on });
        let lines: Vec<String> = all.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        self.dir.write(DECISIONS, (lines.join("\n") + "\n").as_bytes()).context("cannot record a decision")?;
        Ok(!goes_on)
    }

    /// Waits until no other process decides.
    fn turn(&self) -> Result<Lock> {
        loop {
            if let Some(turn) = self.dir.lock(LOCK)? {
                return Ok(turn);
            }
            thread::sleep(PAUSE);
        }
    }
}
