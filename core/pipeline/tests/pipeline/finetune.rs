//! Runs that train their encoder.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Device;
use hashlab_data::{ByModality, Modality};
use hashlab_method::MethodEntry;
use hashlab_pipeline::run::RunEnd;
use hashlab_store::{RunConfig, RunResult};
use hashlab_train::{Checkpoint, TrainObserver};
use serde_json::json;

use crate::samplers::{GIVEN, Given, Pairs};
use crate::squares::Squares;
use crate::{Notes, PROBE, config, execute_config, execute_on, result, table};

fn finetuned(lr_scale: f64) -> RunConfig {
    finetuned_by(&PROBE, lr_scale)
}

fn finetuned_by(method: &MethodEntry, lr_scale: f64) -> RunConfig {
    let image = table(json!({ "image_size": 8, "finetune": true, "lr_scale": lr_scale }));
    RunConfig { encoders: ByModality::one(Modality::Image, image), ..config(method, 0) }
}

/// Keeps the last checkpoint, and asks to stop after a number of steps.
pub(crate) struct Stopper {
    after: usize,
    asked: Cell<usize>,
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl Stopper {
    pub(crate) fn after(steps: usize) -> Self {
        Self { after: steps, asked: 0.into(), checkpoint: None }
    }
}

impl TrainObserver for Stopper {
    fn epoch(&mut self, _: usize, _: &BTreeMap<String, f64>, _: f64) -> Result<()> {
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
        self.asked.get() > self.after
    }
}

/// Goes on from a checkpoint, if there is one, until it has taken `steps` steps; what it ends with, its checkpoint, and
/// what [`Pairs`] was given.
fn part(
    run: (&RunConfig, &MethodEntry),
    (steps, threads): (usize, usize),
    from: Option<&[u8]>,
) -> (RunEnd, Vec<u8>, Given) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut stopper = Stopper::after(steps);
        let end = execute_on(&Squares::new(), run, &mut stopper, from).unwrap();
        let checkpoint = stopper.checkpoint.expect("a training that ends leaves a checkpoint");
        (end, checkpoint, GIVEN.take())
    })
}

pub(crate) fn read(bytes: &[u8]) -> Checkpoint {
    Checkpoint::from_bytes(bytes, &Device::Cpu).unwrap()
}

/// Runs for some steps, then from the checkpoint to the end; the last checkpoint of both.
fn in_two_parts(config: &RunConfig, after: usize, threads: usize) -> (RunResult, [Checkpoint; 2]) {
    let run = (config, &PROBE);
    let (first, middle, _) = part(run, (after, threads), None);
    assert!(matches!(first, RunEnd::Interrupted));
    let (last, end, _) = part(run, (usize::MAX, threads), Some(&middle));
    (result(last), [read(&middle), read(&end)])
}

pub(crate) fn bits(checkpoint: &Checkpoint) -> BTreeMap<String, Vec<u32>> {
    let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    checkpoint
        .method
        .iter()
        .map(|(name, tensor)| (name.clone(), values(tensor).into_iter().map(f32::to_bits).collect()))
        .collect()
}

#[test]
fn a_resumed_fine_tuning_ends_as_any_other_whatever_the_threads() {
    let config = finetuned(1.0);
    let (whole, end, _) = part((&config, &PROBE), (usize::MAX, 1), None);
    let (result, end) = (result(whole), read(&end));
    for (after, threads) in [(1, 1), (7, 1), (4, 3)] {
        let (other, [_, other_end]) = in_two_parts(&config, after, threads);
        assert_eq!(bits(&end), bits(&other_end));
        assert_eq!(result.test, other.test);
    }
    assert!(bits(&end).keys().any(|name| name.starts_with("backbone.conv1")));
}

/// Two samplers and three views of live images, two of them random: what a step draws is named by where it is,
/// not by what was drawn before.
#[test]
fn live_views_of_two_samplers_are_drawn_alike_after_a_stop_and_on_any_threads() {
    let method = MethodEntry::trained::<Pairs>();
    let config = finetuned_by(&method, 1.0);
    let (whole, end, given) = part((&config, &method), (usize::MAX, 1), None);
    let (result, end) = (result(whole), read(&end));
    assert_eq!(given.len(), 6 * 3, "45 items in batches of 16");
    for (after, threads) in [(1, 1), (8, 3)] {
        let (stopped, middle, mut others) = part((&config, &method), (after, threads), None);
        assert!(matches!(stopped, RunEnd::Interrupted) && others.len() == after);
        let (last, other_end, rest) = part((&config, &method), (usize::MAX, threads), Some(&middle));
        others.extend(rest);
        assert_eq!(given, others, "items and views of every step");
        assert_eq!(bits(&end), bits(&read(&other_end)));
        assert_eq!(result.test, self::result(last).test);
    }
    assert_views_are_draws_of_their_own(&given);
}

/// An item that is in both samplers of a step is drawn anew in each. Few draws agree: both made the image white.
fn assert_views_are_draws_of_their_own(given: &Given) {
    let (mut twice, mut alike) = (0, 0);
    for (items, views) in given {
        let (first, second) = items.split_at(items.len() / 2);
        for (at, item) in first.iter().enumerate() {
            let Some(again) = second.iter().position(|other| other == item) else { continue };
            let draws = |row: usize| [views[0][row], views[2][row]];
            twice += 1;
            alike += usize::from(draws(at) == draws(first.len() + again));
        }
    }
    assert!(twice > 50, "{twice} items were in both samplers of a step: too few to tell");
    assert!(alike * 10 < twice, "{alike} of {twice} items have the same views from both samplers");
}

#[test]
fn the_encoder_learns_at_its_own_rate() {
    let moved = |scale: f64| {
        let (_, [middle, end]) = in_two_parts(&finetuned(scale), 1, 1);
        let (before, after) = (&middle.method["backbone.conv1.weight"], &end.method["backbone.conv1.weight"]);
        (after - before).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let (slow, fast) = (moved(1e-3), moved(1.0));
    assert!(slow > 0.0 && slow < fast / 100.0, "{slow} against {fast}");
}

#[test]
fn a_frozen_run_keeps_the_encoder_out_of_its_checkpoint_and_model() {
    let mut stopper = Stopper::after(usize::MAX);
    let end = execute_config(&config(&PROBE, 0), &PROBE, &mut stopper).unwrap();
    let RunEnd::Result { model: Some(model), .. } = end else { panic!("it has a model") };
    let checkpoint = read(&stopper.checkpoint.unwrap());
    for state in [checkpoint.method, model.state] {
        assert_eq!(state.keys().collect::<Vec<_>>(), ["head.bias", "head.weight"]);
    }
}

/// A shallow method has no gradient for an encoder: `finetune` concerns the deep methods of its experiment.
#[test]
fn shallow_methods_work_on_the_frozen_encoder_whatever_finetune_says() {
    let method = MethodEntry::fitted::<crate::First>();
    let test = |config: &RunConfig| result(execute_config(config, &method, &mut Notes::default()).unwrap()).test;
    let found = test(&finetuned_by(&method, 1.0));
    assert!(!found.is_empty());
    assert_eq!(found, test(&config(&method, 0)));
}
