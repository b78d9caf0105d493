//! Runs that train their backbone.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Device;
use hashlab_engine::{RunConfig, RunResult};
use hashlab_model::Entry;
use hashlab_model::config::BackboneConfig;
use hashlab_model::run::Finish;
use hashlab_model::train::{Checkpoint, Journal};

use crate::streams::{GIVEN, Given, Pairs};
use crate::{Notes, Probe, config, execute_config, settings};

fn finetuned(learning_rate_scale: f64) -> RunConfig {
    finetuned_by(&Entry::of::<Probe<false>>(), learning_rate_scale)
}

fn finetuned_by(method: &Entry, learning_rate_scale: f64) -> RunConfig {
    let backbone = BackboneConfig {
        size: 8,
        finetune: true,
        learning_rate_scale,
        digest: "random".into(),
        ..BackboneConfig::default()
    };
    RunConfig { backbone: settings(&backbone), ..config(method, 0) }
}

/// Keeps the last checkpoint, and asks to stop after a number of steps.
pub(crate) struct Stopper {
    pub(crate) after: usize,
    pub(crate) asked: Cell<usize>,
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl Journal for Stopper {
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
    (config, method): (&RunConfig, &Entry),
    (steps, threads): (usize, usize),
    from: Option<&[u8]>,
) -> (Finish, Vec<u8>, Given) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut journal = Stopper { after: steps, asked: 0.into(), checkpoint: None };
        let finish = execute_config(config, method, &mut journal, from.map(<[u8]>::to_vec)).unwrap();
        let checkpoint = journal.checkpoint.expect("a training that ends leaves a checkpoint");
        (finish, checkpoint, GIVEN.take())
    })
}

fn result(finish: Finish) -> RunResult {
    let Finish::Result(result) = finish else { panic!("nobody asked it to stop") };
    *result
}

fn read(bytes: &[u8]) -> Checkpoint {
    Checkpoint::from_bytes(bytes, &Device::Cpu).unwrap()
}

/// Runs for some steps, then from the checkpoint to the end; the last checkpoint of both.
fn in_two_parts(config: &RunConfig, after: usize, threads: usize) -> (RunResult, [Checkpoint; 2]) {
    let run = (config, &Entry::of::<Probe<false>>());
    let (first, middle, _) = part(run, (after, threads), None);
    assert!(matches!(first, Finish::Interrupted));
    let (last, end, _) = part(run, (usize::MAX, threads), Some(&middle));
    (result(last), [read(&middle), read(&end)])
}

fn bits(checkpoint: &Checkpoint) -> BTreeMap<String, Vec<u32>> {
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
    let (finish, end, _) = part((&config, &Entry::of::<Probe<false>>()), (usize::MAX, 1), None);
    let (result, end) = (result(finish), read(&end));
    for (after, threads) in [(1, 1), (7, 1), (4, 3)] {
        let (other, [_, other_end]) = in_two_parts(&config, after, threads);
        assert_eq!(bits(&end), bits(&other_end));
        assert_eq!(result.test, other.test);
    }
    assert!(bits(&end).keys().any(|name| name.starts_with("backbone.conv1")));
}

/// Two streams of items and three views of live images, two of them random: what a step draws is named by where it is,
/// not by what was drawn before.
#[test]
fn live_views_of_two_streams_are_drawn_alike_after_a_stop_and_on_any_threads() {
    let method = Entry::of::<Pairs>();
    let config = finetuned_by(&method, 1.0);
    let (finish, end, given) = part((&config, &method), (usize::MAX, 1), None);
    let (result, end) = (result(finish), read(&end));
    assert_eq!(given.len(), 6 * 3, "45 items in batches of 16");
    for (after, threads) in [(1, 1), (8, 3)] {
        let (stopped, middle, mut others) = part((&config, &method), (after, threads), None);
        assert!(matches!(stopped, Finish::Interrupted) && others.len() == after);
        let (finish, other_end, rest) = part((&config, &method), (usize::MAX, threads), Some(&middle));
        others.extend(rest);
        assert_eq!(given, others, "items and views of every step");
        assert_eq!(bits(&end), bits(&read(&other_end)));
        assert_eq!(result.test, self::result(finish).test);
    }
    assert_views_are_draws_of_their_own(&given);
}

/// An item that is in both streams of a step is drawn anew in each. Few draws agree: both made the image white.
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
    assert!(twice > 50, "{twice} items were in both streams of a step: too few to tell");
    assert!(alike * 10 < twice, "{alike} of {twice} items have the same views in both streams");
}

#[test]
fn the_backbone_learns_at_its_own_rate() {
    let moved = |scale: f64| {
        let (_, [middle, end]) = in_two_parts(&finetuned(scale), 1, 1);
        let (before, after) = (&middle.method["backbone.conv1.weight"], &end.method["backbone.conv1.weight"]);
        (after - before).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let (slow, fast) = (moved(1e-3), moved(1.0));
    assert!(slow > 0.0 && slow < fast / 100.0, "{slow} against {fast}");
}

#[test]
fn a_frozen_run_keeps_the_backbone_out_of_its_checkpoint() {
    let method = Entry::of::<Probe<false>>();
    let mut journal = Stopper { after: usize::MAX, asked: 0.into(), checkpoint: None };
    execute_config(&config(&method, 0), &method, &mut journal, None).unwrap();
    let end = read(&journal.checkpoint.unwrap());
    assert_eq!(end.method.keys().collect::<Vec<_>>(), ["head.bias", "head.weight"]);
}

#[test]
fn closed_form_methods_have_no_gradient_for_a_backbone() {
    let method = Entry::of::<crate::First>();
    let mut journal = Notes::default();
    let error = execute_config(&finetuned(1.0), &method, &mut journal, None).err().unwrap();
    assert!(format!("{error:#}").contains("closed-form method has no training steps"), "{error:#}");
}
