//! The worker side: runs, or extractions of features, in a process that a sweep started.

mod recorder;

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use candle_core::Device;
use hashlab_cache::Progress;
use hashlab_exec::Event;
use hashlab_exec::worker::{self, StopFlag};
use hashlab_kernels::device::DeviceName;
use hashlab_method::MethodEntry;
use hashlab_pipeline::run::{self, RunEnd, RunJob, features_of, plain_features};
use hashlab_pipeline::{EncoderContext, Model, RunEnvironment};
use hashlab_store::{Claim, CodeProfile, QueryResults, RunConfig, RunDir, RunId, RunResult, STACKED, StoreError};
use hashlab_train::{Checkpoint, SharedError};

use crate::asha::Rungs;
use crate::devices::check_gpu;
use crate::error::{bad_input, explained};
use crate::graph::stacked_shape;
use crate::passing::passing;
use crate::provenance::{peak_memory_mib, provenance};
use crate::shown::shown_items;
use crate::weights::EncoderFiles;
use crate::{Keep, Workspace};

use recorder::{Announced, Recorder};

/// What a worker is asked to do.
pub struct WorkerOptions {
    /// Runs to execute: one after the other, or `stacked`.
    pub runs: Vec<RunId>,
    /// Whether the runs are trained together. They have one shape.
    pub stacked: bool,
    /// Where to compute.
    pub device: DeviceName,
    /// Files of encoders by digest.
    pub weights: EncoderFiles,
    /// Only extract features.
    pub features: Option<FeatureExtent>,
    /// Epochs after which the runs stop with a checkpoint; `None` for their ends.
    pub until: Option<usize>,
    /// The plan, as `NAME/DIGEST`, at whose rungs the runs decide whether they go on.
    pub rungs_of: Option<String>,
    /// Which models are kept.
    pub keep: Keep,
}

/// The features that a worker extracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureExtent {
    /// Those without augmentation, which all runs on the same encoders share.
    Plain,
    /// The views of a run's method, too.
    Views,
}

impl FeatureExtent {
    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Views => "views",
        }
    }
}

impl FromStr for FeatureExtent {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let known = [Self::Plain, Self::Views].into_iter().find(|extent| extent.name() == name);
        known.ok_or_else(|| format!("expected `plain` or `views`, got `{name}`"))
    }
}

/// Executes what the options say. Returns the exit code of the process.
///
/// # Errors
/// If a run or an extraction fails; the reason was sent to the sweep.
pub fn execute(workspace: &Workspace, options: &WorkerOptions) -> Result<i32> {
    let stop = worker::init()?;
    let worker = Worker { workspace, options, stop: &stop };
    worker.all().inspect_err(|error| {
        worker::emit(&Event::Failed { run: None, message: explained(error), passing: passing(error) });
    })
}

struct Worker<'a> {
    workspace: &'a Workspace,
    options: &'a WorkerOptions,
    stop: &'a StopFlag,
}

impl Worker<'_> {
    /// Executes all runs; a failure or a run that another process holds stops no other.
    fn all(&self) -> Result<i32> {
        let device = self.options.device.open()?;
        let store = self.workspace.dirs.store();
        let dirs = self.options.runs.iter().map(|id| store.run(id)).collect::<Result<Vec<_>, _>>()?;
        // A stack that failed for a reason that may pass, such as too little memory, is repeated run by run.
        if self.options.stacked && worker::retry().is_none() {
            self.stacked(&device, &dirs)
        } else {
            self.one_by_one(&device, &dirs)
        }
    }

    fn one_by_one(&self, device: &Device, dirs: &[RunDir]) -> Result<i32> {
        let mut code = worker::DONE;
        let mut failed = None;
        for dir in dirs {
            if self.options.features.is_none() {
                self.stop.watch(dir.cancelled_path());
                if self.stop.is_raised() {
                    return Ok(self.stop.interrupted());
                }
            }
            let ended = match self.options.features {
                Some(features) => self.extract(device, dir, features),
                None => self.run(device, dir),
            };
            match ended {
                Ok(worker::DONE) => {}
                Ok(worker::INTERRUPTED) => return Ok(self.stop.interrupted()),
                Ok(other) => code = other,
                Err(error) => {
                    report_failure(dir, &error);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(code), Err)
    }

    /// Executes runs of one shape together, unless other processes do, or have.
    fn stacked(&self, device: &Device, dirs: &[RunDir]) -> Result<i32> {
        self.check_stack(dirs)?;
        dirs.iter().for_each(|dir| self.stop.watch(dir.cancelled_path()));
        if self.stop.is_raised() {
            return Ok(self.stop.interrupted());
        }
        let (mut claims, mut ended) = (Vec::with_capacity(dirs.len()), Vec::with_capacity(dirs.len()));
        for dir in dirs {
            match dir.try_claim_again(worker::retry()) {
                Ok(Some(claim)) => claims.push((dir, claim)),
                Ok(None) => ended.push((dir, Ok(worker::BUSY))),
                Err(error) => ended.push((dir, Err(error.into()))),
            }
        }
        if let Some((first, _)) = claims.first() {
            worker::emit(&Event::Claimed);
            let _span = tracing::info_span!("runs", first = %first.id(), count = claims.len()).entered();
            let ends = self.train_stacked(device, &claims);
            ended.extend(claims.into_iter().zip(ends).map(|((dir, claim), end)| (dir, self.record(claim, end))));
        }
        let (mut code, mut failed) = (worker::DONE, None);
        for (dir, ended) in ended {
            match ended {
                Ok(worker::DONE) => {}
                // The runs that were interrupted must not count as failed with another one.
                Ok(worker::INTERRUPTED) => code = worker::INTERRUPTED,
                Ok(other) => code = if code == worker::DONE { other } else { code },
                Err(error) => {
                    report_failure(dir, &error);
                    failed = Some(error);
                }
            }
        }
        match failed {
            _ if code == worker::INTERRUPTED => Ok(self.stop.interrupted()),
            Some(error) => Err(error),
            None => Ok(code),
        }
    }

    /// Refuses runs that cannot be trained together.
    fn check_stack(&self, dirs: &[RunDir]) -> Result<()> {
        let mut shapes = Vec::with_capacity(dirs.len());
        for dir in dirs {
            let Some(shape) = stacked_shape(self.workspace, &dir.config()?)? else {
                let why = "its method or its encoder cannot be stacked";
                return Err(bad_input(format!("run {} is not trained stacked: {why}", dir.id())));
            };
            shapes.push((dir.id(), shape));
        }
        let unlike = shapes.iter().find(|(_, shape)| *shape != shapes[0].1);
        if let Some((id, _)) = unlike {
            let message = format!("runs {} and {id} are not of one shape", shapes[0].0);
            return Err(bad_input(format!("{message}\nhelp: without --stacked they run one after the other")));
        }
        let twice = (1..dirs.len()).find(|index| dirs[..*index].iter().any(|dir| dir.id() == dirs[*index].id()));
        match twice {
            Some(index) => Err(bad_input(format!("run {} is named twice", dirs[index].id()))),
            None => Ok(()),
        }
    }

    /// Calls `work` with a run's environment.
    fn with_environment<T>(
        &self,
        config: &RunConfig,
        device: &Device,
        work: impl FnOnce(&RunEnvironment<'_>) -> Result<T>,
    ) -> Result<T> {
        with_environment(self.workspace, config, &self.options.weights, device, work)
    }

    /// Fills the feature cache with what the run needs.
    fn extract(&self, device: &Device, dir: &RunDir, features: FeatureExtent) -> Result<i32> {
        let _span = tracing::info_span!("features", extent = features.name(), run = %dir.id()).entered();
        let config = dir.config()?;
        let method = self.workspace.registry.method(&config.method)?;
        let mut progress = |name: &str, at: Progress| {
            let (name, done, total) = match at {
                Progress::Waiting { done, total } => (format!("{name} (another process extracts)"), done, total),
                Progress::Extracting { done, total } => (name.to_owned(), done, total),
            };
            worker::emit(&Event::Stage { name, done: done as u64, total: total as u64, unit: "items".into() });
            ensure!(!self.stop.is_raised(), Interrupted);
            Ok(())
        };
        let extracted = self.with_environment(&config, device, |environment| match features {
            FeatureExtent::Plain => plain_features(environment, &mut progress).map(drop),
            FeatureExtent::Views => features_of(&config, method, environment, &mut progress).map(drop),
        });
        match extracted {
            Err(error) if error.is::<Interrupted>() => Ok(worker::INTERRUPTED),
            done => done.map(|()| worker::DONE),
        }
    }

    /// Executes the run unless another process does, or has.
    fn run(&self, device: &Device, dir: &RunDir) -> Result<i32> {
        let Some(claim) = dir.try_claim_again(worker::retry())? else { return Ok(worker::BUSY) };
        worker::emit(&Event::Claimed);
        let _span = tracing::info_span!("run", id = %dir.id()).entered();
        let ended = self.train_and_evaluate(device, dir, &claim);
        self.record(claim, ended)
    }

    /// Writes how a run ended into its directory. Returns the exit code of the process.
    fn record(&self, claim: Claim, ended: Result<Ended>) -> Result<i32> {
        match ended {
            Ok(Ended::Interrupted) => Ok(worker::INTERRUPTED),
            Ok(Ended::Stopped { epoch }) => {
                claim.stop(epoch)?;
                Ok(worker::DONE)
            }
            Ok(Ended::Found(found)) => {
                // The result comes first: on a full disk, nothing takes its room.
                claim.finish(&found.result)?;
                let kept = [
                    self.keep_queries(&claim, &found),
                    keep_codes(&claim, &found),
                    self.keep_items(&claim, &found),
                    self.keep_model(&claim, &found),
                ];
                for error in kept.into_iter().filter_map(Result::err) {
                    // The advice of the file's error is for what is repeated by itself, which a finished run is not.
                    let error = explained(&error);
                    let error = error.split("\nhelp: ").next().unwrap_or_default();
                    let repeat = format!("{error}\nhelp: `--rerun {}` repeats the run", found.config.method);
                    tracing::warn!("{repeat}");
                    worker::emit(&Event::Note { message: repeat });
                }
                Ok(worker::DONE)
            }
            // The run is another process's now.
            Err(error) if is_loss(&error) => Ok(worker::BUSY),
            Err(error) => {
                let message = explained(&error);
                if let Err(unwritten) = claim.fail(&message) {
                    tracing::warn!("cannot record the failure: {unwritten}");
                }
                Err(error)
            }
        }
    }

    fn train_and_evaluate(&self, device: &Device, dir: &RunDir, claim: &Claim) -> Result<Ended> {
        let mut attempt = self.attempt(device, dir, claim, &Announced::default())?;
        // A fit has no checkpoint, so that nothing is gained by going on.
        let _stops = (!attempt.method.deep).then(|| self.stop.end_process());
        let config = attempt.config.clone();
        let end = self.with_environment(&config, device, |environment| run::run(attempt.job(environment)))?;
        attempt.ended(end)
    }

    /// Trains and evaluates runs together.
    fn train_stacked(&self, device: &Device, claims: &[(&RunDir, Claim)]) -> Vec<Result<Ended>> {
        let announced = Announced::default();
        let mut attempts: Vec<Result<Attempt<'_>>> =
            claims.iter().map(|(dir, claim)| self.attempt(device, dir, claim, &announced)).collect();
        let mut ready: Vec<&mut Attempt<'_>> = attempts.iter_mut().flatten().collect();
        let count = ready.len();
        let mut ends = Vec::new().into_iter();
        if let Some(config) = ready.first().map(|attempt| attempt.config.clone()) {
            for attempt in ready.iter_mut().filter(|_| count > 1) {
                attempt.provenance.insert(STACKED.to_owned(), count.to_string());
            }
            let ended = self.with_environment(&config, device, |environment| {
                run::run_stacked(ready.into_iter().map(|attempt| attempt.job(environment)).collect())
            });
            ends = ended.unwrap_or_else(|error| SharedError::of_each(error, count)).into_iter();
        }
        let mut ended = |attempt: Attempt<'_>| attempt.ended(ends.next().context("a run without an end")??);
        attempts.into_iter().map(|attempt| attempt.and_then(&mut ended)).collect()
    }

    /// Prepares to execute a run that is claimed.
    fn attempt<'c>(
        &'c self,
        device: &Device,
        dir: &RunDir,
        claim: &'c Claim,
        announced: &Announced,
    ) -> Result<Attempt<'c>> {
        let config = dir.config()?;
        let method = self.workspace.registry.method(&config.method)?;
        let checkpoint = dir.read_checkpoint().map(|bytes| Checkpoint::from_bytes(&bytes, device)).transpose()?;
        let mut recorder = Recorder::open(claim, checkpoint.as_ref(), self.stop, &config, announced)?;
        recorder.until = self.options.until;
        if let Some(plan) = &self.options.rungs_of {
            recorder.rungs = Rungs::of(self.workspace, plan, dir.id(), recorder.epochs)?;
        }
        let provenance = provenance(&self.workspace.build, &config, Some(method), device)?;
        Ok(Attempt { claim, config, method, checkpoint, recorder, provenance })
    }

    fn keep_queries(&self, claim: &Claim, found: &Found) -> Result<()> {
        let Some(queries) = &found.queries else { return Ok(()) };
        claim.write_queries(queries).context("the result is stored, without the results of single queries")
    }

    fn keep_items(&self, claim: &Claim, found: &Found) -> Result<()> {
        let Some(queries) = &found.queries else { return Ok(()) };
        let (config, dirs) = (&found.config, &self.workspace.dirs);
        let dataset = self.workspace.registry.dataset(&config.dataset)?.open(&config.data, &dirs.data)?;
        let written = claim.write_items(&shown_items(dataset.as_ref(), queries));
        written.context("the result is stored, without pictures of its queries")
    }

    fn keep_model(&self, claim: &Claim, found: &Found) -> Result<()> {
        let Some(model) = found.model.as_ref().filter(|_| self.options.keep != Keep::None) else { return Ok(()) };
        let kept = model.to_bytes(&found.config).and_then(|bytes| Ok(claim.write_model(&bytes)?));
        kept.context("the result is stored, without the trained model")
    }
}

/// Whether another process has taken a claim over.
fn is_loss(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(StoreError::Lost(_))))
}

fn keep_codes(claim: &Claim, found: &Found) -> Result<()> {
    let Some(profile) = &found.profile else { return Ok(()) };
    claim.write_codes(profile).context("the result is stored, without statistics of its codes")
}

/// A run that is claimed, and what it is executed with.
struct Attempt<'a> {
    claim: &'a Claim,
    config: RunConfig,
    method: &'static MethodEntry,
    checkpoint: Option<Checkpoint>,
    recorder: Recorder<'a>,
    provenance: BTreeMap<String, String>,
}

impl Attempt<'_> {
    fn job<'j>(&'j mut self, environment: &'j RunEnvironment<'j>) -> RunJob<'j> {
        let Self { config, method, recorder, .. } = self;
        let (checkpoint, provenance) = (self.checkpoint.take(), std::mem::take(&mut self.provenance));
        RunJob { config, method, environment, observer: recorder, checkpoint, provenance }
    }

    fn ended(self, end: RunEnd) -> Result<Ended> {
        let (mut result, model, queries, profile) = match end {
            RunEnd::Interrupted => return Ok(Ended::Interrupted),
            RunEnd::Stopped { epoch } => return Ok(Ended::Stopped { epoch }),
            RunEnd::Result { result, model, queries, profile } => (result, model, queries, profile),
        };
        result.attempts = self.claim.attempt();
        result.provenance.extend(peak_memory_mib().map(|peak| ("peak_rss_mib", peak.to_string())));
        warn_of_collapse(&self.config, &result);
        Ok(Ended::Found(Box::new(Found { config: self.config, result: *result, queries, profile, model })))
    }
}

/// Tells the sweep that a run failed.
fn report_failure(dir: &RunDir, error: &anyhow::Error) {
    let (run, passing) = (Some(dir.id().clone()), passing(error));
    worker::emit(&Event::Failed { run, message: explained(error), passing });
}

/// How an attempt at a run ended.
enum Ended {
    Found(Box<Found>),
    /// As the sweep asked, with a checkpoint after so many epochs.
    Stopped {
        epoch: usize,
    },
    Interrupted,
}

/// What a run found, and the model that found it.
struct Found {
    config: RunConfig,
    result: RunResult,
    queries: Option<QueryResults>,
    profile: Option<CodeProfile>,
    model: Option<Model>,
}

/// Opens a run's data set and encoders, and calls `work` with them.
///
/// # Errors
/// If the data set cannot be opened, or `work` fails.
pub fn with_environment<T>(
    workspace: &Workspace,
    config: &RunConfig,
    weights: &EncoderFiles,
    device: &Device,
    work: impl FnOnce(&RunEnvironment<'_>) -> Result<T>,
) -> Result<T> {
    check_gpu(config, device)?;
    let dataset = workspace.registry.dataset(&config.dataset)?.open(&config.data, &workspace.dirs.data)?;
    let cache = workspace.dirs.cache()?;
    let find = |digest: &str| weights.path_of(digest).map(Path::to_owned);
    let setup = EncoderContext { cache: &cache, encoders: workspace.registry.encoders, files: &find };
    let environment = RunEnvironment::new(config, dataset.as_ref(), setup, device)?;
    work(&environment)
}

/// Says that codes collapsed: their metrics then measure the database's order.
fn warn_of_collapse(config: &RunConfig, result: &RunResult) {
    for (modality, codes) in result.codes.iter().filter(|(_, codes)| codes.collapsed) {
        tracing::warn!(
            "{} {} collapsed: {} of {} {modality} codes are the same, so that its ranking is that of ties",
            config.method,
            config.id(),
            codes.most_common,
            codes.items
        );
    }
}

/// The sweep's request to stop, carried through the feature cache as an error.
#[derive(Debug)]
struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}
