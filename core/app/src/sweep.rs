//! A sweep: pending runs, their execution, and the files that it leaves beside them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use candle_core::Device;
use hashlab_cache::FeatureCache;
use hashlab_exec::{
    Completion, JobGraph, JobId, Limits, LocalExecutor, LocalOptions, Observer, Scheduler, StopRequests, Summary,
};
use hashlab_kernels::device::{DeviceError, DeviceName};
use hashlab_pipeline::run::{described_features, split_of};
use hashlab_pipeline::{check_batches, check_devices};
use hashlab_report::{Outcome, SweepReport};
use hashlab_settings::canonical;
use hashlab_store::{PlanDir, RunConfig, RunDir, RunId, RunState, Store, counted};
use hashlab_sweep::{PlannedRun, PruningMethod, Turn};
use serde_json::json;

use crate::collect::{self, COMMAND};
use crate::devices::of_devices;
use crate::estimate::Estimates;
use crate::graph::{Goal, PendingRun, Shape, job_graph, networks};
use crate::models::{self, Keep};
use crate::rungs::{self, Saved};
use crate::weights::EncoderFiles;
use crate::worker::with_environment;
use crate::workspace::{PlannedSweep, Workspace};
use crate::{Choice, Devices, Launch, bad_input, memory, stored};

/// How a sweep is executed.
pub struct SweepOptions {
    /// Where runs compute: one device, or several GPUs among which they are divided.
    pub devices: Devices,
    /// Runs at once; `None` lets the machine decide.
    pub jobs: Option<NonZeroUsize>,
    /// The most runs that are trained stacked in one process; 1 for none.
    pub stack: NonZeroUsize,
    /// Which models are kept.
    pub keep: Keep,
    /// The runs that are meant.
    pub choice: Choice,
    /// Number of failures after which nothing else is started; `None` to go on.
    pub max_failures: Option<usize>,
    /// Whether only the features of the runs are extracted.
    pub features_only: bool,
    /// Limits of a run on this machine.
    pub limits: Limits,
    /// Number of times that a run is repeated whose failure may pass.
    pub retries: usize,
    /// Memory in bytes of all runs together; `None` for what is free when the sweep begins.
    pub memory: Option<u64>,
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
    /// What stopping runs has saved, if the experiment stops any.
    pub saved: Option<Saved>,
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
        options.choice.check(workspace, &self.plan)?;
        let pending = self.pending_at_start(workspace, &options.choice)?;
        check_data(workspace, &pending)?;
        let most = options.devices.check(templates(&pending).map(PlannedRun::template))?;
        self.measure_external(workspace)?;
        match options.devices.open(most) {
            // It may lie elsewhere, and nothing is left to compute.
            Err(DeviceError::Unavailable(..)) if pending.is_empty() => {}
            opened => opened.map_err(|error| of_devices(error, most))?, // workers open it themselves
        }
        check_places(workspace, &pending)?;
        // From here on, a signal leaves runs that go on from where they were.
        let stop = if pending.is_empty() { Ok(StopRequests::new()) } else { StopRequests::install() };
        let stop = stop.context("cannot listen to signals")?;
        self.set_aside(workspace, &options.choice)?;
        let (dir, recorded) = self.begin(workspace, &pending)?;
        let writable = recorded.is_ok();
        let mut warnings: Vec<String> = recorded.err().into_iter().map(|error| error.to_string()).collect();
        let ran = if pending.is_empty() {
            Ok((Completion::Complete, BTreeMap::new()))
        } else {
            self.run_rungs(workspace, options, &dir, &pending, observer, &stop)
        };
        warnings.extend(put_back(workspace, pending.iter().map(|pending| &pending.run.id))?);
        let (completion, failures) = ran?;
        let mut ended = self.collect(workspace, options, completion)?;
        add_unrecorded(&mut ended.report, failures);
        warnings.extend(ended.warnings);
        Ok(Executed { dir: writable.then_some(dir), warnings, ..ended })
    }

    /// Collects what the plan's runs left, and drops the models that the options do not keep.
    ///
    /// # Errors
    /// If a configuration does not fit this program.
    pub fn collect(&self, workspace: &Workspace, options: &SweepOptions, completion: Completion) -> Result<Executed> {
        let store = workspace.dirs.store();
        let dir = store.sweep(&self.plan.name)?.plan(&self.plan.digest())?;
        let report = collect::report(workspace, &self.plan, self.command.clone())?;
        // Runs that others removed since.
        let lost = report.runs.iter().any(|run| matches!(run.outcome, Outcome::Missing));
        let lost = lost && options.choice.only.is_empty();
        let completion = if completion == Completion::Complete && lost { Completion::Incomplete } else { completion };
        let mut warnings = Vec::new();
        if completion == Completion::Complete && options.keep == Keep::Selected && options.choice.only.is_empty() {
            let kept = models::keep_selected(&store, &report.runs);
            warnings.extend(kept.err().map(|error| error.to_string()));
        }
        warnings.extend(models::keep_mismatch(&store, &report.runs, options.keep)?);
        let saved = rungs::saved(workspace, &self.plan)?;
        Ok(Executed { completion, dir: Some(dir), warnings, report, saved })
    }

    /// Whether every run has a result.
    ///
    /// # Errors
    /// If the directory of runs cannot be read.
    pub fn is_finished(&self, workspace: &Workspace) -> Result<bool> {
        Ok(self.pending(workspace, &Choice::default())?.is_empty())
    }

    /// Sets the results aside that are to be repeated.
    pub(crate) fn set_aside(&self, workspace: &Workspace, choice: &Choice) -> Result<()> {
        let store = workspace.dirs.store();
        for run in self.plan.runs.iter().filter(|_| !choice.rerun.is_empty()) {
            let dir = store.run(&run.id)?;
            let state = dir.state();
            if choice.takes(run, state.name()) && choice.repeats(run, state.name()) {
                dir.set_aside()?;
            }
        }
        Ok(())
    }

    /// The runs of a choice that have something to do now: those without a result, unless they are stopped early or
    /// wait for others, and those that are to be repeated.
    pub(crate) fn pending(&self, workspace: &Workspace, choice: &Choice) -> Result<Vec<PendingRun<'_>>> {
        self.due(workspace, self.unfinished(workspace, choice)?)
    }

    /// The pending runs as [`ended`](Self::ended) found their results: what starts a sweep looks for these once.
    pub(crate) fn pending_at_start(&self, workspace: &Workspace, choice: &Choice) -> Result<Vec<PendingRun<'_>>> {
        let finished: Vec<bool> = self.ended(workspace)?.iter().map(Option::is_some).collect();
        self.due(workspace, self.chosen(workspace, choice, &finished)?)
    }

    /// Those of some runs that have something to do now.
    fn due<'p>(&self, workspace: &Workspace, unfinished: Vec<PendingRun<'p>>) -> Result<Vec<PendingRun<'p>>> {
        let Some(turns) = rungs::turns(workspace, &self.plan)? else { return Ok(unfinished) };
        let turns: BTreeMap<&RunId, Turn> = self.plan.runs.iter().map(|run| &run.id).zip(turns).collect();
        let asha = self.plan.pruning.as_ref().is_some_and(|pruning| pruning.method == PruningMethod::Asha);
        let due = unfinished.into_iter().filter_map(|pending| match turns[&pending.run.id] {
            Turn::Train { .. } if asha => Some(PendingRun { goal: Goal::Rungs, ..pending }),
            Turn::Train { until } => Some(PendingRun { goal: until.map_or(Goal::End, Goal::Epochs), ..pending }),
            Turn::Wait | Turn::Stop => pending.repeated.then_some(pending),
        });
        Ok(due.collect())
    }

    /// The runs of a choice without a result, and those that are to be repeated.
    pub(crate) fn unfinished(&self, workspace: &Workspace, choice: &Choice) -> Result<Vec<PendingRun<'_>>> {
        // Looked for anew: on a cluster, runs end while this process waits for them.
        let finished = workspace.dirs.store().finished(self.plan.runs.iter().map(|run| &run.id))?;
        self.chosen(workspace, choice, &finished)
    }

    fn chosen(&self, workspace: &Workspace, choice: &Choice, finished: &[bool]) -> Result<Vec<PendingRun<'_>>> {
        let states = states(&workspace.dirs.store(), self.plan.runs.iter().zip(finished.iter().copied()))?;
        let mut pending = Vec::new();
        for ((run, &finished), state) in self.plan.runs.iter().zip(finished).zip(states) {
            if choice.takes(run, state) && (!finished || choice.repeats(run, state)) {
                let deep = workspace.registry.method(&run.template().method)?.deep;
                pending.push(PendingRun { run, deep, goal: Goal::End, repeated: finished });
            }
        }
        Ok(pending)
    }

    /// Makes the plan the newest of its name, and withdraws what cancelled its runs. Returns the plan's directory, and
    /// the reason if it could not be written.
    pub(crate) fn begin(&self, workspace: &Workspace, pending: &[PendingRun<'_>]) -> Result<(PlanDir, Result<()>)> {
        let (digest, store) = (self.plan.digest(), workspace.dirs.store());
        for run in pending {
            store.run(&run.run.id)?.clear_cancelled()?;
        }
        let sweep = store.sweep(&self.plan.name)?;
        let dir = sweep.plan(&digest)?;
        let recorded = self.record(&dir).and_then(|()| Ok(sweep.set_newest(&digest)?));
        Ok((dir, recorded))
    }

    /// Keeps the file as run, the files that it extends, the command, the files of encoders and the plan.
    fn record(&self, dir: &PlanDir) -> Result<()> {
        dir.write("sweep.toml", self.text.as_bytes())?;
        for (at, base) in self.bases.iter().enumerate() {
            dir.write(&format!("base-{}.toml", at + 1), base.as_bytes())?;
        }
        dir.write(COMMAND, self.command.as_bytes())?;
        dir.write(stored::FILES, &stored::files(&self.weights))?;
        dir.write_plan(|out| self.plan.write_jsonl(out))?;
        Ok(())
    }

    /// Executes some of the plan's runs that have no result, and nothing else: the report is left to the sweep.
    ///
    /// # Errors
    /// As of [`PlannedSweep::execute`].
    pub fn execute_runs(
        &self,
        workspace: &Workspace,
        runs: &BTreeSet<RunId>,
        options: &SweepOptions,
        observer: &mut dyn Observer,
    ) -> Result<Completion> {
        let mut pending = self.pending(workspace, &options.choice)?;
        pending.retain(|pending| runs.contains(&pending.run.id));
        if pending.is_empty() {
            return Ok(Completion::Complete);
        }
        check_data(workspace, &pending)?;
        let most = options.devices.check(templates(&pending).map(PlannedRun::template))?;
        options.devices.open(most).map_err(|error| of_devices(error, most))?;
        check_places(workspace, &pending)?;
        let stop = StopRequests::install().context("cannot listen to signals")?;
        let dir = workspace.dirs.store().sweep(&self.plan.name)?.plan(&self.plan.digest())?;
        Ok(self.run_graph(workspace, options, &dir, &pending, observer, stop)?.0)
    }

    /// Puts the results back whose repetition has failed; returns what is said of them. Another process may still submit
    /// runs that a task left without a failure.
    ///
    /// # Errors
    /// If a file cannot be moved.
    pub fn put_failed_back(&self, workspace: &Workspace) -> Result<Option<String>> {
        let store = workspace.dirs.store();
        let mut failed = Vec::new();
        for run in &self.plan.runs {
            let dir = store.run(&run.id)?;
            if dir.has_previous() && dir.failure().is_some() {
                failed.push(&run.id);
            }
        }
        put_back(workspace, failed)
    }

    /// Executes what is pending, then what follows from it, until nothing is left: where runs are stopped early, those
    /// that go on are known when all of a rung have reached it.
    fn run_rungs(
        &self,
        workspace: &Workspace,
        options: &SweepOptions,
        dir: &PlanDir,
        first: &[PendingRun<'_>],
        observer: &mut dyn Observer,
        stop: &StopRequests,
    ) -> Result<(Completion, Failures)> {
        let again = Choice { rerun: Vec::new(), ..options.choice.clone() };
        let (mut completion, mut failures) = (Completion::Complete, Failures::new());
        let mut begun: BTreeSet<(RunId, Goal)> = BTreeSet::new();
        let mut next;
        let mut pending = first;
        loop {
            begun.extend(pending.iter().map(|pending| (pending.run.id.clone(), pending.goal)));
            let (ended, failed) = self.run_graph(workspace, options, dir, pending, observer, stop.clone())?;
            completion = completion.and(ended);
            failures.extend(failed);
            let most = options.max_failures.is_some_and(|most| failures.len() >= most);
            if self.plan.pruning.is_none() || completion == Completion::Stopped || most {
                return Ok((completion, failures));
            }
            next = self.pending(workspace, &again)?;
            // A run that failed is left for the next sweep, and holds those of its rung back.
            next.retain(|pending| !begun.contains(&(pending.run.id.clone(), pending.goal)));
            if next.is_empty() {
                return Ok((completion, failures));
            }
            pending = &next;
        }
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
        let launch = Launch::new(workspace, &self.weights, options.devices.of_worker(), options.keep)?;
        let memory = options.memory.or_else(memory::available);
        // What earlier runs took matters where several may run at once.
        let sizes = if memory.is_some() && pending.len() > 1 && options.devices.of_worker() == DeviceName::Cpu {
            Estimates::of(&workspace.dirs.store(), &self.plan)?
        } else {
            Estimates::default()
        };
        // No device is left without a stack.
        let stack = options.stack.get().min(pending.len().div_ceil(options.devices.count()).max(1));
        let shape = Shape { memory: &|config| sizes.memory_of(config), stack };
        let graph = job_graph(workspace, &launch, dir, pending, &shape)?;
        let graph = if options.features_only { graph.stages() } else { graph };
        let cores = allocated_cores().unwrap_or(LocalOptions::default().cores);
        let mut executor = LocalExecutor::new(LocalOptions {
            cores,
            jobs: options.jobs,
            gpu: options.devices.of_worker() != DeviceName::Cpu,
            gpus: options.devices.visible()?,
            memory,
            limits: options.limits,
            memory_advice: options.memory_advice.clone(),
            ..LocalOptions::default()
        });
        let configs: BTreeMap<&RunId, &PlannedRun> = pending.iter().map(|run| (&run.run.id, run.run)).collect();
        let summary = Scheduler::new(&graph, &mut executor, observer, stop)
            .stop_after_failures(options.max_failures)
            .retry(options.retries)
            .prepare_runs(|dir| dir.prepare(&configs[dir.id()].config()).map_err(|error| error.to_string()))
            .run();
        Ok((summary.completion(), failures(&graph, &summary)))
    }
}

/// The states of runs in one word, of which it is known whether they have a result.
pub(crate) fn states<'r>(
    store: &Store,
    runs: impl Iterator<Item = (&'r PlannedRun, bool)>,
) -> Result<Vec<&'static str>> {
    let mut begun = None;
    let state = |(run, finished): (&PlannedRun, bool)| -> Result<&'static str> {
        if finished {
            return Ok("finished");
        }
        // One listing replaces a look at each run, and none is needed where all have a result.
        if begun.is_none() {
            begun = Some(store.begun()?);
        }
        let here = begun.as_ref().is_some_and(|begun: &BTreeSet<RunId>| begun.contains(&run.id));
        Ok(if here { store.run(&run.id)?.state_of_unfinished().name() } else { RunState::Missing.name() })
    };
    runs.map(state).collect()
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

/// The processors that Slurm gave to this task: without cgroups, the system names those of the whole node.
fn allocated_cores() -> Option<NonZeroUsize> {
    std::env::var("SLURM_CPUS_PER_TASK").ok()?.parse().ok()
}

/// Checks that runs, and the features of their encoders, can be kept, before anything starts.
///
/// # Errors
/// [`BadInput`](crate::BadInput), with what to do about it.
pub(crate) fn check_places(workspace: &Workspace, pending: &[PendingRun<'_>]) -> Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    let refused = |error: &dyn Display, flag: &str, variable: &str| {
        let text = error.to_string();
        let help = format!("\nhelp: `{flag} DIR` or {variable} names another directory");
        bad_input(if text.contains("\nhelp: ") { text } else { text + &help })
    };
    let store = workspace.dirs.store();
    store.check_writable().map_err(|error| refused(&error, "--runs", "HASHLAB_RUNS"))?;
    for run in templates(pending) {
        if !networks(run.template())?.is_empty() {
            let usable = workspace.dirs.cache().and_then(|cache| {
                cache.check_usable()?;
                check_room(workspace, &cache, pending)
            });
            return usable.map_err(|error| refused(&error, "--cache-dir", "HASHLAB_CACHE_DIR"));
        }
    }
    Ok(())
}

/// Checks that the cache has, or can take, the features of each run.
fn check_room(workspace: &Workspace, cache: &FeatureCache, pending: &[PendingRun<'_>]) -> Result<()> {
    if !cache.is_restricted() {
        return Ok(());
    }
    // Data and encoders are opened once for all methods that use them alike.
    let mut groups: BTreeMap<String, Vec<RunConfig>> = BTreeMap::new();
    for config in templates(pending).map(PlannedRun::config) {
        let RunConfig { dataset, data, protocol, split_seed, encoders, .. } = &config;
        let environment = canonical(&json!([dataset, data, protocol, split_seed, encoders]));
        groups.entry(environment).or_default().push(config);
    }
    let mut needed = Vec::new();
    for configs in groups.values() {
        with_environment(workspace, &configs[0], &EncoderFiles::default(), &Device::Cpu, |environment| {
            let mut known = BTreeSet::new();
            for config in configs {
                let method = workspace.registry.method(&config.method)?;
                let of_method = method.deep.then(|| (&config.method, canonical(&json!(config.params))));
                if known.insert(of_method) {
                    needed.push(described_features(config, method, environment)?);
                }
            }
            Ok(())
        })?;
    }
    Ok(cache.check_room(&needed)?)
}

/// The first run of each template.
pub(crate) fn templates<'p>(pending: &'p [PendingRun<'p>]) -> impl Iterator<Item = &'p PlannedRun> {
    let groups = pending.chunk_by(|a, b| a.run.shares_template(b.run));
    groups.map(|group| group[0].run)
}

/// Puts results back whose repetition left none; returns what is said of them.
pub(crate) fn put_back<'r>(workspace: &Workspace, runs: impl IntoIterator<Item = &'r RunId>) -> Result<Option<String>> {
    let store = workspace.dirs.store();
    let mut back = 0;
    for run in runs {
        back += usize::from(store.run(run)?.put_back()?);
    }
    let results = counted(back, "result");
    Ok((back > 0).then(|| format!("{results} of before stay, as their runs were not repeated to the end")))
}

/// Opens and splits the data once, so that what every run would fail at is said before anything starts.
pub(crate) fn check_data(workspace: &Workspace, pending: &[PendingRun<'_>]) -> Result<()> {
    let mut trained: BTreeMap<String, usize> = BTreeMap::new();
    for config in templates(pending).map(|run| run.template()) {
        let parts = json!([config.dataset, config.data, config.protocol, config.split_seed]);
        let items = match trained.entry(canonical(&parts)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let dataset = workspace.registry.dataset(&config.dataset)?.open(&config.data, &workspace.dirs.data)?;
                let split = split_of(config, dataset.as_ref())?;
                let items = split.train.len();
                if split.validation_query.is_empty() {
                    let help = "ask for fewer queries in [data], or name `validation_query`";
                    return Err(bad_input(format!("{items} training items leave no validation query\nhelp: {help}")));
                }
                *new.insert(items)
            }
        };
        let encoders = workspace.registry.encoders;
        let checked = check_devices(config, encoders).and_then(|()| check_batches(config, encoders, items));
        checked.map_err(|error| bad_input(error.to_string()))?;
    }
    Ok(())
}
