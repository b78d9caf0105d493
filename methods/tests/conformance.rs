//! What every registered method must do, on tiny synthetic features.
//!
//! HASHLAB_TEST_DEVICE names the device. Bits are compared with bits on each: a GPU, too, has to repeat itself exactly.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use candle_core::{DType, Tensor};
use hashlab_kernels::device;
use hashlab_methods::METHODS;
use hashlab_model::config::TrainConfig;
use hashlab_model::train::{Checkpoint, Fit, Journal, Outcome, TrainData, fit};
use hashlab_model::{
    Batch, BuildContext, Demand, Entry, HashMethod, Items, Learner, Progress, State, Supervision, TrainSet,
};
use hashlab_rng::stream;

const ITEMS: usize = 60;
const DIM: usize = 24;
const CLASSES: usize = 3;
const BITS: usize = 16;

fn context(seed: u64) -> BuildContext {
    BuildContext { bits: BITS, dim: DIM, classes: CLASSES, device: device::for_tests().clone(), seed }
}

fn class_of(item: u32) -> usize {
    item as usize % CLASSES
}

/// Clustered features; each view adds noise of its own.
fn features(items: &[u32], view: u64) -> Tensor {
    let values: Vec<f32> = items
        .iter()
        .flat_map(|&item| {
            let mut centre = stream(0, "centre", &[class_of(item) as u64]);
            let mut noise = stream(0, "noise", &[u64::from(item), view]);
            (0..DIM).map(move |_| (2.0 * centre.normal() + noise.normal()) as f32)
        })
        .collect();
    Tensor::from_vec(values, (items.len(), DIM), device::for_tests()).unwrap()
}

/// Labels, for the methods that may see them.
fn labels(method: &Entry, items: &[u32]) -> Option<Tensor> {
    let hot = |item: &u32| (0..CLASSES).map(|c| f32::from(c == class_of(*item))).collect::<Vec<_>>();
    let values: Vec<f32> = items.iter().flat_map(hot).collect();
    (method.info.supervision == Supervision::Labels)
        .then(|| Tensor::from_vec(values, (items.len(), CLASSES), device::for_tests()).unwrap())
}

struct Synthetic<'a>(&'a Entry);

impl TrainData for Synthetic<'_> {
    fn len(&self) -> usize {
        ITEMS
    }

    fn batch(&self, items: &[u32], demand: &Demand, at: &Progress) -> Result<Batch> {
        let views = demand.views.len();
        let view = |v: usize| features(items, (at.epoch * views + v) as u64 + 1);
        Ok(Batch { items: items.to_vec(), views: (0..views).map(view).collect(), labels: labels(self.0, items) })
    }
}

/// Keeps the last checkpoint, and asks to stop after a number of steps.
struct Notes {
    stop_after: Option<usize>,
    asked: std::cell::Cell<usize>,
    checkpoint: Option<Vec<u8>>,
    losses: Vec<f64>,
}

impl Notes {
    fn new(stop_after: Option<usize>) -> Self {
        Self { stop_after, asked: 0.into(), checkpoint: None, losses: Vec::new() }
    }
}

impl Journal for Notes {
    fn epoch(&mut self, _: usize, terms: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        self.losses.push(terms["loss"]);
        Ok(())
    }
    fn validation(&mut self, _: usize, _: f64) -> Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        self.checkpoint = Some(bytes.to_vec());
        Ok(())
    }
    fn stopped(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.stop_after.is_some_and(|steps| self.asked.get() > steps)
    }
}

fn build(method: &Entry, seed: u64) -> Box<dyn HashMethod> {
    method.build(&method.schema().defaults, &context(seed)).unwrap()
}

/// Trains for a few epochs of four steps; goes on from a checkpoint if there is one.
fn train(method: &Entry, built: &mut dyn HashMethod, seed: u64, notes: &mut Notes, resume: Option<&[u8]>) -> Outcome {
    if let Learner::ClosedForm(learner) = built.learner() {
        let items: Vec<u32> = (0..ITEMS as u32).collect();
        learner.fit(&TrainSet { features: features(&items, 0), labels: labels(method, &items) }).unwrap();
        return Outcome::Done { epoch: 0, seconds: 0.0, validated: false };
    }
    let config = TrainConfig { epochs: 4, batch_size: 16, validate_every: 2, ..TrainConfig::default() };
    let resume = resume.map(|bytes| Checkpoint::from_bytes(bytes, device::for_tests()).unwrap());
    // A validation score that depends on the state, so that selection has something to choose.
    let mut validate =
        |method: &dyn HashMethod| Ok(encode(method).sqr()?.mean_all()?.to_scalar::<f32>().map(f64::from)?);
    let data = Synthetic(method);
    fit(Fit { method: built, config: &config, seed, data: &data, validate: &mut validate, journal: notes, resume })
        .unwrap()
}

fn trained(method: &Entry, seed: u64) -> Box<dyn HashMethod> {
    let mut built = build(method, seed);
    let outcome = train(method, built.as_mut(), seed, &mut Notes::new(None), None);
    assert!(matches!(outcome, Outcome::Done { .. }), "{}: {outcome:?}", method.info.name);
    built
}

fn encode(method: &dyn HashMethod) -> Tensor {
    let items: Vec<u32> = (0..ITEMS as u32 + 7).collect();
    method.encode(&Items { image: features(&items, 0) }).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn state_bits(state: &State) -> BTreeMap<String, Vec<u32>> {
    state.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

#[test]
fn names_are_unique_and_snake_case() {
    let names: BTreeSet<&str> = METHODS.iter().map(|m| m.info.name).collect();
    assert_eq!(names.len(), METHODS.len());
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
    }
}

#[test]
fn every_method_file_is_registered() {
    let lib = include_str!("../src/lib.rs");
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut methods = 0;
    for path in std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()) {
        let module = path.file_stem().unwrap().to_str().unwrap();
        if std::fs::read_to_string(&path).unwrap().contains("impl Plugin for") {
            methods += 1;
            assert!(lib.contains(&format!("pub mod {module};")), "{module} is not a module of the crate");
            assert!(lib.contains(&format!("Entry::of::<{module}::")), "{module} is not in METHODS");
        }
    }
    assert_eq!(methods, METHODS.len());
}

#[test]
fn every_published_method_is_the_title_of_a_registered_one() {
    let published = include_str!("../published.toml");
    let titles: Vec<&str> = published.lines().filter_map(|line| line.strip_prefix("method = ")).collect();
    assert!(!titles.is_empty());
    for title in titles {
        assert!(METHODS.iter().any(|method| format!("{:?}", method.info.title) == title), "{title}");
    }
}

#[test]
fn hyperparameters_have_checked_and_documented_defaults() {
    for method in METHODS {
        let (schema, name) = (method.schema(), method.info.name);
        (schema.check)(&schema.defaults).unwrap_or_else(|e| panic!("{name}: {}", e.message));
        for key in schema.defaults.keys() {
            assert!(schema.docs.get(key).is_some_and(|doc| doc.len() > 10), "{name}: `{key}` is not documented");
        }
        let mut unknown = schema.defaults.clone();
        unknown.insert("no_such_key".into(), 1.into());
        assert!((schema.check)(&unknown).is_err(), "{name}");
        assert!(method.build(&unknown, &context(0)).is_err(), "{name}");
    }
}

#[test]
fn the_learner_is_the_declared_one() {
    for method in METHODS {
        let gradient = matches!(build(method, 0).learner(), Learner::Gradient(_));
        assert_eq!(gradient, method.info.gradient, "{}", method.info.name);
        assert!(gradient || !method.info.augmented, "{}", method.info.name);
    }
}

#[test]
fn views_have_the_asked_size_and_are_as_random_as_declared() {
    for method in METHODS {
        let mut built = build(method, 0);
        let Learner::Gradient(learner) = built.learner() else { continue };
        for size in [32, 224] {
            for view in learner.demand().views {
                let transform = view(size);
                let found = (transform.size(), transform.is_random());
                assert_eq!(found, (size, method.info.augmented), "{}: {transform}", method.info.name);
            }
        }
    }
}

#[test]
fn relaxed_codes_are_finite_and_of_the_asked_length() {
    for method in METHODS {
        let codes = encode(trained(method, 0).as_ref());
        assert_eq!((codes.dims(), codes.dtype()), (&[ITEMS + 7, BITS][..], DType::F32), "{}", method.info.name);
        let values = codes.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|h| h.is_finite()), "{}", method.info.name);
        let positive = values.iter().filter(|h| **h >= 0.0).count() as f64 / values.len() as f64;
        assert!((0.1..0.9).contains(&positive), "{}: {positive} of the bits are 1", method.info.name);
    }
}

#[test]
fn a_saved_method_encodes_the_same_bits() {
    for method in METHODS {
        let first = trained(method, 3);
        let mut second = build(method, 4);
        second.load_state(&first.state().unwrap()).unwrap();
        assert_eq!(bits(&encode(first.as_ref())), bits(&encode(second.as_ref())), "{}", method.info.name);
    }
}

#[test]
fn states_that_do_not_fit_are_refused() {
    for method in METHODS {
        let state = trained(method, 3).state().unwrap();
        let with = |name: &str, shape: &[usize]| {
            let mut state = state.clone();
            state.insert(name.into(), Tensor::zeros(shape, DType::F32, device::for_tests()).unwrap());
            state
        };
        let mut bad = vec![with("no_such_tensor", &[1])];
        for name in state.keys() {
            let mut missing = state.clone();
            missing.remove(name);
            bad.extend([missing, with(name, &[]), with(name, &[1, 1, 1])]);
        }
        let mut built = build(method, 0);
        let before = state_bits(&built.state().unwrap());
        for bad in bad {
            assert!(built.load_state(&bad).is_err(), "{}", method.info.name);
            assert_eq!(state_bits(&built.state().unwrap()), before, "{}: half-loaded", method.info.name);
        }
    }
}

#[test]
fn the_seed_decides_whatever_the_number_of_threads() {
    for method in METHODS {
        let with_threads = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            bits(&pool.install(|| encode(trained(method, seed).as_ref())))
        };
        let one = with_threads(1, 0);
        assert_eq!(one, with_threads(3, 0), "{}", method.info.name);
        assert_eq!(one != with_threads(1, 1), method.info.seeded, "{}", method.info.name);
    }
}

/// Items enough, and long enough, for products to be split over threads; every view of an item is the same.
struct Many {
    features: Tensor,
    labels: Option<Tensor>,
}

impl Many {
    const ITEMS: usize = 1100;
    const DIM: usize = 64;
    const BITS: usize = 32;

    fn of(method: &Entry) -> Self {
        let mut rng = stream(0, "many", &[]);
        let values: Vec<f32> = (0..Self::ITEMS * Self::DIM).map(|_| rng.normal() as f32).collect();
        let items: Vec<u32> = (0..Self::ITEMS as u32).collect();
        let features = Tensor::from_vec(values, (Self::ITEMS, Self::DIM), device::for_tests()).unwrap();
        Self { features, labels: labels(method, &items) }
    }

    /// Relaxed codes after a fit, or two steps of training.
    fn codes(&self, method: &Entry) -> Tensor {
        let cx = BuildContext { bits: Self::BITS, dim: Self::DIM, ..context(0) };
        let mut built = method.build(&method.schema().defaults, &cx).unwrap();
        if let Learner::ClosedForm(learner) = built.learner() {
            learner.fit(&TrainSet { features: self.features.clone(), labels: self.labels.clone() }).unwrap();
        } else {
            let config = TrainConfig { epochs: 1, batch_size: 128, validate_every: 1, ..TrainConfig::default() };
            let (mut validate, journal) = (|_: &dyn HashMethod| Ok(0.0), &mut Notes::new(None));
            let method = built.as_mut();
            let job =
                Fit { method, config: &config, seed: 0, data: self, validate: &mut validate, journal, resume: None };
            fit(job).unwrap();
        }
        built.encode(&Items { image: self.features.clone() }).unwrap()
    }
}

impl TrainData for Many {
    fn len(&self) -> usize {
        256 // two batches
    }

    fn batch(&self, items: &[u32], demand: &Demand, _: &Progress) -> Result<Batch> {
        let rows = Tensor::new(items, device::for_tests())?;
        let view = self.features.index_select(&rows, 0)?;
        let labels = self.labels.as_ref().map(|labels| labels.index_select(&rows, 0)).transpose()?;
        Ok(Batch { items: items.to_vec(), views: vec![view; demand.views.len()], labels })
    }
}

#[test]
fn products_split_over_threads_give_the_same_bits() {
    for method in METHODS {
        let many = Many::of(method);
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            bits(&pool.install(|| many.codes(method)))
        };
        assert_eq!(with_threads(1), with_threads(3), "{}", method.info.name);
    }
}

#[test]
fn every_trainable_variable_receives_a_gradient() {
    for method in METHODS {
        let mut built = build(method, 0);
        let Learner::Gradient(learner) = built.learner() else { continue };
        let at = Progress { epoch: 0, epochs: 1, step: 0, steps: 1, seed: 0 };
        let items: Vec<u32> = (0..16 * learner.demand().streams as u32).collect();
        let batch = Synthetic(method).batch(&items, &learner.demand(), &at).unwrap();
        let loss = learner.loss(&batch, &at).unwrap();
        let grads = hashlab_kernels::backward(&loss.total).unwrap();
        for (name, var) in learner.param_groups().into_iter().flat_map(|group| group.vars) {
            let grad = grads.get(&var).unwrap_or_else(|| panic!("{}: `{name}` has none", method.info.name));
            let size = grad.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size.is_finite() && size > 0.0, "{}: `{name}` has gradient {size}", method.info.name);
        }
    }
}

#[test]
fn an_interrupted_training_ends_as_an_uninterrupted_one() {
    for method in METHODS.iter().filter(|method| method.info.gradient) {
        let name = method.info.name;
        let mut whole = build(method, 5);
        let mut notes = Notes::new(None);
        let uninterrupted = train(method, whole.as_mut(), 5, &mut notes, None);
        for stop_after in [1, 4, 6, 11] {
            let mut first = build(method, 5);
            let mut before = Notes::new(Some(stop_after));
            assert_eq!(train(method, first.as_mut(), 5, &mut before, None), Outcome::Interrupted, "{name}");
            let mut second = build(method, 99); // its own start must not matter
            let mut after = Notes::new(None);
            let resumed = train(method, second.as_mut(), 5, &mut after, before.checkpoint.as_deref());
            let epoch = |outcome: &Outcome| match outcome {
                Outcome::Done { epoch, .. } => *epoch,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(epoch(&resumed), epoch(&uninterrupted), "{name} after {stop_after}");
            assert_eq!(
                state_bits(&second.state().unwrap()),
                state_bits(&whole.state().unwrap()),
                "{name} after {stop_after}"
            );
            let all: Vec<f64> = before.losses.iter().chain(&after.losses).copied().collect();
            assert_eq!(all, notes.losses, "{name} after {stop_after}");
        }
    }
}

#[test]
fn training_lowers_the_loss() {
    for method in METHODS.iter().filter(|method| method.info.gradient) {
        let mut notes = Notes::new(None);
        train(method, build(method, 0).as_mut(), 0, &mut notes, None);
        assert!(notes.losses.last() < notes.losses.first(), "{}: {:?}", method.info.name, notes.losses);
    }
}
