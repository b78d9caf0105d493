//! Training of a method: gradients, seeds, stops.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Tensor;
use hashlab_kernels::device;
use hashlab_method::{AnyMethod, Batch, BatchSpec, HashMethod, MethodEntry, Progress, TrainSet, View};
use hashlab_methods::METHODS;
use hashlab_train::{Checkpoint, Fit, TrainConfig, TrainData, TrainEnd, TrainObserver, fit};

use crate::{CLEAR, ITEMS, bits, build, encode_as, features_around, labels, modalities, plain, state_bits, views_of};

/// Batches of synthetic features, of which the centers of classes are a share.
pub(crate) struct Synthetic<'a> {
    pub(crate) method: &'a MethodEntry,
    pub(crate) share: f64,
}

impl<'a> Synthetic<'a> {
    /// Items whose classes are easy to tell.
    pub(crate) fn of(method: &'a MethodEntry) -> Self {
        Self { method, share: CLEAR }
    }
}

impl TrainData for Synthetic<'_> {
    fn len(&self) -> usize {
        ITEMS
    }

    fn batch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) -> Result<Batch> {
        let of = |modality, view| features_around(self.share, self.method, modality, items, view);
        let by_run = |x: Tensor| match at.runs() {
            1 => Ok(x),
            runs => x.reshape((runs, (), x.dim(1)?)),
        };
        let views = views_of(spec, at, of).into_iter().map(|view| Ok(View { x: by_run(view.x)?, ..view }));
        let labels = labels(self.method, items).map(by_run).transpose()?;
        Ok(Batch { items: items.to_vec(), views: views.collect::<Result<_>>()?, labels })
    }
}

/// Keeps the last checkpoint, and asks to stop after a number of steps.
pub(crate) struct Notes {
    stop_after: Option<usize>,
    asked: Cell<usize>,
    pub(crate) checkpoint: Option<Vec<u8>>,
    pub(crate) losses: Vec<f64>,
}

impl Notes {
    pub(crate) fn new(stop_after: Option<usize>) -> Self {
        Self { stop_after, asked: 0.into(), checkpoint: None, losses: Vec::new() }
    }
}

impl TrainObserver for Notes {
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

/// Fits a method, or trains it for a few epochs of four steps; resumes from a checkpoint if there is one. `None` for a
/// fit.
pub(crate) fn train(
    method: &MethodEntry,
    built: &mut AnyMethod,
    seed: u64,
    notes: &mut Notes,
    resume: Option<&[u8]>,
) -> Option<TrainEnd> {
    let built = match built {
        AnyMethod::Fitted(fitted) => {
            let items: Vec<u32> = (0..ITEMS as u32).collect();
            let features = plain(method, modalities(method), &items);
            fitted.fit(&TrainSet { features, labels: labels(method, &items) }).unwrap();
            return None;
        }
        AnyMethod::Trained(trained) => trained,
    };
    let config = TrainConfig { epochs: 4, batch_size: 16, validate_every: 2, ..TrainConfig::default() };
    let resume = resume.map(|bytes| Checkpoint::from_bytes(bytes, device::for_tests()).unwrap());
    let modality = built.batch_spec().views[0].modality();
    // A validation score that depends on the state, so that selection has something to choose.
    let mut validate = |trained: &dyn HashMethod| {
        Ok(encode_as(method, trained, modality).sqr()?.mean_all()?.to_scalar::<f32>().map(f64::from)?)
    };
    let data = Synthetic::of(method);
    let (trained, validate) = (built.as_mut(), &mut validate);
    Some(fit(Fit { method: trained, config: &config, seed, data: &data, validate, observer: notes, resume }).unwrap())
}

#[test]
fn every_trainable_variable_receives_a_gradient() {
    for method in METHODS {
        let AnyMethod::Trained(mut built) = build(method, 0) else { continue };
        let at = Progress { epoch: 0, epochs: 1, step: 0, steps: 1, seeds: vec![0] };
        let spec = built.batch_spec();
        let items: Vec<u32> = (0..16 * spec.samplers as u32).collect();
        let batch = Synthetic::of(method).batch(&items, &spec, &at).unwrap();
        let loss = built.loss(&batch, &at).unwrap();
        let grads = hashlab_kernels::backward(&loss.total).unwrap();
        for (name, var) in built.param_groups().into_iter().flat_map(|group| group.vars) {
            let grad = grads.get(&var).unwrap_or_else(|| panic!("{}: `{name}` has none", method.info.name));
            let size = grad.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size.is_finite() && size > 0.0, "{}: `{name}` has gradient {size}", method.info.name);
        }
    }
}

#[test]
fn an_interrupted_training_ends_as_an_uninterrupted_one() {
    for method in METHODS.iter().filter(|method| method.deep) {
        let name = method.info.name;
        let mut whole = build(method, 5);
        let mut notes = Notes::new(None);
        let uninterrupted = train(method, &mut whole, 5, &mut notes, None);
        for stop_after in [1, 4, 6, 11] {
            let mut first = build(method, 5);
            let mut before = Notes::new(Some(stop_after));
            assert_eq!(train(method, &mut first, 5, &mut before, None), Some(TrainEnd::Interrupted), "{name}");
            let mut second = build(method, 99); // its own start must not matter
            let mut after = Notes::new(None);
            let resumed = train(method, &mut second, 5, &mut after, before.checkpoint.as_deref());
            let epoch = |end: &Option<TrainEnd>| match end {
                Some(TrainEnd::Done { epoch, .. }) => *epoch,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(epoch(&resumed), epoch(&uninterrupted), "{name} after {stop_after}");
            let state = |method: &AnyMethod| state_bits(&method.as_method().state().unwrap());
            assert_eq!(state(&second), state(&whole), "{name} after {stop_after}");
            let all: Vec<f64> = before.losses.iter().chain(&after.losses).copied().collect();
            assert_eq!(all, notes.losses, "{name} after {stop_after}");
        }
    }
}

#[test]
fn training_lowers_the_loss() {
    for method in METHODS.iter().filter(|method| method.deep) {
        let mut notes = Notes::new(None);
        train(method, &mut build(method, 0), 0, &mut notes, None);
        assert!(notes.losses.last() < notes.losses.first(), "{}: {:?}", method.info.name, notes.losses);
    }
}

#[test]
fn the_seed_decides_whatever_the_number_of_threads() {
    for method in METHODS {
        let with_threads = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            bits(&pool.install(|| crate::encode(method, &crate::trained(method, seed))))
        };
        let one = with_threads(1, 0);
        assert_eq!(one, with_threads(3, 0), "{}", method.info.name);
        assert_eq!(one != with_threads(1, 1), method.info.seeded, "{}", method.info.name);
    }
}
