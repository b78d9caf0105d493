//! Runs that are executed again in a directory of their own, and compared with what they were.

mod compare;

use std::path::PathBuf;

use anyhow::Result;
use hashlab_store::{RunDir, RunId, RunState, counted};
use hashlab_sweep::{EXTERNAL_METHOD, Plan, PlannedRun, Selector};

use crate::graph::file_digests;
use crate::retrieval::unknown_file;
use crate::weights::EncoderFiles;
use crate::{Dirs, PlannedSweep, Workspace, bad_input};
pub use compare::{Comparison, Difference, Part};

/// Finished runs that are to be executed again.
pub struct Reproduction {
    /// The runs as a sweep of their own.
    pub sweep: PlannedSweep,
    /// The runs as they were, in the same order.
    pub originals: Vec<RunDir>,
    /// What is left out, in words.
    pub left_out: Vec<String>,
    /// The workspace in which they are executed.
    pub workspace: Workspace,
}

impl Workspace {
    /// Prepares a run, or the finished runs of a sweep that any selector selects, to be executed again in the directory
    /// `into`, where results of an earlier reproduction are removed. Features are extracted again unless they are `cached`.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if there is nothing to reproduce, if a file of an encoder is not known, or if the data
    /// set is not the one of the runs.
    pub fn reproduction(
        &self,
        target: &Target,
        only: &[Selector],
        into: PathBuf,
        cached: bool,
    ) -> Result<Reproduction> {
        let mut left_out = Vec::new();
        let (plan, mut weights) = match target {
            Target::Run(run) => (alone(run)?, EncoderFiles::default()),
            Target::Sweep(name) => self.finished(name, only, &mut left_out)?,
        };
        let store = self.dirs.store();
        let originals = plan.runs.iter().map(|run| Ok(store.run(&run.id)?)).collect::<Result<Vec<_>>>()?;
        weights.extend(EncoderFiles::noted(&self.dirs.weight_notes()));
        self.check(&plan, &weights)?;
        if same(&into, &self.dirs.runs) {
            let into = into.display();
            return Err(bad_input(format!("`--out {into}` holds the runs themselves\nhelp: name another directory")));
        }
        let cache_dir = cached.then(|| self.dirs.cache_path());
        let workspace = Self { dirs: Dirs { runs: into, cache_dir, ..self.dirs.clone() }, ..self.clone() };
        let own = workspace.dirs.store();
        for run in &plan.runs {
            own.run(&run.id)?.set_aside()?;
        }
        let command = format!("hashlab reproduce {}", target.name());
        let sweep = self.planned(plan, weights, command);
        Ok(Reproduction { sweep, originals, left_out, workspace })
    }

    /// The runs of a sweep that are finished and that a selector selects.
    fn finished(&self, name: &str, only: &[Selector], left_out: &mut Vec<String>) -> Result<(Plan, EncoderFiles)> {
        let store = self.dirs.store();
        let (sweep, _) = self.stored_sweep(name)?;
        let mut plan = sweep.plan;
        let finished = store.finished(plan.runs.iter().map(|run| &run.id))?;
        let (mut kept, mut unfinished) = (Vec::new(), 0);
        for (run, finished) in plan.runs.drain(..).zip(finished) {
            if !only.is_empty() && !only.iter().any(|selector| selector.selects(&run, "finished")) {
                continue;
            }
            if finished { kept.push(run) } else { unfinished += 1 }
        }
        let mut leave = |count: usize, why: &str| {
            left_out.extend((count > 0).then(|| format!("{} {why}", counted(count, "run"))));
        };
        leave(unfinished, "without a result left out");
        leave(plan.external.len(), "of external rows left out: others computed the codes");
        plan.external.clear();
        plan.runs = kept;
        if plan.runs.is_empty() {
            return Err(bad_input(format!(
                "there is nothing to reproduce of `{name}`\nhelp: `hashlab ls {name}` lists its runs; `--only` names \
                 finished ones"
            )));
        }
        Ok((plan, sweep.weights))
    }

    /// Checks that the runs can be executed here as they were.
    fn check(&self, plan: &Plan, weights: &EncoderFiles) -> Result<()> {
        for group in plan.runs.chunk_by(PlannedRun::shares_template) {
            let (run, config) = (&group[0], group[0].template());
            self.registry.method(&config.method)?;
            for digest in file_digests(config)? {
                weights.path_of(&digest).map(drop).ok_or_else(|| unknown_file(&run.id, &digest))?;
            }
            let described = self.registry.dataset(&config.dataset)?.describe(&config.data, &self.dirs.data)?;
            if described.identity != config.dataset_identity {
                return Err(bad_input(format!(
                    "the data set `{}` here is not that of run `{}`: it is {}, and was {}\nhelp: `--data-dir DIR` names a \
                     directory with another",
                    config.dataset, run.id, described.identity, config.dataset_identity
                )));
            }
        }
        Ok(())
    }
}

/// What is reproduced.
pub enum Target {
    /// A run.
    Run(RunDir),
    /// A sweep by its name.
    Sweep(String),
}

impl Target {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Run(run) => &run.id().0,
            Self::Sweep(name) => name,
        }
    }
}

/// A plan of one finished run.
fn alone(run: &RunDir) -> Result<Plan> {
    let config = run.config()?;
    if config.method == EXTERNAL_METHOD {
        return Err(bad_input(format!("run `{}` measures codes that others computed, and computes none", run.id())));
    }
    if !matches!(run.state(), RunState::Finished(_)) {
        let (id, state) = (run.id(), run.state().name());
        return Err(bad_input(format!("run `{id}` is {state}, so that there is nothing to compare with")));
    }
    Ok(Plan {
        pruning: None,
        name: run.id().0.clone(),
        dataset: config.dataset.clone(),
        dataset_title: config.dataset.clone(),
        protocol: config.protocol.clone(),
        protocol_description: String::new(),
        runs: vec![PlannedRun::alone(config)],
        external: Vec::new(),
    })
}

/// Whether both paths lead to one directory.
fn same(one: &std::path::Path, other: &std::path::Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

impl Reproduction {
    /// Compares each run with what it was.
    ///
    /// # Errors
    /// If a run has no result, or a model cannot be read.
    pub fn compare(&self) -> Result<Vec<Comparison>> {
        let store = self.workspace.dirs.store();
        let pairs = self.originals.iter().map(|original| -> Result<_> { Ok((original, store.run(original.id())?)) });
        pairs.map(|pair| pair.and_then(|(original, again)| compare::compare(original, &again))).collect()
    }

    /// The runs whose reproduction has no result.
    ///
    /// # Errors
    /// If a run's name is none.
    pub fn unfinished(&self) -> Result<Vec<RunId>> {
        let store = self.workspace.dirs.store();
        let ids = || self.originals.iter().map(RunDir::id);
        let finished = store.finished(ids())?;
        Ok(ids().zip(finished).filter(|(_, finished)| !finished).map(|(id, _)| id.clone()).collect())
    }
}
