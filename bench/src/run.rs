//! A whole run of CIBHash, from stored features to metrics: what `hashlab exec` does, without its process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use hashlab_backbones::Weights;
use hashlab_bank::Bank;
use hashlab_bench::synthetic::{SIZE, Synthetic};
use hashlab_data::Source as _;
use hashlab_engine::record::SCHEMA;
use hashlab_engine::{RunConfig, Settings};
use hashlab_model::Entry;
use hashlab_model::config::{BackboneConfig, EvalConfig, TrainConfig};
use hashlab_model::features::Features;
use hashlab_model::run::{Finish, Job, run};
use hashlab_model::train::Journal;

use crate::Work;
use crate::prepare::weights_path;

const BITS: usize = 64;
/// Lower than CIBHash's 1e-3, at which codes of features as plain as these collapse now and then.
const LEARNING_RATE: f64 = 1e-4;

pub(crate) fn work(dir: PathBuf, epochs: usize) -> Result<Work> {
    let dataset = Synthetic::new();
    let method = hashlab_methods::METHODS.iter().find(|m| m.info.name == "cibhash").context("no CIBHash")?;
    let weights = weights_path(&dir);
    let backbone = BackboneConfig {
        name: "mobilenet_v2".into(),
        size: SIZE,
        views: 10,
        digest: Weights::read(&weights)?.digest().to_owned(),
        ..BackboneConfig::default()
    };
    // The folder and the identity under which `hashlab-synthetic features` keeps the same features.
    let bank = Bank::open(dir.join("bank"), None)?;
    let identity = format!("{} {} {{}}", Synthetic::INFO.name, Synthetic::INFO.identity);
    let config = configure(method, &backbone, epochs)?;
    Ok(Box::new(move |iterations| {
        let mut map = None;
        for _ in 0..iterations {
            let features =
                Features::new(&bank, &dataset, identity.clone(), &backbone, Some(weights.clone()), &Device::Cpu)?;
            let finish = run(Job {
                config: &config,
                method,
                dataset: &dataset,
                features: &features,
                journal: &mut Quiet,
                checkpoint: None,
                provenance: BTreeMap::new(),
            })?;
            let Finish::Result(result) = finish else { bail!("nobody interrupted the run") };
            map = result.test.get("map_at_k").copied();
        }
        Ok(map)
    }))
}

fn configure(method: &Entry, backbone: &BackboneConfig, epochs: usize) -> Result<RunConfig> {
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
        seed: 0,
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
