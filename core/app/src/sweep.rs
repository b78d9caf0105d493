//! A sweep: pending runs, their execution, and the files that it leaves beside them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use hashlab_exec::{
    Completion, JobGraph, JobId, LocalExecutor, LocalOptions, Observer, Scheduler, StopRequests, Summary,
};
use hashlab_kernels::device::{DeviceError, DeviceName};
use hashlab_pipeline::check_batches;
use hashlab_pipeline::run::split_of;
use hashlab_report::{Outcome, SweepReport};
use hashlab_settings::canonical;
use hashlab_store::{PlanDir, RunDir, RunId, StoreError};
use hashlab_sweep::PlannedRun;

use crate::collect::{self, COMMAND};
use crate::graph::{PendingRun, job_graph};
use crate::models::{self, Keep};
use crate::workspace::{PlannedSweep, Workspace};
use crate::{Launch, bad_input};

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

impl PlannedSweep {
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
            if !self.plan.runs.iter().any(|run| run.template().method == *method) {
                return Err(bad_input(format!(
                    "the sweep has no run of `{method}`, so that `--rerun {method}` repeats nothing"
                )));
            }
        }
        let pending = self.pending(workspace, &options.rerun)?;
        check_data(workspace, &pending)?;
        self.measure_external(workspace)?;
        match options.device.open() {
            // It may lie elsewhere, and nothing is left to compute.
            Err(DeviceError::Unavailable(..)) if pending.is_empty() => {}
            opened => _ = opened?, // workers open it themselves
        }
        if !pending.is_empty() {
            workspace.dirs.store().check_writable().map_err(|error| unwritable(&error))?;
        }
        // From here on, a signal leaves runs that go on from where they were.
        let stop = if pending.is_empty() { Ok(StopRequests::new()) } else { StopRequests::install() };
        let stop = stop.context("cannot listen to signals")?;
        // Nothing is given up for a sweep that could not start.
        self.discard(workspace, &options.rerun)?;
        let digest = self.plan.digest();
        let sweep = workspace.dirs.store().sweep(&self.plan.name)?;
        let dir = sweep.plan(&digest)?;
        let recorded = self.record(&dir).and_then(|()| Ok(sweep.set_newest(&digest)?));
        let writable = recorded.is_ok();
        let mut warnings: Vec<String> = recorded.err().into_iter().map(|error| error.to_string()).collect();
        let (completion, failures) = if pending.is_empty() {
            (Completion::Complete, BTreeMap::new())
        } else {
            self.run_graph(workspace, options, &dir, &pending, observer, stop)?
        };
        let mut report = collect::report(workspace, &self.plan, self.command.clone())?;
        add_unrecorded(&mut report, failures);
        // Runs that others removed since.
        let lost = report.runs.iter().any(|run| matches!(run.outcome, Outcome::Missing));
        let completion = if completion == Completion::Complete && lost { Completion::Incomplete } else { completion };
        if completion == Completion::Complete && options.keep == Keep::Selected {
            let kept = models::keep_selected(&workspace.dirs.store(), &report.runs);
            warnings.extend(kept.err().map(|error| error.to_string()));
        }
        warnings.extend(models::keep_mismatch(&workspace.dirs.store(), &report.runs, options.keep)?);
        Ok(Executed { completion, dir: writable.then_some(dir), warnings, report })
    }

    /// Removes the results of methods that are to be repeated.
    fn discard(&self, workspace: &Workspace, methods: &[String]) -> Result<()> {
        let store = workspace.dirs.store();
        for run in self.plan.runs.iter().filter(|run| methods.contains(&run.template().method)) {
            store.run(&run.id)?.discard()?;
        }
        Ok(())
    }

    /// The runs without a result, and those that are to be repeated.
    pub(crate) fn pending(&self, workspace: &Workspace, rerun: &[String]) -> Result<Vec<PendingRun<'_>>> {
        let mut pending = Vec::new();
        for (run, ended) in self.plan.runs.iter().zip(self.ended(workspace)?) {
            let method = run.template().method.as_str();
            if ended.is_none() || rerun.iter().any(|repeated| repeated == method) {
                pending.push(PendingRun { run, deep: workspace.registry.method(method)?.deep });
            }
        }
        Ok(pending)
    }

    /// Keeps the file as run, the command and the plan.
    fn record(&self, dir: &PlanDir) -> Result<()> {
        dir.write("sweep.toml", self.text.as_bytes())?;
        dir.write(COMMAND, self.command.as_bytes())?;
        dir.write_plan(|out| self.plan.write_jsonl(out))?;
        Ok(())
    }

    fn run_graph(
        &self,
        workspace: &Workspace,
        options: &SweepOptions,
        dir: &PlanDir,
        pending: &[PendingRun<'_>],
        observer: &mut dyn Observer,
        stop: StopRequests,
    ) -> Result<(Completion, Failures)> {
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
            .prepare_runs(|dir| dir.prepare(&configs[dir.id()].config()).map_err(|error| error.to_string()))
            .run();
        Ok((summary.completion(), failures(&graph, &summary)))
    }
}

/// Reasons of the runs that failed.
type Failures = BTreeMap<RunId, String>;

fn failures(graph: &JobGraph, summary: &Summary) -> Failures {
    let of_job = |job: JobId| graph.job(job).dirs().iter().zip(summary.of(job));
    let reason = |(dir, ended): (&RunDir, &hashlab_exec::Outcome)| match ended {
        hashlab_exec::Outcome::Failed { message } => Some((dir.id().clone(), message.clone())),
        _ => None,
    };
    graph.ids().flat_map(of_job).filter_map(reason).collect()
}

/// Adds failures that could not be written into the run's directory, as on a full disk.
fn add_unrecorded(report: &mut SweepReport, mut failures: Failures) {
    for run in report.runs.iter_mut().filter(|run| matches!(run.outcome, Outcome::Missing)) {
        if let Some(message) = failures.remove(&run.run) {
            run.outcome = Outcome::Failed { first_line: message.lines().next().unwrap_or_default().to_owned() };
        }
    }
}

/// Says that no run can be kept, and what to do about it.
fn unwritable(error: &StoreError) -> anyhow::Error {
    let text = error.to_string();
    let help =
        if text.contains("\nhelp: ") { "" } else { "\nhelp: `--runs DIR` or HASHLAB_RUNS names another directory" };
    bad_input(format!("{text}{help}"))
}

/// The first run of each template.
fn templates<'p>(pending: &'p [PendingRun<'p>]) -> impl Iterator<Item = &'p PlannedRun> {
    let groups = pending.chunk_by(|a, b| a.run.shares_template(b.run));
    groups.map(|group| group[0].run)
}

/// Opens and splits the data once, so that what every run would fail at is said before anything starts.
fn check_data(workspace: &Workspace, pending: &[PendingRun<'_>]) -> Result<()> {
    let mut trained: BTreeMap<String, usize> = BTreeMap::new();
    for config in templates(pending).map(|run| run.template()) {
        let parts = serde_json::json!([config.dataset, config.data, config.protocol, config.split_seed]);
        let items = match trained.entry(canonical(&parts)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let dataset = workspace.registry.dataset(&config.dataset)?.open(&config.data, &workspace.dirs.data)?;
                *new.insert(split_of(config, dataset.as_ref())?.train.len())
            }
        };
        let batches = check_batches(config, workspace.registry.encoders, items);
        batches.map_err(|error| bad_input(error.to_string()))?;
    }
    Ok(())
}
