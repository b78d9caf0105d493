//! A sweep: pending runs, their execution, and the files that it leaves beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use hashlab_exec::{Completion, LocalExecutor, LocalOptions, Observer, Scheduler, StopRequests};
use hashlab_kernels::device::DeviceName;
use hashlab_pipeline::run::split_of;
use hashlab_report::SweepReport;
use hashlab_settings::canonical;
use hashlab_store::{PlanDir, RunId, RunState};
use hashlab_sweep::{Plan, PlannedRun};

use crate::collect::{self, COMMAND};
use crate::graph::{PendingRun, job_graph};
use crate::provenance::SOURCES;
use crate::weights::EncoderFiles;
use crate::{Launch, Workspace, bad_input, models};

/// A plan with what executing it takes.
pub struct PlannedSweep {
    /// The runs.
    pub plan: Plan,
    /// The files of the runs' encoders.
    pub weights: EncoderFiles,
    /// The experiment file as it was read.
    pub text: String,
    /// The command that makes the same plan.
    pub command: String,
}

/// How a sweep is executed.
pub struct SweepOptions {
    /// Where runs compute.
    pub device: DeviceName,
    /// Runs at once; `None` lets the machine decide.
    pub jobs: Option<NonZeroUsize>,
    /// Which models are kept.
    pub keep: Keep,
    /// Methods whose finished runs are repeated.
    pub rerun: Vec<String>,
    /// Advice for a process that ran out of memory.
    pub memory_advice: String,
}

/// Which runs keep their model, `model.safetensors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Those of the setting that the table selects for each row and code length.
    #[default]
    Selected,
    /// All.
    All,
    /// None.
    None,
}

impl Keep {
    /// Every choice with its name.
    pub const ALL: [(&'static str, Self); 3] = [("selected", Self::Selected), ("all", Self::All), ("none", Self::None)];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selected => "selected",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// The end of a sweep.
pub struct Executed {
    /// Whether every run has a result.
    pub completion: Completion,
    /// The directory of the plan's own files; `None` if they could not be written.
    pub dir: Option<PlanDir>,
    /// What could not be written beside the runs, which loses no result.
    pub warnings: Vec<String>,
    /// What the runs left.
    pub report: SweepReport,
}

/// Finished runs whose method has other sources now.
pub struct StaleRuns {
    /// The method.
    pub method: String,
    /// How many of its finished runs.
    pub runs: usize,
}

impl PlannedSweep {
    /// Finds finished runs that other sources of their method made.
    ///
    /// # Errors
    /// If a method is not registered.
    pub fn stale_runs(&self, workspace: &Workspace) -> Result<Vec<StaleRuns>> {
        let mut stale: BTreeMap<&str, usize> = BTreeMap::new();
        let store = workspace.dirs.store();
        let mut digests: BTreeMap<&str, String> = BTreeMap::new();
        for run in &self.plan.runs {
            let name = run.config.method.as_str();
            if !digests.contains_key(name) {
                digests.insert(name, workspace.registry.method(name)?.source_digest());
            }
            let made_by = store.run(&run.id)?.result().and_then(|result| result.provenance.get(SOURCES).cloned());
            if made_by.is_some_and(|digest| digest != digests[name]) {
                *stale.entry(name).or_default() += 1;
            }
        }
        Ok(stale.into_iter().map(|(method, runs)| StaleRuns { method: method.to_owned(), runs }).collect())
    }

    /// Executes the runs without a result, and collects the report of all.
    ///
    /// # Errors
    /// If the data cannot be opened, the device cannot be used, or nothing can be started at all.
    pub fn execute(
        &self,
        workspace: &Workspace,
        options: &SweepOptions,
        observer: &mut dyn Observer,
    ) -> Result<Executed> {
        for method in &options.rerun {
            workspace.registry.method(method)?;
            if !self.plan.runs.iter().any(|run| run.config.method == *method) {
                return Err(bad_input(format!("`{method}` is to be repeated, and the sweep has no run of it")));
            }
        }
        let pending = self.pending(workspace, &options.rerun)?;
        check_data(workspace, &pending)?;
        if !pending.is_empty() {
            options.device.open()?; // and closed again: workers open it themselves
        }
        // Nothing is given up for a sweep that could not start.
        self.discard(workspace, &options.rerun)?;
        let digest = self.plan.digest();
        let sweep = workspace.dirs.store().sweep(&self.plan.name)?;
        let dir = sweep.plan(&digest)?;
        let recorded = self.record(&dir).and_then(|()| Ok(sweep.set_newest(&digest)?));
        let writable = recorded.is_ok();
        let mut warnings: Vec<String> = recorded.err().into_iter().map(|error| error.to_string()).collect();
        let completion = if pending.is_empty() {
            Completion::Complete
        } else {
            self.run_graph(workspace, options, &dir, &pending, observer)?
        };
        let report = collect::report(workspace, &self.plan, self.command.clone())?;
        if completion == Completion::Complete && options.keep == Keep::Selected {
            let kept = models::keep_selected(&workspace.dirs.store(), &report.runs);
            warnings.extend(kept.err().map(|error| error.to_string()));
        }
        Ok(Executed { completion, dir: writable.then_some(dir), warnings, report })
    }

    /// Removes the results of methods that are to be repeated.
    fn discard(&self, workspace: &Workspace, methods: &[String]) -> Result<()> {
        let store = workspace.dirs.store();
        for run in self.plan.runs.iter().filter(|run| methods.contains(&run.config.method)) {
            store.run(&run.id)?.discard()?;
        }
        Ok(())
    }

    /// The runs without a result, and those that are to be repeated.
    fn pending(&self, workspace: &Workspace, rerun: &[String]) -> Result<Vec<PendingRun<'_>>> {
        let store = workspace.dirs.store();
        let mut pending = Vec::new();
        for run in &self.plan.runs {
            let repeated = rerun.contains(&run.config.method);
            if repeated || !matches!(store.run(&run.id)?.state(), RunState::Finished(_)) {
                pending.push(PendingRun { run, deep: workspace.registry.method(&run.config.method)?.deep });
            }
        }
        Ok(pending)
    }

    /// Keeps the file as run, the command and the plan.
    fn record(&self, dir: &PlanDir) -> Result<()> {
        dir.write("sweep.toml", self.text.as_bytes())?;
        dir.write(COMMAND, self.command.as_bytes())?;
        dir.write_plan(self.plan.to_jsonl().as_bytes())?;
        Ok(())
    }

    fn run_graph(
        &self,
        workspace: &Workspace,
        options: &SweepOptions,
        dir: &PlanDir,
        pending: &[PendingRun<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Completion> {
        let stop = StopRequests::install().context("cannot listen to signals")?;
        let launch = Launch::new(workspace, &self.weights, options.device, options.keep)?;
        let graph = job_graph(workspace, &launch, dir, pending)?;
        let mut executor = LocalExecutor::new(LocalOptions {
            jobs: options.jobs,
            gpu: options.device != DeviceName::Cpu,
            memory_advice: options.memory_advice.clone(),
            ..LocalOptions::default()
        });
        let configs: BTreeMap<&RunId, &PlannedRun> = pending.iter().map(|run| (&run.run.id, run.run)).collect();
        let summary = Scheduler::new(&graph, &mut executor, observer, stop)
            .prepare_runs(|dir| dir.prepare(&configs[dir.id()].config).map_err(|error| error.to_string()))
            .run();
        Ok(summary.completion())
    }
}

/// Opens and splits the data once, so that what every run would fail at is said before anything starts.
fn check_data(workspace: &Workspace, pending: &[PendingRun<'_>]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for config in pending.iter().map(|pending| &pending.run.config) {
        let parts = serde_json::json!([config.dataset, config.data, config.protocol, config.split_seed]);
        if seen.insert(canonical(&parts)) {
            let dataset = workspace.registry.dataset(&config.dataset)?.open(&config.data, &workspace.dirs.data)?;
            split_of(config, dataset.as_ref())?;
        }
    }
    Ok(())
}
