//! The pipeline of a run, with a data set and methods made up for the purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use anyhow::Result;
use candle_core::{DType, Tensor};
use hashlab_bank::{Bank, Precision};
use hashlab_engine::{RunConfig, RunResult, Settings, Status};
use hashlab_kernels::device;
use hashlab_model::config::{BackboneConfig, Compute, Select, TrainConfig};
use hashlab_model::features::Features;
use hashlab_model::nn::{Linear, Parameters};
use hashlab_model::run::{Finish, Job, run};
use hashlab_model::train::{Journal, Step};
use hashlab_model::{
    Batch, BuildContext, ClosedForm, Demand, Entry, Gradient, HashMethod, Info, Items, Learner, Loss, Modality,
    ParamGroup, Params, Plugin, Progress, State, Supervision, TrainSet, Transform,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod finetune;
mod norms;
mod squares;
mod streams;

use finetune::Stopper;
use squares::{ITEMS, Squares};

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

/// A gradient method that notes what it is given. `ASKS` says whether it declares labels.
struct Probe<const ASKS: bool> {
    params: ProbeParams,
    vars: Parameters,
    head: Linear,
}

const fn info(name: &'static str, supervision: Supervision, gradient: bool) -> Info {
    let modalities = &[Modality::Image];
    Info {
        name,
        title: name,
        paper: "none",
        supervision,
        modalities,
        gradient,
        seeded: gradient,
        augmented: gradient,
        revision: 1,
    }
}

impl<const ASKS: bool> Plugin for Probe<ASKS> {
    const INFO: Info = info("probe", if ASKS { Supervision::Labels } else { Supervision::None }, true);
    type Params = ProbeParams;
    fn build(params: ProbeParams, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let head = Linear::new(&mut vars, "head", (cx.dim, cx.bits), cx)?;
        Ok(Self { params, vars, head })
    }
}

impl<const ASKS: bool> HashMethod for Probe<ASKS> {
    fn learner(&mut self) -> Learner<'_> {
        Learner::Gradient(self)
    }
    fn encode(&self, items: &Items) -> Result<Tensor> {
        Ok(self.head.forward(&items.image)?)
    }
    fn state(&self) -> Result<State> {
        self.vars.state()
    }
    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl<const ASKS: bool> Gradient for Probe<ASKS> {
    fn demand(&self) -> Demand {
        Demand { views: &[Transform::resize, Transform::resize], streams: 1 }
    }
    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup { vars: self.vars.vars(), lr_scale: 1.0 }]
    }
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        SEEN.lock().unwrap().insert(ASKS, batch.labels.is_some());
        anyhow::ensure!(self.params.fails_at == 0 || at.step != self.params.fails_at, "step {} fails", at.step + 1);
        let mut total = self.head.forward(&batch.views[0])?.sqr()?.mean_all()?;
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

/// A closed-form method that codes an item by its first features.
struct First(usize);

impl Plugin for First {
    const INFO: Info = info("first", Supervision::None, false);
    type Params = ProbeParams;
    fn build(_: ProbeParams, cx: &BuildContext) -> Result<Self> {
        Ok(Self(cx.bits))
    }
}

impl HashMethod for First {
    fn learner(&mut self) -> Learner<'_> {
        Learner::ClosedForm(self)
    }
    fn encode(&self, items: &Items) -> Result<Tensor> {
        let mean = items.image.mean_keepdim(0)?;
        Ok(items.image.broadcast_sub(&mean)?.narrow(1, 0, self.0)?.to_dtype(DType::F32)?)
    }
    fn state(&self) -> Result<State> {
        Ok(State::new())
    }
    fn load_state(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}

impl ClosedForm for First {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        assert!(train.labels.is_none(), "labels were not asked for");
        assert_eq!(train.features.dims()[0], 45, "the training items without the held-out tenth");
        Ok(())
    }
}

#[derive(Default)]
struct Notes {
    epochs: usize,
    validations: Vec<(usize, f64)>,
}

impl Journal for Notes {
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

fn settings<T: Serialize>(value: &T) -> Settings {
    serde_json::to_value(value).unwrap().as_object().unwrap().clone()
}

fn config(method: &Entry, nan_from: usize) -> RunConfig {
    let backbone = BackboneConfig { size: 8, views: 2, digest: "random".into(), ..BackboneConfig::default() };
    let train = TrainConfig { epochs: 6, batch_size: 16, validate_every: 2, ..TrainConfig::default() };
    RunConfig {
        schema: 1,
        method: method.info.name.into(),
        revision: 1,
        params: settings(&ProbeParams { nan_from, ..ProbeParams::default() }),
        bits: 8,
        seed: 0,
        dataset: "squares".into(),
        dataset_identity: "v1".into(),
        data: Settings::new(),
        protocol: "only".into(),
        split_seed: 0,
        backbone: settings(&backbone),
        train: settings(&train),
        eval: settings(&serde_json::json!({ "map_at": 0, "grid": [1, 5] })),
    }
}

/// Executes a run on a bank of its own.
fn execute_config(
    config: &RunConfig,
    method: &Entry,
    journal: &mut dyn Journal,
    checkpoint: Option<Vec<u8>>,
) -> Result<Finish> {
    let folder = tempfile::tempdir()?;
    let bank = Bank::open(folder.path(), None)?;
    let dataset = Squares::new();
    let backbone: BackboneConfig = serde_json::from_value(config.backbone.clone().into())?;
    let features = Features::new(&bank, &dataset, "squares v1".into(), &backbone, None, device::for_tests())?;
    let (features, provenance) = (&features, BTreeMap::new());
    run(Job { config, method, dataset: &dataset, features, journal, checkpoint, provenance })
}

fn execute(method: &Entry, nan_from: usize) -> (RunResult, Notes) {
    let mut journal = Notes::default();
    match execute_config(&config(method, nan_from), method, &mut journal, None).unwrap() {
        Finish::Result(result) => (*result, journal),
        Finish::Interrupted => panic!("nobody asked it to stop"),
    }
}

#[test]
fn labels_reach_the_methods_that_ask_for_them_and_no_other() {
    execute(&Entry::of::<Probe<true>>(), 0);
    execute(&Entry::of::<Probe<false>>(), 0);
    assert_eq!(*SEEN.lock().unwrap(), BTreeMap::from([(false, false), (true, true)]));
}

#[test]
fn the_best_state_on_validation_is_evaluated() {
    let method = Entry::of::<Probe<false>>();
    let finished = |config: &RunConfig| {
        let mut notes = Notes::default();
        match execute_config(config, &method, &mut notes, None).unwrap() {
            Finish::Result(result) => (*result, notes),
            Finish::Interrupted => panic!("nobody asked it to stop"),
        }
    };
    let mut epochs = BTreeSet::new();
    for seed in 0..8 {
        // At this rate, every epoch's codes are others.
        let train =
            TrainConfig { epochs: 6, batch_size: 16, validate_every: 2, learning_rate: 0.1, ..TrainConfig::default() };
        let mut config = RunConfig { seed, train: settings(&train), ..config(&method, 0) };
        let (result, notes) = finished(&config);
        assert_eq!((result.status, notes.epochs), (Status::Finished, 6));
        assert_eq!(notes.validations.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [2, 4, 6]);
        let best = |best: (usize, f64), at: &(usize, f64)| if at.1 > best.1 { *at } else { best };
        let (epoch, best) = notes.validations.iter().fold((0, f64::MIN), best);
        assert_eq!(result.epoch, epoch);
        assert_eq!(result.validation["map_at_k"], best, "the evaluated state is not the one that was chosen");
        // The same state, found without a validation.
        let train = TrainConfig { epochs: epoch, select: Select::Last, ..train };
        config.train = settings(&train);
        let (last, notes) = finished(&config);
        assert_eq!((last.test, last.validation, notes.validations), (result.test, result.validation, vec![]));
        epochs.insert(epoch);
    }
    assert!(epochs.contains(&6) && epochs.len() > 1, "the best epoch was always one of {epochs:?}");
}

#[test]
fn a_loss_that_is_not_a_number_is_a_result_and_says_where() {
    let (result, notes) = execute(&Entry::of::<Probe<false>>(), 7);
    assert_eq!((result.status, notes.epochs), (Status::Diverged, 2));
    assert_eq!(result.message.as_deref(), Some("not finite at step 8 (epoch 3): loss NaN, square NaN"));
    assert!(result.test.is_empty() && result.validation.is_empty());
}

#[test]
fn a_training_that_diverged_is_not_kept_when_it_is_stopped() {
    let method = Entry::of::<Probe<false>>();
    // Stopped within the third epoch: before its second step, whose loss is none, and right after it.
    for (after, status) in [(7, None), (8, Some(Status::Diverged))] {
        let mut journal = Stopper { after, asked: 0.into(), checkpoint: None };
        let finish = execute_config(&config(&method, 7), &method, &mut journal, None).unwrap();
        let found = match finish {
            Finish::Result(result) => Some(result.status),
            Finish::Interrupted => None,
        };
        assert_eq!((found, journal.checkpoint.is_some()), (status, status.is_none()), "stopped after {after} steps");
    }
}

#[test]
fn a_step_that_fails_after_a_loss_that_is_not_a_number_is_a_divergence() {
    let method = Entry::of::<Probe<false>>();
    let execute = |nan_from| {
        let params = settings(&ProbeParams { nan_from, fails_at: 8, ..ProbeParams::default() });
        execute_config(&RunConfig { params, ..config(&method, 0) }, &method, &mut Notes::default(), None)
    };
    let Finish::Result(result) = execute(7).unwrap() else { panic!("nobody asked it to stop") };
    assert_eq!(result.message.as_deref(), Some("not finite at step 8 (epoch 3): loss NaN, square NaN"));
    assert_eq!(execute(0).err().unwrap().to_string(), "step 9 fails");
}

/// Sums the losses that it reads in every step, and notes the epochs' means.
#[derive(Default)]
struct Watcher {
    sum: f64,
    items: usize,
    means: Vec<[f64; 2]>,
}

impl Journal for Watcher {
    fn step(&mut self, step: &Step<'_>) -> Result<()> {
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
    let method = Entry::of::<Probe<false>>();
    let mut watcher = Watcher::default();
    execute_config(&config(&method, 0), &method, &mut watcher, None).unwrap();
    assert_eq!(watcher.means.len(), 6);
    assert!(watcher.means.iter().all(|[mean, steps]| mean == steps && *mean > 0.0), "{:?}", watcher.means);
}

#[test]
fn an_update_that_breaks_the_weights_is_found_before_they_are_evaluated() {
    let method = Entry::of::<Probe<false>>();
    // The last steps of an epoch that is validated, and of a training that is not.
    for (breaks_at, epoch, select) in [(5, 2, "best"), (17, 6, "last")] {
        let mut config =
            RunConfig { params: settings(&ProbeParams { breaks_at, ..ProbeParams::default() }), ..config(&method, 0) };
        config.train.insert("select".into(), select.into());
        let finish = execute_config(&config, &method, &mut Notes::default(), None).unwrap();
        let Finish::Result(result) = finish else { panic!("nobody asked it to stop") };
        assert_eq!(result.status, Status::Diverged);
        let message = result.message.unwrap();
        assert!(message.ends_with(&format!("is not finite after epoch {epoch}")), "{message}");
    }
}

#[test]
fn brightness_is_found_by_a_closed_form_method() {
    let (result, _) = execute(&Entry::of::<First>(), 0);
    assert_eq!(result.epoch, 0);
    assert!(result.test["map_at_k"] > 0.9, "{:?}", result.test);
}

/// Features without augmentation, as they are stored under a configuration.
fn stored(bank: &Bank, backbone: &BackboneConfig) -> (Precision, Vec<f32>) {
    let dataset = Squares::new();
    let features = Features::new(bank, &dataset, "squares v1".into(), backbone, None, device::for_tests()).unwrap();
    let segment = features.plain(&mut |_, _| Ok(())).unwrap();
    let mut values = Vec::new();
    segment.read_range(0..ITEMS, &mut values).unwrap();
    (segment.precision(), values)
}

#[test]
fn features_are_stored_as_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Bank::open(folder.path(), None).unwrap();
    let [full, half] = [Precision::F32, Precision::F16].map(|precision| {
        let backbone = BackboneConfig { size: 8, precision, digest: "random".into(), ..BackboneConfig::default() };
        let (found, values) = stored(&bank, &backbone);
        assert_eq!(found, precision);
        values
    });
    let rounding = full.iter().zip(&half).map(|(full, half)| (full - half).abs() / full.abs().max(1e-3));
    let most = rounding.fold(0.0, f32::max);
    assert!(most > 0.0 && most <= 2f32.powi(-11), "half precision keeps 11 bits, the error is {most}");
}

/// What f32 is stored under must not change: banks outlive the program.
#[test]
fn features_of_bf16_are_other_segments_that_resemble_those_of_f32() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Bank::open(folder.path(), None).unwrap();
    let [full, reduced] = [Compute::F32, Compute::Bf16].map(|compute| {
        let backbone = BackboneConfig { size: 8, compute, digest: "random".into(), ..BackboneConfig::default() };
        stored(&bank, &backbone).1
    });
    let mut names: Vec<String> = bank.list().unwrap().into_iter().map(|entry| entry.key.unwrap().backbone).collect();
    names.sort();
    assert_eq!(names, ["convnet r1", "convnet r1 bf16"]);
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let error = norm(&mut full.iter().zip(&reduced).map(|(a, b)| a - b)) / norm(&mut full.iter().copied());
    assert!(error > 1e-4 && error < 0.01, "relative error {error}");
}
