//! One run, from its configuration to its result.

mod codes;
mod external;
mod features;
mod finetuning;
mod record;
mod setup;
mod stacked;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use hashlab_data::Split;
use hashlab_kernels::device::devices_from;
use hashlab_method::{AnyMethod, Features, Fitted, HashMethod, MethodEntry, TrainSet, Trained};
use hashlab_store::{CodeProfile, QueryResults, RunConfig, RunResult, SPLIT, Status};
use hashlab_train::{Checkpoint, Fit, TrainConfig, TrainData, TrainEnd, TrainObserver, fit};

use crate::batches::{check_devices, check_dtype, device_count};
use crate::config::section;
use crate::environment::RunEnvironment;
use crate::evaluator::Evaluator;
use crate::inputs::{FeatureInputs, Inputs, multi_hot};
use crate::live_views::LiveViews;
use crate::model::Model;
use crate::stored_views::StoredViews;
use crate::with_encoder::WithEncoder;

pub use external::{ExternalCodes, ExternalResult, measure_external};
pub use features::{RunFeatures, batch_spec, described_features, features_of, plain_features};
pub use finetuning::{check_finetuning, finetunes, has_tail};
pub use setup::{RunSetup, split_of};
pub use stacked::run_stacked;

use features::views_of;
use record::{Training, evaluated};

/// A run and what it works with.
pub struct RunJob<'a> {
    /// The resolved configuration.
    pub config: &'a RunConfig,
    /// The method.
    pub method: &'a MethodEntry,
    /// The data set and the encoders.
    pub environment: &'a RunEnvironment<'a>,
    /// Log, checkpoints, stop flag.
    pub observer: &'a mut dyn TrainObserver,
    /// A checkpoint of an earlier attempt.
    pub checkpoint: Option<Checkpoint>,
    /// Facts for the record.
    pub provenance: BTreeMap<String, String>,
}

/// How a run ended.
pub enum RunEnd {
    /// With a result and, unless it diverged, the method that was evaluated.
    Result {
        /// What was found.
        result: Box<RunResult>,
        /// The trained method.
        model: Option<Model>,
        /// What is kept of single test queries.
        queries: Option<QueryResults>,
        /// Statistics of single bits and of distances.
        profile: Option<CodeProfile>,
    },
    /// Asked to stop; a checkpoint is kept.
    Interrupted,
    /// Stopped after an epoch, as the observer decided; a checkpoint is kept.
    Stopped {
        /// Epochs done.
        epoch: usize,
    },
}

impl<'a> RunJob<'a> {
    fn setup(&self) -> RunSetup<'a> {
        RunSetup { config: self.config, method: self.method, environment: self.environment }
    }

    fn empty_result(&self, status: Status) -> RunResult {
        let mut result = RunResult::empty(self.config.id(), status);
        result.provenance = self.provenance.iter().collect();
        result
    }
}

/// Trains, encodes and evaluates.
///
/// # Errors
/// If anything but divergence stops the run.
pub fn run(mut job: RunJob<'_>) -> Result<RunEnd> {
    check_devices(job.config, job.environment.registered)?;
    check_dtype(job.config, job.environment.registered)?;
    let split = job.setup().split()?;
    job.provenance.insert(SPLIT.to_owned(), split.sizes().to_string());
    match job.setup().build(&split, &job.environment.device)? {
        AnyMethod::Fitted(method) => run_fitted(&job, &split, method),
        AnyMethod::Trained(method) if finetunes(job.config)? => run_on_items(job, &split, method),
        AnyMethod::Trained(method) => run_on_features(job, &split, method),
    }
}

fn quiet(_: &str, _: hashlab_cache::Progress) -> Result<()> {
    Ok(())
}

/// A shallow run.
fn run_fitted(job: &RunJob<'_>, split: &Split, mut method: Box<dyn Fitted>) -> Result<RunEnd> {
    let environment = job.environment;
    let device = &environment.device;
    let plain = plain_features(environment, &mut quiet)?;
    let started = Instant::now();
    let labels = job.setup().labels().map(|labels| multi_hot(labels, &split.train, device)).transpose()?;
    let features = Features::from(plain.try_map(|_, rows| rows.gather(&split.train, device))?);
    tracing::debug_span!("fit").in_scope(|| method.fit(&TrainSet { features, labels }))?;
    let seconds = started.elapsed().as_secs_f64();
    let inputs = plain.map(|_, rows| FeatureInputs { rows, device });
    let evaluator = job.setup().evaluator(split, inputs.map(|_, inputs| inputs as &dyn Inputs), method.as_ref())?;
    evaluated(job, evaluator, method.as_ref(), Training { epoch: None, seconds })
}

/// A deep run on a frozen encoder.
fn run_on_features(mut job: RunJob<'_>, split: &Split, method: Box<dyn Trained>) -> Result<RunEnd> {
    let environment = job.environment;
    let device = &environment.device;
    let plain = plain_features(environment, &mut quiet)?;
    let spec = method.batch_spec();
    let RunFeatures { plain, pools, views, samplers } = views_of(environment, split, &spec, plain, &mut quiet)?;
    let mut method = job.setup().with_tail(method)?;
    let inputs = plain.map(|_, rows| FeatureInputs { rows, device });
    let inputs = inputs.map(|_, inputs| inputs as &dyn Inputs);
    let mut evaluator = job.setup().evaluator(split, inputs, method.as_ref())?;
    let labels = job.setup().labels().map(|labels| (labels, &split.train[..]));
    let data = StoredViews::new(pools, views, samplers, labels, device)?;
    let end = train(method.as_mut(), &mut job, &data, &mut evaluator)?;
    drop(data); // most of the run's memory
    finish(&job, evaluator, method.as_ref(), end)
}

/// A run that trains its encoders.
fn run_on_items(mut job: RunJob<'_>, split: &Split, method: Box<dyn Trained>) -> Result<RunEnd> {
    let environment = job.environment;
    let devices = devices_from(&environment.device, device_count(job.config)?)?;
    let (networks, items) = job.setup().live_encoders(&devices)?;
    let mut method = WithEncoder::new(method, networks, &environment.device);
    let inputs = items.map(|_, items| items.inputs());
    let mut evaluator = job.setup().evaluator(split, inputs, &method)?;
    let end = std::thread::scope(|scope| {
        let data = LiveViews::start(scope, &items, &split.train, job.setup().labels(), &environment.device);
        train(&mut method, &mut job, &data, &mut evaluator)
    })?;
    finish(&job, evaluator, &method, end)
}

fn train(
    method: &mut dyn Trained,
    job: &mut RunJob<'_>,
    data: &dyn TrainData,
    evaluator: &mut Evaluator<'_>,
) -> Result<TrainEnd> {
    let config: TrainConfig = section(&job.config.train)?;
    let resume = job.checkpoint.take();
    let mut validate = |method: &dyn HashMethod| evaluator.validate(method);
    let seed = job.config.seed;
    let _span = tracing::debug_span!("train").entered();
    fit(Fit { method, config: &config, seed, data, validate: &mut validate, observer: job.observer, resume })
}

/// Turns the end of a training into that of the run: evaluates the method, unless there is nothing to evaluate.
fn finish(job: &RunJob<'_>, mut evaluator: Evaluator<'_>, method: &dyn HashMethod, end: TrainEnd) -> Result<RunEnd> {
    match end {
        TrainEnd::Interrupted => Ok(RunEnd::Interrupted),
        TrainEnd::Stopped { epoch } => Ok(RunEnd::Stopped { epoch }),
        TrainEnd::Done { epoch, seconds, validated } => {
            if !validated {
                evaluator.forget();
            }
            evaluated(job, evaluator, method, Training { epoch: Some(epoch), seconds })
        }
        TrainEnd::Diverged { message, seconds } => {
            let mut result = job.empty_result(Status::Diverged);
            result.message = Some(message);
            result.seconds.insert("train", seconds);
            Ok(RunEnd::Result { result: Box::new(result), model: None, queries: None, profile: None })
        }
    }
}
