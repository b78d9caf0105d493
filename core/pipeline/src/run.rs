//! One run, from its configuration to its result.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::Device;
use hashlab_data::{ByModality, Dataset, Labels, Modality, Split, Task};
use hashlab_eval::{BitStatistics, Options, Report};
use hashlab_image::Transform;
use hashlab_method::{
    AnyMethod, BatchSpec, BuildContext, Features, Fitted, HashMethod, MethodEntry, State, Supervision, TrainSet,
    Trained,
};
use hashlab_store::{
    BitProfile, CodeProfile, CodeStatistics, EncodingResult, QueryResults, RunConfig, RunResult, Status, TaskResult,
};
use hashlab_train::{Checkpoint, Fit, TrainConfig, TrainData, TrainEnd, TrainObserver, fit};

use crate::config::{EncoderConfig, EvalConfig, section};
use crate::environment::RunEnvironment;
use crate::evaluator::{AllCodes, Evaluator, EvaluatorSetup, Queries};
use crate::feature_source::OnProgress;
use crate::inputs::{FeatureInputs, FeatureRows, Inputs, multi_hot};
use crate::live_views::LiveViews;
use crate::stored_views::{Pool, StoredViews};
use crate::with_encoder::WithEncoder;

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
    /// With a result and, unless it diverged, the state of the method that was evaluated.
    Result {
        /// What was found.
        result: Box<RunResult>,
        /// The method's tensors.
        model: Option<State>,
        /// What is kept of single test queries.
        queries: Option<QueryResults>,
        /// Statistics of single bits and of distances.
        profile: Option<CodeProfile>,
    },
    /// Asked to stop; a checkpoint is kept.
    Interrupted,
}

/// Splits a data set as a run's protocol says. Training items are in ascending order, so that a position among them
/// is a row of their stored views.
///
/// # Errors
/// If the protocol does not fit the data set.
pub fn split_of(config: &RunConfig, dataset: &dyn Dataset) -> Result<Split> {
    let mut split = dataset.split(&config.protocol, config.split_seed)?;
    split.train.sort_unstable();
    Ok(split)
}

/// The features that a run works on.
pub struct RunFeatures<'a> {
    /// Features of all items without augmentation, by modality; row = item.
    pub plain: ByModality<FeatureRows<'a>>,
    /// The stored views of the training items, one pool per modality and transform; none for shallow methods.
    pub pools: Vec<Pool<'a>>,
    /// The pool of each view of a step.
    views: Vec<usize>,
    /// The number of samplers of a step.
    samplers: usize,
}

/// Opens the features without augmentation, extracting what the cache lacks.
///
/// # Errors
/// If images, weights or the cache cannot be read or written.
pub fn plain_features<'a>(
    environment: &RunEnvironment<'a>,
    progress: OnProgress<'_>,
) -> Result<ByModality<FeatureRows<'a>>> {
    let items = environment.dataset.len();
    environment.encoders.try_map(|_, encoder| encoder.plain(items, &mut *progress))
}

/// Opens every feature that a run needs, extracting what the cache lacks. Features without augmentation come first, so that
/// they are there for other runs whatever becomes of this one's views.
///
/// # Errors
/// If images, weights or the cache cannot be read or written, or the method cannot be built.
pub fn features_of<'a>(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'a>,
    progress: OnProgress<'_>,
) -> Result<RunFeatures<'a>> {
    ensure!(
        !finetunes(config)?,
        "the run trains its encoder, so that it has no features to store\nhelp: leave `finetune` out of the experiment"
    );
    let plain = plain_features(environment, &mut *progress)?;
    if !method.deep {
        return Ok(RunFeatures { plain, pools: Vec::new(), views: Vec::new(), samplers: 0 });
    }
    let split = split_of(config, environment.dataset)?;
    let built = build(config, method, environment, &split, &Device::Cpu)?;
    let AnyMethod::Trained(trained) = built else { bail!("{} is registered as a deep method", method.info.name) };
    views_of(environment, &split, &trained.batch_spec(), plain, progress)
}

/// The views of a training step; `None` where the method has no steps.
///
/// # Errors
/// If the method cannot be built.
pub fn batch_spec(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'_>,
) -> Result<Option<BatchSpec>> {
    let split = split_of(config, environment.dataset)?;
    match build(config, method, environment, &split, &Device::Cpu)? {
        AnyMethod::Trained(method) => Ok(Some(method.batch_spec())),
        AnyMethod::Fitted(_) => Ok(None),
    }
}

/// Opens the stored views of a method that is built.
fn views_of<'a>(
    environment: &RunEnvironment<'a>,
    split: &Split,
    spec: &BatchSpec,
    plain: ByModality<FeatureRows<'a>>,
    progress: OnProgress<'_>,
) -> Result<RunFeatures<'a>> {
    let mut known: Vec<(Modality, Option<Transform>)> = Vec::new();
    let (mut pools, mut views) = (Vec::new(), Vec::with_capacity(spec.views.len()));
    for view in &spec.views {
        let modality = view.modality();
        let encoder = environment.encoders.get(modality);
        let encoder = encoder.with_context(|| format!("the method views {modality} data, which the run has not"))?;
        let described = (modality, encoder.transform(view));
        let pool = known.iter().position(|other| *other == described);
        views.push(pool.unwrap_or(pools.len()));
        if pool.is_none() {
            pools.push(encoder.views(modality, &split.train, view, &mut *progress)?);
            known.push(described);
        }
    }
    Ok(RunFeatures { plain, pools, views, samplers: spec.samplers })
}

/// Whether a run trains its encoders, so that it works on items instead of stored features.
///
/// # Errors
/// If the configuration does not fit this program.
pub fn finetunes(config: &RunConfig) -> Result<bool> {
    Ok(finetuned(config)?.values().any(|on| *on))
}

/// Refuses a run that trains the encoder of one modality and not that of another.
///
/// # Errors
/// If it does, or the configuration does not fit this program.
pub fn check_finetuning(config: &RunConfig) -> Result<()> {
    let finetuned = finetuned(config)?;
    let frozen = finetuned.iter().find(|(_, on)| !**on);
    match frozen.filter(|_| finetuned.values().any(|on| *on)) {
        None => Ok(()),
        Some((modality, _)) => bail!(
            "method `{}` reads several modalities, and `finetune` trains the encoders of all or none: that of {modality}s \
             is frozen\nhelp: set `finetune` in [image] and in [text], or in neither",
            config.method
        ),
    }
}

/// Whether the encoder of each modality is trained.
fn finetuned(config: &RunConfig) -> Result<ByModality<bool>> {
    config.encoders.try_map(|modality, settings| Ok(EncoderConfig::read(modality, settings)?.finetune()))
}

/// Trains, encodes and evaluates.
///
/// # Errors
/// If anything but divergence stops the run.
pub fn run(job: RunJob<'_>) -> Result<RunEnd> {
    let split = split_of(job.config, job.environment.dataset)?;
    let method = build(job.config, job.method, job.environment, &split, &job.environment.device)?;
    match method {
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
    let labels = job.labels().map(|labels| multi_hot(labels, &split.train, device)).transpose()?;
    let features = Features::from(plain.try_map(|_, rows| rows.gather(&split.train, device))?);
    method.fit(&TrainSet { features, labels })?;
    let seconds = started.elapsed().as_secs_f64();
    let inputs = plain.map(|_, rows| FeatureInputs { rows, device });
    let evaluator = job.evaluator(split, inputs.map(|_, inputs| inputs as &dyn Inputs), method.as_ref())?;
    evaluated(job, evaluator, method.as_ref(), Training { epoch: None, seconds })
}

/// A deep run on a frozen encoder.
fn run_on_features(mut job: RunJob<'_>, split: &Split, mut method: Box<dyn Trained>) -> Result<RunEnd> {
    let environment = job.environment;
    let device = &environment.device;
    let plain = plain_features(environment, &mut quiet)?;
    let spec = method.batch_spec();
    let RunFeatures { plain, pools, views, samplers } = views_of(environment, split, &spec, plain, &mut quiet)?;
    if let Some(tail) = environment.images().map(|images| images.tail()).transpose()?.flatten() {
        method = Box::new(WithEncoder::new(method, ByModality::one(Modality::Image, (tail, 1.0)), device));
    }
    let inputs = plain.map(|_, rows| FeatureInputs { rows, device });
    let inputs = inputs.map(|_, inputs| inputs as &dyn Inputs);
    let mut evaluator = job.evaluator(split, inputs, method.as_ref())?;
    let labels = job.labels().map(|labels| (labels, &split.train[..]));
    let data = StoredViews::new(pools, views, samplers, labels, device)?;
    let end = train(method.as_mut(), &mut job, &data, &mut evaluator)?;
    finish(&job, evaluator, method.as_ref(), end)
}

/// A run that trains its encoders.
fn run_on_items(mut job: RunJob<'_>, split: &Split, method: Box<dyn Trained>) -> Result<RunEnd> {
    let environment = job.environment;
    check_finetuning(job.config)?;
    let (mut networks, mut items) = (ByModality::default(), ByModality::default());
    for (modality, encoder) in environment.encoders.iter() {
        let (network, live) = encoder.live(modality, job.config.seed)?;
        networks.insert(modality, network);
        items.insert(modality, live);
    }
    let mut method = WithEncoder::new(method, networks, &environment.device);
    let inputs = items.map(|_, items| items.inputs());
    let mut evaluator = job.evaluator(split, inputs, &method)?;
    let end = std::thread::scope(|scope| {
        let data = LiveViews::start(scope, &items, &split.train, job.labels(), &environment.device);
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
    fit(Fit { method, config: &config, seed, data, validate: &mut validate, observer: job.observer, resume })
}

/// Turns the end of a training into that of the run: evaluates the method, unless there is nothing to evaluate.
fn finish(job: &RunJob<'_>, mut evaluator: Evaluator<'_>, method: &dyn HashMethod, end: TrainEnd) -> Result<RunEnd> {
    match end {
        TrainEnd::Interrupted => Ok(RunEnd::Interrupted),
        TrainEnd::Done { epoch, seconds, validated } => {
            if !validated {
                evaluator.forget();
            }
            evaluated(job, evaluator, method, Training { epoch: Some(epoch), seconds })
        }
        TrainEnd::Diverged { message, seconds } => {
            let mut result = job.empty_result(Status::Diverged);
            result.message = Some(message);
            result.seconds.insert("train".into(), seconds);
            Ok(RunEnd::Result { result: Box::new(result), model: None, queries: None, profile: None })
        }
    }
}

/// A training or fit that is done.
struct Training {
    /// Epoch of the selected state, counted from 1; none of a fit.
    epoch: Option<usize>,
    seconds: f64,
}

fn evaluated(
    job: &RunJob<'_>,
    mut evaluator: Evaluator<'_>,
    method: &dyn HashMethod,
    training: Training,
) -> Result<RunEnd> {
    let codes = evaluator.encode(method)?;
    let started = Instant::now();
    let validation = evaluator.measure(method, &codes, Queries::Validation)?;
    let (mut test, mut queries) = (BTreeMap::new(), QueryResults::default());
    let mut profile = CodeProfile { bits: bit_profiles(&codes), ..CodeProfile::default() };
    for (task, found) in evaluator.test(method, &codes)? {
        test.insert(task, found.report);
        queries.tasks.insert(task, found.queries);
        profile.distances.insert(task, found.distances);
    }
    let mut result = job.empty_result(Status::Finished);
    result.epoch = training.epoch;
    if training.epoch.is_some() {
        result.epochs_done = Some(section::<TrainConfig>(&job.config.train)?.epochs);
    }
    result.primary = options(job.config)?.definition.metric().to_owned();
    result.validation = task_results(validation, false);
    result.test = task_results(test, true);
    result.codes = statistics(&codes);
    result.encoding = evaluator.encoding().map(str::to_owned);
    for encoding in method.other_encodings() {
        let (name, found) = encoded_otherwise(evaluator.of(encoding), method)?;
        result.other_encodings.insert(name, found);
    }
    let evaluate = started.elapsed().as_secs_f64();
    let encode = codes.time.as_secs_f64();
    let seconds = [("train", training.seconds), ("encode", encode), ("evaluate", evaluate)];
    result.seconds = seconds.map(|(stage, seconds)| (stage.to_owned(), seconds)).into();
    let model = Some(method.state()?);
    Ok(RunEnd::Result { result: Box::new(result), model, queries: Some(queries), profile: Some(profile) })
}

/// Measures another of a method's encodings.
fn encoded_otherwise(mut evaluator: Evaluator<'_>, method: &dyn HashMethod) -> Result<(String, EncodingResult)> {
    let name = evaluator.encoding().context("the method has an encoding without a name beside its own")?.to_owned();
    let codes = evaluator.encode(method)?;
    let [validation, test] =
        [Queries::Validation, Queries::Test].map(|queries| evaluator.measure(method, &codes, queries));
    let (validation, test) = (task_results(validation?, false), task_results(test?, true));
    Ok((name, EncodingResult { test, validation, codes: statistics(&codes) }))
}

fn task_results(reports: BTreeMap<Task, Report>, curves: bool) -> BTreeMap<Task, TaskResult> {
    let result = |report: Report| TaskResult {
        metrics: report.scalars(),
        curves: if curves { report.curves().clone() } else { BTreeMap::new() },
    };
    reports.into_iter().map(|(task, report)| (task, result(report))).collect()
}

/// Measures balance and correlation of the bits of all codes.
fn bit_profiles(codes: &AllCodes) -> ByModality<BitProfile> {
    codes.codes.map(|_, codes| {
        let BitStatistics { ones, correlations, mean_correlation, largest_correlation } = codes.bit_statistics();
        BitProfile { ones, correlations, mean_correlation, largest_correlation }
    })
}

/// Counts what shows a collapse of the codes.
fn statistics(codes: &AllCodes) -> ByModality<CodeStatistics> {
    codes.codes.map(|_, codes| {
        let counts = codes.counts();
        CodeStatistics {
            items: codes.len(),
            distinct: counts.distinct,
            most_common: counts.most_common,
            constant_bits: counts.constant_bits,
            zero_outputs: codes.zeros(),
            collapsed: counts.collapsed(),
        }
    })
}

impl<'a> RunJob<'a> {
    /// The labels, if the method learns from them.
    fn labels(&self) -> Option<&'a Labels> {
        supervised_labels(self.method, self.environment.dataset)
    }

    fn evaluator<'e>(
        &self,
        split: &'e Split,
        inputs: ByModality<&'e dyn Inputs>,
        method: &dyn HashMethod,
    ) -> Result<Evaluator<'e>>
    where
        'a: 'e,
    {
        Ok(Evaluator::new(EvaluatorSetup {
            options: options(self.config)?,
            bits: self.config.bits,
            labels: self.environment.dataset.labels(),
            split,
            tasks: Task::of(&inputs.modalities().collect::<Vec<_>>()),
            inputs,
            fused: self.method.info.needs.fused(),
            encode: method.encode_spec(),
            other: None,
        }))
    }

    fn empty_result(&self, status: Status) -> RunResult {
        let mut result = RunResult::empty(self.config.id(), status);
        result.provenance = self.provenance.clone();
        result
    }
}

fn supervised_labels<'a>(method: &MethodEntry, dataset: &'a dyn Dataset) -> Option<&'a Labels> {
    (method.info.supervision == Supervision::Supervised).then(|| dataset.labels())
}

/// Builds a run's untrained method on a device.
fn build(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'_>,
    split: &Split,
    device: &Device,
) -> Result<AnyMethod> {
    let dataset = environment.dataset;
    let labels = supervised_labels(method, dataset);
    let cx = BuildContext {
        bits: config.bits,
        dims: environment.dims(),
        classes: dataset.labels().classes(),
        items: split.train.len(),
        labels: labels.map(|labels| multi_hot(labels, &split.train, device)).transpose()?,
        device: device.clone(),
        seed: config.seed,
    };
    method.build(&config.params, &cx)
}

/// What is measured.
fn options(config: &RunConfig) -> Result<Options> {
    let eval: EvalConfig = section(&config.eval)?;
    let (map_at, definition) = (eval.map_at.rank()?, eval.definition);
    Ok(Options { map_at, definition, ranks: eval.ranks, curves: true, ..Options::default() })
}
