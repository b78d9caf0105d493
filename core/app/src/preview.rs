//! What a sweep would do: its job graph, the state of its runs, and an estimate of what is left.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use hashlab_exec::JobId;
use hashlab_kernels::device::DeviceName;
use hashlab_store::{PlanDir, RunId};
use hashlab_sweep::PlannedRun;

use crate::estimate::{Estimate, Estimates};
use crate::graph::{Shape, job_graph};
use crate::sweep::states;
use crate::{BadInput, Choice, Keep, Launch, PlannedSweep, Workspace, explained};

/// A sweep before it is executed.
pub struct Preview<'p> {
    /// Extractions of features that runs without a result need, each after those that it needs itself.
    pub stages: Vec<PreviewedStage>,
    /// The runs, in the order of the plan, then the external rows.
    pub runs: Vec<PreviewedRun<'p>>,
    /// The difference from the plan of the same name that was started last, if that is another one.
    pub since_last: Option<SinceLast>,
}

/// An extraction of features.
pub struct PreviewedStage {
    /// Its subject.
    pub title: String,
    /// Indices of the stages that it needs.
    pub needs: Vec<usize>,
}

/// A run.
pub struct PreviewedRun<'p> {
    /// The run.
    pub run: &'p PlannedRun,
    /// Its state in one word.
    pub state: &'static str,
    /// Whether a sweep would execute it now.
    pub due: bool,
    /// Indices of the stages that it needs; none if it has a result.
    pub needs: Vec<usize>,
    /// What it is likely to take, if earlier runs tell.
    pub estimate: Option<Estimate>,
}

/// Runs that a change of the experiment adds and drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinceLast {
    /// Runs of both plans.
    pub kept: usize,
    /// Runs of this plan alone.
    pub added: usize,
    /// Runs of the other plan alone.
    pub dropped: usize,
}

impl PlannedSweep {
    /// Describes what executing the sweep would do, without doing any of it.
    ///
    /// # Errors
    /// If the directory of runs cannot be read.
    pub fn preview(&self, workspace: &Workspace) -> Result<Preview<'_>> {
        let store = workspace.dirs.store();
        let sweep = store.sweep(&self.plan.name)?;
        let pending = self.pending_at_start(workspace, &Choice::default())?;
        let launch = Launch::new(workspace, &self.weights, DeviceName::Cpu, Keep::default())?;
        let dir = sweep.plan(&self.plan.digest())?;
        let graph = job_graph(workspace, &launch, &dir, &pending, &Shape::SINGLE)?;
        let numbers: BTreeMap<JobId, usize> =
            graph.ids().filter(|id| graph.job(*id).is_stage()).enumerate().map(|(at, id)| (id, at)).collect();
        let needs_of = |id: JobId| graph.needs(id).iter().map(|need| numbers[need]).collect::<Vec<_>>();
        let stages =
            numbers.keys().map(|id| PreviewedStage { title: graph.job(*id).title.to_string(), needs: needs_of(*id) });
        let due: BTreeSet<&RunId> = pending.iter().map(|pending| &pending.run.id).collect();
        let mut needs: BTreeMap<&RunId, Vec<usize>> = BTreeMap::new();
        for id in graph.ids() {
            needs.extend(graph.job(id).dirs().iter().map(|dir| (dir.id(), needs_of(id))));
        }
        let estimates = Estimates::of(&store, &self.plan)?;
        let external = || self.plan.external.iter().map(|row| &row.run);
        let mut finished: Vec<bool> = self.ended(workspace)?.iter().map(Option::is_some).collect();
        finished.extend(store.finished(external().map(|run| &run.id))?);
        let all: Vec<&PlannedRun> = self.plan.runs.iter().chain(external()).collect();
        let states = states(&store, all.iter().copied().zip(finished))?;
        let mut runs = Vec::with_capacity(all.len());
        for group in all.chunk_by(|a, b| a.shares_template(b)) {
            let estimate = estimates.for_run(group[0].template());
            runs.extend(group.iter().zip(&states[runs.len()..]).map(|(&run, &state)| PreviewedRun {
                run,
                state,
                due: due.contains(&run.id),
                needs: needs.remove(&run.id).unwrap_or_default(),
                estimate,
            }));
        }
        Ok(Preview { stages: stages.collect(), runs, since_last: self.since_last(workspace, &dir)? })
    }

    fn since_last(&self, workspace: &Workspace, dir: &PlanDir) -> Result<Option<SinceLast>> {
        let newest = workspace.dirs.store().sweep(&self.plan.name)?.newest()?;
        // A directory is named by its plan's digest.
        let Some(another) = newest.filter(|newest| newest.path() != dir.path()) else { return Ok(None) };
        let last = match workspace.plan_of(another) {
            Ok((last, _)) => last,
            // A damaged plan is written anew by the next sweep.
            Err(error) if error.is::<BadInput>() => return Ok(None),
            Err(error) => {
                tracing::warn!("what changed since the last plan is unknown: {}", explained(&error));
                return Ok(None);
            }
        };
        let now: BTreeSet<&RunId> = self.plan.runs.iter().map(|run| &run.id).collect();
        let then: BTreeSet<&RunId> = last.runs.iter().map(|run| &run.id).collect();
        let kept = now.intersection(&then).count();
        let since = SinceLast { kept, added: now.len() - kept, dropped: then.len() - kept };
        Ok(Some(since).filter(|since| since.added + since.dropped > 0))
    }
}
