//! Stacked training: each run's result is that of the run alone; on the CPU bit for bit, on a GPU as near as rounding
//! lets it be.

use std::collections::BTreeMap;

use candle_core::Tensor;
use hashlab_kernels::device;
use hashlab_method::{AnyMethod, BuildContext, HashMethod, MethodEntry, State};
use hashlab_methods::METHODS;
use hashlab_settings::Settings;
use hashlab_train::{Checkpoint, Fit, TrainConfig, TrainEnd, fit, fit_stacked};
use serde_json::{Value, json};

use crate::training::{Notes, Synthetic};
use crate::{context, encode_as, modalities, state_bits};

const SEEDS: [u64; 3] = [3, 8, 5];

/// A run before its training.
#[derive(Clone)]
struct Run {
    seed: u64,
    params: Settings,
    config: TrainConfig,
    stop_after: Option<usize>,
    checkpoint: Option<Vec<u8>>,
    /// Whether its first weights are NaN.
    broken: bool,
}

/// A run after its training.
struct Trained {
    end: TrainEnd,
    state: BTreeMap<String, Vec<u32>>,
    losses: Vec<f64>,
    checkpoint: Option<Vec<u8>>,
}

impl Trained {
    fn epoch(&self) -> usize {
        match self.end {
            TrainEnd::Done { epoch, .. } => epoch,
            ref other => panic!("{other:?}"),
        }
    }
}

/// Three runs that differ in seed, learning rate and every number that the method varies; `shared` holds further
/// hyperparameters of all.
fn runs(method: &MethodEntry, shared: &Settings) -> Vec<Run> {
    let defaults = method.schema().defaults;
    let run = |(index, seed): (usize, u64)| {
        let factor = [1.0, 0.6, 1.7][index];
        let mut params = shared.clone();
        for name in method.varied().unwrap() {
            let number = match &defaults[*name] {
                Value::Null => [json!(null), json!(0.2), json!(0.5)][index].clone(),
                value => json!(value.as_f64().unwrap() * factor),
            };
            params.insert((*name).to_owned(), number);
        }
        let learning_rate = 0.003 * factor;
        let config =
            TrainConfig { epochs: 3, batch_size: 16, validate_every: 1, learning_rate, ..TrainConfig::default() };
        Run { seed, params, config, stop_after: None, checkpoint: None, broken: false }
    };
    SEEDS.into_iter().enumerate().map(run).collect()
}

fn broken(state: &State) -> State {
    let nan = |tensor: &Tensor| (tensor * f64::NAN).unwrap();
    state.iter().map(|(name, tensor)| (name.clone(), nan(tensor))).collect()
}

/// Trains runs together, or a single one.
fn train(method: &MethodEntry, runs: &[Run]) -> Vec<Trained> {
    let data = Synthetic::of(method);
    let build = |run: &Run| match method.build(&run.params, &context(method, run.seed)).unwrap() {
        AnyMethod::Trained(mut built) => {
            if run.broken {
                let state = broken(&built.state().unwrap());
                built.load_state(&state).unwrap();
            }
            built
        }
        AnyMethod::Fitted(_) => panic!("{} is stackable and shallow", method.info.name),
    };
    let mut built: Vec<_> = runs.iter().map(build).collect();
    let mut notes: Vec<Notes> = runs.iter().map(|run| Notes::new(run.stop_after)).collect();
    // A validation score that depends on the state, so that selection has something to choose.
    let score = |trained: &dyn HashMethod| {
        let codes = encode_as(method, trained, modalities(method)[0]);
        Ok(f64::from(codes.sqr()?.mean_all()?.to_scalar::<f32>()?).sin())
    };
    let mut scores = vec![score; runs.len()];
    let mut jobs = Vec::new();
    for (((run, built), observer), validate) in runs.iter().zip(&mut built).zip(&mut notes).zip(&mut scores) {
        let resume = run.checkpoint.as_ref().map(|bytes| Checkpoint::from_bytes(bytes, device::for_tests()).unwrap());
        let (method, config) = (built.as_mut(), &run.config);
        jobs.push(Fit { method, config, seed: run.seed, data: &data, validate, observer, resume });
    }
    let stack = |chosen: &[usize]| {
        let seeds = chosen.iter().map(|index| runs[*index].seed).collect();
        let params: Vec<&Settings> = chosen.iter().map(|index| &runs[*index].params).collect();
        method.build_stacked(&params, &BuildContext { seeds, ..context(method, 0) })
    };
    let ends: Vec<TrainEnd> = match runs.len() {
        1 => jobs.into_iter().map(|job| fit(job).unwrap()).collect(),
        _ => fit_stacked(jobs, &stack).into_iter().map(|end| end.unwrap()).collect(),
    };
    let trained = built.iter().zip(notes).zip(ends);
    trained
        .map(|((built, notes), end)| {
            let state = state_bits(&built.state().unwrap());
            Trained { end, state, losses: notes.losses, checkpoint: notes.checkpoint }
        })
        .collect()
}

fn stackable() -> impl Iterator<Item = &'static MethodEntry> {
    METHODS.iter().filter(|method| method.varied().is_some())
}

/// The largest relative difference of an epoch's mean loss on a GPU: its products round otherwise in a stack, and a bit
/// that flips for that moves a loss.
const ON_GPU: f64 = 0.01;

/// Compares a run with what it is to be; `epochs` of its losses, or all.
#[track_caller]
fn same(found: &Trained, expected: &Trained, epochs: usize, what: &str) {
    if device::for_tests().is_cpu() {
        assert_eq!(found.losses[..], expected.losses[expected.losses.len() - epochs..], "{what}");
        assert_eq!(found.state, expected.state, "{what}");
        assert_eq!(found.epoch(), expected.epoch(), "{what}");
        return;
    }
    assert_eq!(found.losses.len(), epochs, "{what}");
    for (found, expected) in found.losses.iter().rev().zip(expected.losses.iter().rev()) {
        let difference = (found - expected).abs() / expected.abs().max(0.1);
        assert!(difference <= ON_GPU, "{what}: a loss of {found} instead of {expected}");
    }
}

/// Compares stacked runs with the same runs alone.
#[track_caller]
fn check(method: &MethodEntry, shared: &Settings) {
    let runs = runs(method, shared);
    for (index, (run, together)) in runs.iter().zip(train(method, &runs)).enumerate() {
        let alone = train(method, std::slice::from_ref(run)).pop().unwrap();
        let what = format!("{} with {shared:?}, run {index}", method.info.name);
        same(&together, &alone, alone.losses.len(), &what);
    }
}

#[test]
fn stacked_runs_are_those_of_the_runs_alone() {
    assert!(stackable().count() > 0);
    stackable().for_each(|method| check(method, &Settings::new()));
}

/// With every value of a switch, and every switch turned over.
#[test]
fn stacked_runs_are_those_of_the_runs_alone_with_every_switch() {
    let mut switched = 0;
    for method in stackable() {
        let schema = method.schema();
        for (name, default) in &schema.defaults {
            let others: Vec<Value> = match default {
                Value::Bool(on) => vec![json!(!on)],
                Value::String(_) => {
                    let words = schema.value_type(name).map(|of| of.words()).unwrap_or_default();
                    words.into_iter().map(Value::from).collect()
                }
                _ => Vec::new(),
            };
            for value in others.iter().filter(|value| *value != default) {
                check(method, &Settings::from_iter([(name.clone(), value.clone())]));
                switched += 1;
            }
        }
    }
    assert!(switched > 0, "no method has a switch");
}

#[test]
fn a_stacked_run_that_diverges_leaves_the_others_alone() {
    for method in stackable() {
        let whole = train(method, &runs(method, &Settings::new()));
        let mut runs = runs(method, &Settings::new());
        runs[1].broken = true;
        let found = train(method, &runs);
        for index in [0, 2] {
            let what = format!("{}, run {index}", method.info.name);
            same(&found[index], &whole[index], whole[index].losses.len(), &what);
        }
        assert!(matches!(found[1].end, TrainEnd::Diverged { .. }), "{}: {:?}", method.info.name, found[1].end);
    }
}

/// Stacked runs that are stopped leave checkpoints from which they go on stacked or alone.
#[test]
fn stopped_runs_go_on_stacked_or_alone() {
    for method in stackable() {
        let fresh = runs(method, &Settings::new());
        let whole = train(method, &fresh);
        for stop_after in [2, 6] {
            let stopping = |run: &Run| Run { stop_after: Some(stop_after), ..run.clone() };
            let first = train(method, &fresh.iter().map(stopping).collect::<Vec<_>>());
            assert!(first.iter().all(|run| run.end == TrainEnd::Interrupted), "{}", method.info.name);
            let resumed =
                |(run, before): (&Run, &Trained)| Run { checkpoint: before.checkpoint.clone(), ..run.clone() };
            let rest: Vec<Run> = fresh.iter().zip(&first).map(resumed).collect();
            let together = train(method, &rest);
            let alone = rest.iter().flat_map(|run| train(method, std::slice::from_ref(run)));
            for ((whole, together), alone) in whole.iter().zip(&together).zip(alone) {
                let what = format!("{} after {stop_after}", method.info.name);
                same(together, whole, together.losses.len(), &what);
                same(&alone, whole, alone.losses.len(), &what);
            }
        }
    }
}
