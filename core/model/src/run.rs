//! One run, from its configuration to its result.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use hashlab_bank::Segment;
use hashlab_data::{Dataset, Labels, Split};
use hashlab_engine::record::SCHEMA;
use hashlab_engine::{RunConfig, RunResult, Status};
use hashlab_eval::Options;
use hashlab_image::{Normalize, Transform};

use crate::config::{BackboneConfig, EvalConfig, TrainConfig};
use crate::features::{BankViews, Features, OnProgress, Pool, gather, multi_hot};
use crate::inputs::{Images, LiveViews, Stored};
use crate::method::{BuildContext, ClosedForm, HashMethod, Learner, Supervision, TrainSet};
use crate::registry::Entry;
use crate::search::{Encoded, Search};
use crate::stacked::Stacked;
use crate::train::{Checkpoint, Fit, Journal, Outcome, TrainData, fit};

/// A run and what it works with.
pub struct Job<'a> {
    /// The resolved configuration.
    pub config: &'a RunConfig,
    /// The method.
    pub method: &'a Entry,
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// Its features.
    pub features: &'a Features<'a>,
    /// Log, checkpoints, stop flag.
    pub journal: &'a mut dyn Journal,
    /// A checkpoint of an earlier attempt.
    pub checkpoint: Option<Vec<u8>>,
    /// Facts for the record.
    pub provenance: BTreeMap<String, String>,
}

impl<'a> Job<'a> {
    /// The labels, if the method learns from them.
    fn labels(&self) -> Option<&'a Labels> {
        let dataset = self.dataset;
        (self.method.info.supervision == Supervision::Labels).then(|| dataset.labels())
    }
}

/// How a run ended.
pub enum Finish {
    /// With a result.
    Result(Box<RunResult>),
    /// Asked to stop; a checkpoint is kept.
    Interrupted,
}

/// Splits a data set as a run's protocol says. Training items are in ascending order, so that a position among them
/// is a row of their view segments.
///
/// # Errors
/// If the protocol does not fit the data set.
pub fn split_of(config: &RunConfig, dataset: &dyn Dataset) -> Result<Split> {
    let mut split = dataset.split(&config.protocol, config.split_seed)?;
    split.train.sort_unstable();
    Ok(split)
}

/// The features that a run works on.
pub struct RunFeatures {
    /// Features of all items without augmentation; row = item.
    pub plain: Segment,
    /// The stored views of the training items, one pool per different transform; none for closed-form methods.
    pub pools: Vec<Pool>,
    /// What a training step draws: the pool of each view, and the number of streams.
    drawn: (Vec<usize>, usize),
}

/// Opens every feature that a run needs, extracting what the bank lacks.
///
/// # Errors
/// If images, weights or the bank cannot be read or written.
pub fn features_of(
    config: &RunConfig,
    method: &Entry,
    dataset: &dyn Dataset,
    features: &Features<'_>,
    progress: OnProgress<'_>,
) -> Result<RunFeatures> {
    ensure!(
        !finetunes(config)?,
        "the run trains its backbone, so that it has no features to store\nhelp: leave `finetune` out of [backbone]"
    );
    let plain = features.plain(progress)?;
    if !method.info.gradient {
        // Not even built: a run that cannot be must fail alone, not in the stage whose features others share.
        return Ok(RunFeatures { plain, pools: Vec::new(), drawn: (Vec::new(), 0) });
    }
    let mut built = method.build(&config.params, &build_context(config, dataset, features, &Device::Cpu))?;
    let Learner::Gradient(learner) = built.learner() else {
        bail!("{} declares to learn by gradients and does not", method.info.name);
    };
    let demand = learner.demand();
    let backbone: BackboneConfig = section(&config.backbone)?;
    let train = split_of(config, dataset)?.train;
    let (transforms, views) = distinct(demand.views.iter().map(|view| view(backbone.size)));
    let mut pools = Vec::with_capacity(transforms.len());
    for transform in transforms {
        let random = transform.is_random();
        let stored = if random { backbone.views } else { 1 };
        pools.push(Pool { segments: features.views(&train, transform, stored, progress)?, random });
    }
    Ok(RunFeatures { plain, pools, drawn: (views, demand.streams) })
}

/// The different transforms among those of the views, and for each view the position of its own.
fn distinct(views: impl Iterator<Item = Transform>) -> (Vec<Transform>, Vec<usize>) {
    let mut transforms: Vec<Transform> = Vec::new();
    let positions = views.map(|view| {
        let known = transforms.iter().position(|other| other.to_string() == view.to_string());
        known.unwrap_or_else(|| {
            transforms.push(view);
            transforms.len() - 1
        })
    });
    let positions = positions.collect();
    (transforms, positions)
}

/// Whether a run trains its backbone, so that it works on images instead of stored features.
///
/// # Errors
/// If the configuration does not fit this program.
pub fn finetunes(config: &RunConfig) -> Result<bool> {
    Ok(section::<BackboneConfig>(&config.backbone)?.finetune)
}

/// Trains, encodes and evaluates.
///
/// # Errors
/// If anything but divergence stops the run.
pub fn run(job: Job<'_>) -> Result<Finish> {
    let split = split_of(job.config, job.dataset)?;
    let cx = build_context(job.config, job.dataset, job.features, job.features.device());
    let method = job.method.build(&job.config.params, &cx)?;
    if finetunes(job.config)? { run_on_images(job, &split, method) } else { run_on_features(job, &split, method) }
}

/// A run on a frozen backbone.
fn run_on_features(mut job: Job<'_>, split: &Split, mut method: Box<dyn HashMethod>) -> Result<Finish> {
    let mut quiet = |_: &str, _| Ok(());
    let RunFeatures { plain, pools, drawn: (views, streams) } =
        features_of(job.config, job.method, job.dataset, job.features, &mut quiet)?;
    if let Some(tail) = job.features.tail()? {
        method = Box::new(Stacked::new(method, tail, 1.0)?);
    }
    let device = job.features.device();
    let inputs = Stored { segment: &plain, device };
    let mut search = Search::new(options(job.config)?, job.config.bits, job.dataset.labels(), split, &inputs);
    let started = Instant::now();
    let trained = match method.learner() {
        Learner::ClosedForm(learner) => {
            fit_closed_form(learner, &job, split, &plain)?;
            Outcome::Done { epoch: 0, seconds: started.elapsed().as_secs_f64(), validated: false }
        }
        Learner::Gradient(_) => {
            let labels = job.labels().map(|labels| (labels, &split.train[..]));
            let data = BankViews::new(pools, views, streams, labels, device)?;
            train(method.as_mut(), &mut job, &data, &mut search)?
        }
    };
    finish(&job, search, method.as_ref(), trained)
}

/// A run that trains its backbone.
fn run_on_images(mut job: Job<'_>, split: &Split, method: Box<dyn HashMethod>) -> Result<Finish> {
    let backbone: BackboneConfig = section(&job.config.backbone)?;
    let network = job.features.trainable(job.config.seed)?;
    let [mean, std] = network.normalize();
    let images = Images {
        dataset: job.dataset,
        size: backbone.size,
        normalize: Normalize { mean, std },
        device: job.features.device(),
    };
    let mut method = Stacked::new(method, network, backbone.learning_rate_scale)?;
    let mut search = Search::new(options(job.config)?, job.config.bits, job.dataset.labels(), split, &images);
    let trained = std::thread::scope(|scope| {
        let data = LiveViews::start(scope, images, &split.train, job.labels());
        train(&mut method, &mut job, &data, &mut search)
    })?;
    finish(&job, search, &method, trained)
}

fn fit_closed_form(learner: &mut dyn ClosedForm, job: &Job<'_>, split: &Split, plain: &Segment) -> Result<()> {
    let device = job.features.device();
    let labels = job.labels().map(|labels| multi_hot(labels, &split.train, device)).transpose()?;
    learner.fit(&TrainSet { features: gather(plain, &split.train, device)?, labels })
}

fn train(
    method: &mut dyn HashMethod,
    job: &mut Job<'_>,
    data: &dyn TrainData,
    search: &mut Search<'_>,
) -> Result<Outcome> {
    let config: TrainConfig = section(&job.config.train)?;
    let resume = match job.checkpoint.take() {
        None => None,
        Some(bytes) => Some(Checkpoint::from_bytes(&bytes, job.features.device())?),
    };
    let mut validate = |method: &dyn HashMethod| search.headline(method);
    let seed = job.config.seed;
    fit(Fit { method, config: &config, seed, data, validate: &mut validate, journal: job.journal, resume })
}

/// Turns the end of a training into that of the run: evaluates the method, unless there is nothing to evaluate.
fn finish(job: &Job<'_>, mut search: Search<'_>, method: &dyn HashMethod, trained: Outcome) -> Result<Finish> {
    match trained {
        Outcome::Interrupted => Ok(Finish::Interrupted),
        Outcome::Done { epoch, seconds, validated } => {
            if !validated {
                search.forget();
            }
            evaluated(job, search, method, epoch, seconds)
        }
        Outcome::Diverged { message, seconds } => {
            let mut result = empty_result(job, Status::Diverged);
            result.message = Some(message);
            result.seconds.insert("train".into(), seconds);
            Ok(Finish::Result(Box::new(result)))
        }
    }
}

fn evaluated(
    job: &Job<'_>,
    mut search: Search<'_>,
    method: &dyn HashMethod,
    epoch: usize,
    train: f64,
) -> Result<Finish> {
    let Encoded { codes, time: encode } = search.encode(method)?;
    let started = Instant::now();
    let validation = search.validation(&codes)?;
    let test = search.test(&codes)?;
    let mut result = empty_result(job, Status::Finished);
    result.epoch = epoch;
    result.validation = validation.scalars();
    result.test = test.scalars();
    result.curves = test.curves();
    let evaluate = started.elapsed().as_secs_f64();
    result.seconds = [("train", train), ("encode", encode.as_secs_f64()), ("evaluate", evaluate)]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
    result.provenance.insert("zero_outputs".into(), codes.zeros().to_string());
    Ok(Finish::Result(Box::new(result)))
}

fn empty_result(job: &Job<'_>, status: Status) -> RunResult {
    RunResult {
        schema: SCHEMA,
        run: job.config.id(),
        status,
        message: None,
        test: BTreeMap::new(),
        validation: BTreeMap::new(),
        epoch: 0,
        curves: BTreeMap::new(),
        seconds: BTreeMap::new(),
        provenance: job.provenance.clone(),
    }
}

fn build_context(config: &RunConfig, dataset: &dyn Dataset, features: &Features<'_>, device: &Device) -> BuildContext {
    let classes = dataset.labels().classes();
    BuildContext { bits: config.bits, dim: features.dim(), classes, device: device.clone(), seed: config.seed }
}

/// What is measured.
fn options(config: &RunConfig) -> Result<Options> {
    let eval: EvalConfig = section(&config.eval)?;
    let map_at = usize::try_from(eval.map_at).context("`map_at` was not resolved when the run was planned")?;
    Ok(Options { map_at, grid: eval.grid, curves: true })
}

/// Reads a section of a run's configuration as its type.
///
/// # Errors
/// If it does not fit, as after a change of the program that the schema version does not show.
pub fn section<T: serde::de::DeserializeOwned>(settings: &hashlab_engine::Settings) -> Result<T> {
    serde_json::from_value(settings.clone().into()).context("the run's configuration does not fit this program")
}
