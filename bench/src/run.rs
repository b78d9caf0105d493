//! Whole runs of CIBHash, from stored features to metrics: what `hashlab exec` does, without its process; one after the
//! other, or many at once in a pack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use hashlab_backbones::Weights;
use hashlab_bank::Bank;
use hashlab_bench::synthetic::{SIZE, Synthetic};
use hashlab_data::Source as _;
use hashlab_engine::record::SCHEMA;
use hashlab_engine::{RunConfig, Settings};
use hashlab_kernels::device::DeviceName;
use hashlab_model::Entry;
use hashlab_model::config::{BackboneConfig, EvalConfig, TrainConfig};
use hashlab_model::features::Features;
use hashlab_model::run::{Finish, Job, run};
use hashlab_model::train::Journal;
use rayon::ThreadPoolBuilder;

use crate::Work;
use crate::prepare::weights_path;

const BITS: usize = 64;
/// Lower than CIBHash's 1e-3, at which codes of features as plain as these collapse now and then.
const LEARNING_RATE: f64 = 1e-4;

pub(crate) fn work(dir: PathBuf, epochs: usize, seed: u64, device: &Device) -> Result<Work> {
    let (runs, device) = (Runs::new(&dir, epochs)?, device.clone());
    Ok(Box::new(move |iterations| {
        let mut map = None;
        for _ in 0..iterations {
            map = Some(runs.run(&runs.features(&device)?, seed)?);
        }
        Ok(map)
    }))
}

/// Runs of `count` seeds at once, on `device` or each `apart` on a device of that name that it opens for itself.
pub(crate) fn pack(
    dir: PathBuf,
    epochs: usize,
    count: u64,
    device: &Device,
    apart: Option<DeviceName>,
) -> Result<Work> {
    let (runs, device) = (Runs::new(&dir, epochs)?, device.clone());
    let threads = (rayon::current_num_threads() / count as usize).max(1);
    Ok(Box::new(move |iterations| {
        let mut map = None;
        for _ in 0..iterations {
            let shared = runs.features(&device)?;
            let one = |seed: u64| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
                match apart {
                    None => pool.install(|| runs.run(&shared, seed)),
                    Some(name) => pool.install(|| runs.run(&runs.features(&name.open()?)?, seed)),
                }
            };
            let maps: Result<Vec<f64>> = std::thread::scope(|scope| {
                let started: Vec<_> = (0..count).map(|seed| scope.spawn(move || one(seed))).collect();
                started.into_iter().map(|run| run.join().expect("a run does not panic")).collect()
            });
            map = Some(maps?.into_iter().sum::<f64>() / count as f64);
        }
        Ok(map)
    }))
}

/// What runs that differ in their seed have in common.
struct Runs {
    dataset: Synthetic,
    method: &'static Entry,
    backbone: BackboneConfig,
    weights: PathBuf,
    bank: Bank,
    epochs: usize,
}

impl Runs {
    fn new(dir: &Path, epochs: usize) -> Result<Self> {
        let weights = weights_path(dir);
        let backbone = BackboneConfig {
            name: "mobilenet_v2".into(),
            size: SIZE,
            views: 10,
            digest: Weights::read(&weights)?.digest().to_owned(),
            ..BackboneConfig::default()
        };
        Ok(Self {
            dataset: Synthetic::new(),
            method: hashlab_methods::METHODS.iter().find(|m| m.info.name == "cibhash").context("no CIBHash")?,
            backbone,
            weights,
            bank: Bank::open(dir.join("bank"), None)?,
            epochs,
        })
    }

    /// Features under the identity under which `hashlab-synthetic features` keeps the same ones.
    fn features(&self, device: &Device) -> Result<Features<'_>> {
        let identity = format!("{} {} {{}}", Synthetic::INFO.name, Synthetic::INFO.identity);
        Features::new(&self.bank, &self.dataset, identity, &self.backbone, Some(self.weights.clone()), device)
    }

    /// Returns the mAP of the test queries.
    fn run(&self, features: &Features<'_>, seed: u64) -> Result<f64> {
        let finish = run(Job {
            config: &configure(self.method, &self.backbone, self.epochs, seed)?,
            method: self.method,
            dataset: &self.dataset,
            features,
            journal: &mut Quiet,
            checkpoint: None,
            provenance: BTreeMap::new(),
        })?;
        let Finish::Result(result) = finish else { bail!("nobody interrupted the run") };
        result.test.get("map_at_k").copied().context("the run has no mAP")
    }
}

fn configure(method: &Entry, backbone: &BackboneConfig, epochs: usize, seed: u64) -> Result<RunConfig> {
    let train = TrainConfig {
        epochs,
        batch_size: 64,
        learning_rate: LEARNING_RATE,
        validate_every: 20,
        ..TrainConfig::default()
    };
    let eval = EvalConfig { map_at: 1_000, ..EvalConfig::default() };
    Ok(RunConfig {
        schema: SCHEMA,
        method: method.info.name.to_owned(),
        revision: method.info.revision,
        params: Settings::new(),
        bits: BITS,
        seed,
        dataset: Synthetic::INFO.name.to_owned(),
        dataset_identity: Synthetic::INFO.identity.to_owned(),
        data: Settings::new(),
        protocol: Synthetic::INFO.protocols[0].name.to_owned(),
        split_seed: 0,
        backbone: settings(backbone)?,
        train: settings(&train)?,
        eval: settings(&eval)?,
    })
}

fn settings(section: &impl serde::Serialize) -> Result<Settings> {
    Ok(serde_json::from_value(serde_json::to_value(section)?)?)
}

/// Keeps nothing. Checkpoints are rendered all the same.
struct Quiet;

impl Journal for Quiet {
    fn epoch(&mut self, _: usize, _: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        Ok(())
    }
    fn validation(&mut self, _: usize, _: f64) -> Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn stopped(&self) -> bool {
        false
    }
}
