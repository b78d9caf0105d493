//! Runs that train their backbone.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::Result;
use hashlab_engine::{RunConfig, RunResult};
use hashlab_model::Entry;
use hashlab_model::config::BackboneConfig;
use hashlab_model::run::Finish;
use hashlab_model::train::{Checkpoint, Journal};

use crate::{Notes, Probe, config, execute_config, settings};

fn finetuned(learning_rate_scale: f64) -> RunConfig {
    let backbone = BackboneConfig {
        size: 8,
        finetune: true,
        learning_rate_scale,
        digest: "random".into(),
        ..BackboneConfig::default()
    };
    RunConfig { backbone: settings(&backbone), ..config(&Entry::of::<Probe<false>>(), 0) }
}

/// Keeps the last checkpoint, and asks to stop after a number of steps.
struct Stopper {
    after: usize,
    asked: Cell<usize>,
    checkpoint: Option<Vec<u8>>,
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

/// Runs for some steps, then from the checkpoint to the end; the last checkpoint of both.
fn in_two_parts(config: &RunConfig, after: usize, threads: usize) -> (RunResult, [Checkpoint; 2]) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let run = |after, checkpoint| {
        let mut journal = Stopper { after, asked: 0.into(), checkpoint: None };
        let method = Entry::of::<Probe<false>>();
        let finish = pool.install(|| execute_config(config, &method, &mut journal, checkpoint)).unwrap();
        (finish, journal.checkpoint.expect("a training that ends leaves a checkpoint"))
    };
    let (first, middle) = run(after, None);
    assert!(matches!(first, Finish::Interrupted));
    let (last, end) = run(usize::MAX, Some(middle.clone()));
    let Finish::Result(result) = last else { panic!("nobody asked the second part to stop") };
    let read = |bytes: &[u8]| Checkpoint::from_bytes(bytes, &candle_core::Device::Cpu).unwrap();
    (*result, [read(&middle), read(&end)])
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
    let (result, [_, end]) = in_two_parts(&config, 1, 1);
    for (after, threads) in [(7, 1), (4, 3)] {
        let (other, [_, other_end]) = in_two_parts(&config, after, threads);
        assert_eq!(bits(&end), bits(&other_end));
        assert_eq!(result.test, other.test);
    }
    assert!(bits(&end).keys().any(|name| name.starts_with("backbone.conv1")));
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
    let end = Checkpoint::from_bytes(&journal.checkpoint.unwrap(), &candle_core::Device::Cpu).unwrap();
    assert_eq!(end.method.keys().collect::<Vec<_>>(), ["head.bias", "head.weight"]);
}

#[test]
fn closed_form_methods_have_no_gradient_for_a_backbone() {
    let method = Entry::of::<crate::First>();
    let mut journal = Notes::default();
    let error = execute_config(&finetuned(1.0), &method, &mut journal, None).err().unwrap();
    assert!(format!("{error:#}").contains("closed-form method has no training steps"), "{error:#}");
}
