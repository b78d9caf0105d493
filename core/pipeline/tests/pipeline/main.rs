//! The pipeline of a run, with invented data sets and methods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use hashlab_cache::FeatureCache;
use hashlab_data::{ByModality, Dataset};
use hashlab_kernels::device;
use hashlab_method::nn::{Linear, Parameters};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, Features, Fitted, HashMethod, Loss, MethodEntry, MethodInfo, Modality,
    Needs, ParamGroup, Params, Progress, State, Supervision, TrainSet, Trained, ViewSpec,
};
use hashlab_pipeline::run::{RunEnd, RunJob, run};
use hashlab_pipeline::{EncoderContext, RunEnvironment};
use hashlab_settings::Settings;
use hashlab_store::{RunConfig, RunResult, SCHEMA, Status};
use hashlab_train::{Checkpoint, TrainObserver};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod divergence;
mod features;
mod finetune;
mod letters;
mod modalities;
mod norms;
mod paired;
mod replicas;
mod samplers;
mod squares;
mod texts;

use squares::Squares;

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ProbeParams {
    /// Step from which the loss is not a number; 0 for never.
    nan_from: usize,
    /// Step whose loss is a number and whose gradient is none; 0 for never.
    breaks_at: usize,
    /// Step that fails; 0 for none.
    fails_at: usize,
}

impl Params for ProbeParams {}

/// Whether labels came with the batches of [`Probe`], by whether it asked for them.
static SEEN: Mutex<BTreeMap<bool, bool>> = Mutex::new(BTreeMap::new());

/// A deep method that records its inputs. `ASKS` says whether it declares labels.
struct Probe<const ASKS: bool> {
    params: ProbeParams,
    vars: Parameters,
    head: Linear,
}

const fn info(name: &'static str, supervision: Supervision, deep: bool) -> MethodInfo {
    let needs = Needs::Any;
    MethodInfo { name, title: name, paper: "none", supervision, needs, augmented: deep, seeded: deep, revision: 1 }
}

impl<const ASKS: bool> Definition for Probe<ASKS> {
    const INFO: MethodInfo =
        info("probe", if ASKS { Supervision::Supervised } else { Supervision::Unsupervised }, true);
    const SOURCE: &'static str = "";
    type Params = ProbeParams;
    fn build(params: ProbeParams, cx: &BuildContext) -> Result<Self> {
        assert_eq!(cx.labels.is_some(), ASKS, "labels of the training items");
        let mut vars = Parameters::default();
        let head = Linear::new(&mut vars, "head", (cx.dim()?, cx.bits), cx)?;
        Ok(Self { params, vars, head })
    }
}

impl<const ASKS: bool> HashMethod for Probe<ASKS> {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.head.forward(items.get(modality)?)?)
    }
    fn state(&self) -> Result<State> {
        self.vars.state()
    }
    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl<const ASKS: bool> Trained for Probe<ASKS> {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new([ViewSpec::plain(Modality::Image), ViewSpec::plain(Modality::Image)])
    }
    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        SEEN.lock().unwrap().insert(ASKS, batch.labels.is_some());
        anyhow::ensure!(self.params.fails_at == 0 || at.step != self.params.fails_at, "step {} fails", at.step + 1);
        let mut total = self.head.forward(&batch.views[0].x)?.sqr()?.mean_all()?;
        if self.params.nan_from > 0 && at.step >= self.params.nan_from {
            total = (total * f64::NAN)?;
        }
        if self.params.breaks_at > 0 && at.step == self.params.breaks_at {
            let zero = (&total - total.detach())?.sqr()?;
            total = (total + zero.sqrt()?)?; // 0, and 0/0 for its slope
        }
        Ok(Loss { terms: vec![("square", total.clone())], total })
    }
}

/// A shallow method that codes an item by its first features.
struct First(usize);

impl Definition for First {
    const INFO: MethodInfo = info("first", Supervision::Unsupervised, false);
    const SOURCE: &'static str = "";
    type Params = ProbeParams;
    fn build(_: ProbeParams, cx: &BuildContext) -> Result<Self> {
        Ok(Self(cx.bits))
    }
}

impl HashMethod for First {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let x = items.get(modality)?;
        Ok(x.broadcast_sub(&x.mean_keepdim(0)?)?.narrow(1, 0, self.0)?.to_dtype(DType::F32)?)
    }
    fn state(&self) -> Result<State> {
        Ok(State::new())
    }
    fn load_state(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}

impl Fitted for First {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        assert!(train.labels.is_none(), "labels were not asked for");
        assert_eq!(train.features.only()?.dims()[0], 45, "the training items without the held-out tenth");
        Ok(())
    }
}

#[derive(Default)]
struct Notes {
    epochs: usize,
    validations: Vec<(usize, f64)>,
}

impl TrainObserver for Notes {
    fn epoch(&mut self, epoch: usize, terms: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        assert_eq!(terms.keys().collect::<Vec<_>>(), ["loss", "square"]);
        self.epochs = epoch;
        Ok(())
    }
    fn validation(&mut self, epoch: usize, map: f64) -> Result<()> {
        self.validations.push((epoch, map));
        Ok(())
    }
    fn checkpoint(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn stopped(&self) -> bool {
        false
    }
}

fn table(value: Value) -> Settings {
    value.as_object().expect("a table").clone()
}

fn config(method: &MethodEntry, nan_from: usize) -> RunConfig {
    RunConfig {
        schema: SCHEMA,
        method: method.info.name.into(),
        revision: 1,
        params: table(json!({ "nan_from": nan_from })),
        bits: 8,
        seed: 0,
        dataset: "squares".into(),
        dataset_identity: "v1".into(),
        data: Settings::new(),
        protocol: "only".into(),
        split_seed: 0,
        encoders: ByModality::one(Modality::Image, table(json!({ "image_size": 8, "views": 2 }))),
        train: table(json!({ "epochs": 6, "batch_size": 16, "validate_every": 2 })),
        eval: table(json!({ "map_at": "all", "ranks": [1, 5] })),
    }
}

/// The configuration with a section's keys changed.
fn changed(mut section: Settings, keys: Value) -> Settings {
    section.extend(table(keys));
    section
}

/// Executes a run with a feature cache of its own.
fn execute_on(
    dataset: &dyn Dataset,
    run: (&RunConfig, &MethodEntry),
    observer: &mut dyn TrainObserver,
    checkpoint: Option<&[u8]>,
) -> Result<RunEnd> {
    execute_at(device::for_tests(), dataset, run, observer, checkpoint)
}

/// Executes a run on a device, with a feature cache of its own.
fn execute_at(
    device: &Device,
    dataset: &dyn Dataset,
    (config, method): (&RunConfig, &MethodEntry),
    observer: &mut dyn TrainObserver,
    checkpoint: Option<&[u8]>,
) -> Result<RunEnd> {
    let folder = tempfile::tempdir()?;
    let cache = FeatureCache::open(folder.path(), None)?;
    let setup = EncoderContext { cache: &cache, encoders: letters::encoders(), files: &|_| None };
    let environment = &RunEnvironment::new(config, dataset, setup, device)?;
    let checkpoint = checkpoint.map(|bytes| Checkpoint::from_bytes(bytes, device)).transpose()?;
    run(RunJob { config, method, environment, observer, checkpoint, provenance: BTreeMap::new() })
}

fn execute_config(config: &RunConfig, method: &MethodEntry, observer: &mut dyn TrainObserver) -> Result<RunEnd> {
    execute_on(&Squares::new(), (config, method), observer, None)
}

fn result(end: RunEnd) -> RunResult {
    let RunEnd::Result { result, .. } = end else { panic!("nobody asked it to stop") };
    *result
}

fn execute(method: &MethodEntry, nan_from: usize) -> (RunResult, Notes) {
    let mut notes = Notes::default();
    (result(execute_config(&config(method, nan_from), method, &mut notes).unwrap()), notes)
}

const PROBE: MethodEntry = MethodEntry::trained::<Probe<false>>();

#[test]
fn labels_reach_the_methods_that_ask_for_them_and_no_other() {
    execute(&MethodEntry::trained::<Probe<true>>(), 0);
    execute(&PROBE, 0);
    assert_eq!(*SEEN.lock().unwrap(), BTreeMap::from([(false, false), (true, true)]));
}

#[test]
fn the_best_state_on_validation_is_evaluated() {
    let finished = |config: &RunConfig| {
        let mut notes = Notes::default();
        (result(execute_config(config, &PROBE, &mut notes).unwrap()), notes)
    };
    let mut epochs = BTreeSet::new();
    for seed in 0..8 {
        // At this rate, every epoch's codes are others.
        let train = changed(config(&PROBE, 0).train, json!({ "learning_rate": 0.1 }));
        let mut config = RunConfig { seed, train: train.clone(), ..config(&PROBE, 0) };
        let (result, notes) = finished(&config);
        assert_eq!((result.status, result.epochs_done, notes.epochs), (Status::Finished, Some(6), 6));
        assert_eq!(notes.validations.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [2, 4, 6]);
        let best = |best: (usize, f64), at: &(usize, f64)| if at.1 > best.1 { *at } else { best };
        let (epoch, best) = notes.validations.iter().fold((0, f64::MIN), best);
        assert_eq!(result.epoch, Some(epoch));
        let found = result.mean_validation("map_at_k");
        assert_eq!(found, Some(best), "the evaluated state is not the one that was chosen");
        // The same state, found without a validation.
        config.train = changed(train, json!({ "epochs": epoch, "select": "last" }));
        let (last, notes) = finished(&config);
        assert_eq!((last.test, last.validation, notes.validations), (result.test, result.validation, vec![]));
        epochs.insert(epoch);
    }
    assert!(epochs.contains(&6) && epochs.len() > 1, "the best epoch was always one of {epochs:?}");
}

/// Sums the losses that it reads in every step, and notes the epochs' means.
#[derive(Default)]
struct Watcher {
    sum: f64,
    items: usize,
    means: Vec<[f64; 2]>,
}

impl TrainObserver for Watcher {
    fn step(&mut self, step: &hashlab_train::StepReport<'_>) -> Result<()> {
        let terms = step.terms()?;
        assert_eq!(terms.iter().map(|term| term.0).collect::<Vec<_>>(), ["loss", "square"]);
        self.sum += terms[0].1 * step.batch.items.len() as f64;
        self.items += step.batch.items.len();
        Ok(())
    }
    fn epoch(&mut self, _: usize, terms: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        self.means.push([terms["loss"], std::mem::take(&mut self.sum) / std::mem::take(&mut self.items) as f64]);
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

#[test]
fn an_epochs_loss_is_the_mean_of_its_steps() {
    let mut watcher = Watcher::default();
    execute_config(&config(&PROBE, 0), &PROBE, &mut watcher).unwrap();
    assert_eq!(watcher.means.len(), 6);
    assert!(watcher.means.iter().all(|[mean, steps]| mean == steps && *mean > 0.0), "{:?}", watcher.means);
}

#[test]
fn brightness_is_found_by_a_shallow_method() {
    let (result, _) = execute(&MethodEntry::fitted::<First>(), 0);
    assert_eq!((result.epoch, result.epochs_done), (None, None));
    assert!(result.mean_test("map_at_k").unwrap() > 0.9, "{:?}", result.test);
}
