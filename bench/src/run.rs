//! Whole runs of CIBHash, from stored features to metrics: what `hashlab exec` does, without its process; one after the
//! other, or many at once in a pack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use hashlab_bench::synthetic::{PROTOCOL, SIZE, Synthetic};
use hashlab_cache::FeatureCache;
use hashlab_data::{ByModality, Dataset as _, DatasetSource as _, Modality};
use hashlab_encoders::{ENCODERS, Weights};
use hashlab_kernels::device::DeviceName;
use hashlab_method::MethodEntry;
use hashlab_pipeline::run::{RunEnd, RunJob, run};
use hashlab_pipeline::{EncoderContext, RunEnvironment};
use hashlab_settings::Settings;
use hashlab_store::{RunConfig, SCHEMA};
use hashlab_train::TrainObserver;
use rayon::ThreadPoolBuilder;
use serde_json::json;

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
            map = Some(runs.run(&device, seed)?);
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
            let one = |seed: u64| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
                match apart {
                    None => pool.install(|| runs.run(&device, seed)),
                    Some(name) => pool.install(|| runs.run(&name.open()?, seed)),
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
    method: &'static MethodEntry,
    weights: PathBuf,
    /// Digest of the weights.
    digest: String,
    cache: FeatureCache,
    epochs: usize,
}

impl Runs {
    fn new(dir: &Path, epochs: usize) -> Result<Self> {
        let weights = weights_path(dir);
        Ok(Self {
            dataset: Synthetic::new(),
            method: hashlab_methods::METHODS.iter().find(|m| m.info.name == "cibhash").context("no CIBHash")?,
            digest: Weights::read(&weights)?.digest().to_owned(),
            weights,
            cache: FeatureCache::open(dir.join("cache"), None)?,
            epochs,
        })
    }

    /// Returns the mAP of the test queries.
    fn run(&self, device: &Device, seed: u64) -> Result<f64> {
        let config = &self.configure(seed);
        let weights = |digest: &str| (digest == self.digest).then(|| self.weights.clone());
        let setup = EncoderContext { cache: &self.cache, encoders: ENCODERS, files: &weights };
        let end = run(RunJob {
            config,
            method: self.method,
            environment: &RunEnvironment::new(config, &self.dataset, setup, device)?,
            observer: &mut Quiet,
            checkpoint: None,
            provenance: BTreeMap::new(),
        })?;
        let RunEnd::Result { result, .. } = end else { bail!("nobody interrupted the run") };
        result.mean_test("map_at_k").context("the run has no mAP")
    }

    /// The configuration of a run of bench/sweep.toml, so that `hashlab-synthetic features` stores what it works on.
    fn configure(&self, seed: u64) -> RunConfig {
        let image = json!({ "encoder": "mobilenet_v2", "image_size": SIZE, "digest": self.digest });
        let train = json!({ "epochs": self.epochs, "learning_rate": LEARNING_RATE });
        RunConfig {
            schema: SCHEMA,
            method: self.method.info.name.to_owned(),
            revision: self.method.info.revision,
            params: Settings::new(),
            bits: BITS,
            seed,
            dataset: Synthetic::SUMMARY.name.to_owned(),
            dataset_identity: self.dataset.info().identity.clone(),
            data: Settings::new(),
            protocol: PROTOCOL.to_owned(),
            split_seed: 0,
            encoders: ByModality::one(Modality::Image, table(image)),
            train: table(train),
            eval: table(json!({ "map_at": 1_000 })),
        }
    }
}

fn table(value: serde_json::Value) -> Settings {
    value.as_object().cloned().unwrap_or_default()
}

/// Keeps nothing. Checkpoints are rendered all the same.
struct Quiet;

impl TrainObserver for Quiet {
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
