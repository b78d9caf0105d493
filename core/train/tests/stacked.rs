//! Runs of one shape that are trained stacked: each follows, bit for bit, the training of that run alone.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{D, Device, Tensor};
use hashlab_method::nn::{Linear, Parameters, PerRun, bernoulli_kl, nt_xent, pair_likelihood, shares_label, soft_sort};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Features, HashMethod, Loss, Modality, ParamGroup, Progress, State, Trained, View,
    ViewSpec,
};
use hashlab_train::{
    Checkpoint, Fit, OptimizerKind, TrainConfig, TrainData, TrainEnd, TrainObserver, fit, fit_stacked,
};

const ITEMS: usize = 20;
const DIM: usize = 6;
const HIDDEN: usize = 9;
const BITS: usize = 5;
/// Batches of 8 of 20 items, the last of 4.
const STEPS: usize = 3;

/// Parameters that differ between runs, beside the seed of their first weights.
#[derive(Clone, Copy)]
struct Settings {
    seed: u64,
    tau: f64,
    beta: f64,
    /// Items are alike whose numbers have the same remainder.
    modulus: u32,
}

const RUNS: [Settings; 3] = [
    Settings { seed: 1, tau: 0.3, beta: 0.01, modulus: 2 },
    Settings { seed: 2, tau: 0.5, beta: 0.7, modulus: 3 },
    Settings { seed: 3, tau: 1.1, beta: 0.0, modulus: 5 },
];

/// A head of two layers with every shared loss, for one run or several.
struct Head {
    runs: Vec<Settings>,
    vars: Parameters,
    layers: [Linear; 2],
}

impl Head {
    fn of(runs: &[Settings]) -> Self {
        let seeds = runs.iter().map(|run| run.seed).collect();
        let cx = BuildContext { seeds, ..BuildContext::of_images(BITS, DIM) };
        let mut vars = Parameters::default();
        let hidden = Linear::new(&mut vars, "hidden", (DIM, HIDDEN), &cx).unwrap();
        let output = Linear::new(&mut vars, "output", (HIDDEN, BITS), &cx).unwrap();
        Self { runs: runs.to_vec(), vars, layers: [hidden, output] }
    }

    fn per_run(&self, number: impl Fn(&Settings) -> f64) -> PerRun {
        PerRun::of(&self.runs, number)
    }

    /// Similarity of pairs of items: `(n, n)`, or one matrix for each run.
    fn targets(&self, items: &[u32]) -> Result<Tensor> {
        let of_run = |(run, items): (&Settings, &[u32])| {
            let labels = items.iter().flat_map(|item| (0..run.modulus).map(move |rest| item % run.modulus == rest));
            let labels: Vec<f32> = labels.map(|same| f32::from(u8::from(same))).collect();
            let labels = Tensor::from_vec(labels, (items.len(), run.modulus as usize), &Device::Cpu)?;
            Ok(shares_label(&labels, &labels)?)
        };
        let of_runs = self.runs.iter().zip(items.chunks(items.len() / self.runs.len()));
        let targets = of_runs.map(of_run).collect::<Result<Vec<_>>>()?;
        Ok(if self.runs.len() == 1 { targets[0].clone() } else { Tensor::stack(&targets, 0)? })
    }
}

impl HashMethod for Head {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.layers[1].forward(&self.layers[0].forward_relu(items.get(modality)?)?)?)
    }
    fn state(&self) -> Result<State> {
        self.vars.state()
    }
    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for Head {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new([ViewSpec::plain(Modality::Image), ViewSpec::plain(Modality::Image)])
    }
    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }
    fn loss(&mut self, batch: &Batch, _: &Progress) -> Result<Loss> {
        let n = batch.items.len() / self.runs.len();
        let z = self.encode(&Features::one(Modality::Image, batch.joined(Modality::Image)?), Modality::Image)?;
        let p = (z.neg()?.exp()? + 1.0)?.recip()?;
        let kl = bernoulli_kl(&p.narrow(D::Minus2, 0, n)?, &p.narrow(D::Minus2, n, n)?)?;
        let unit = z.broadcast_div(&z.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?;
        let cosines = unit.matmul(&unit.t()?)?;
        let tau = self.per_run(|run| run.tau);
        let contrastive = nt_xent(&tau.map(|tau| 1.0 / tau).times(&cosines)?)?;
        let between = cosines.narrow(D::Minus2, 0, n)?.narrow(D::Minus1, n, n)?.contiguous()?;
        let pairs = pair_likelihood(&between, &self.targets(&batch.items)?)?.mean(D::Minus1)?.mean(D::Minus1)?;
        let first = soft_sort(&between, tau)?.narrow(D::Minus2, 0, 1)?.squeeze(D::Minus2)?;
        let sorted = (first * &between)?.sum(D::Minus1)?.mean(D::Minus1)?;
        let total = ((&contrastive + self.per_run(|run| run.beta).times(&kl)?)? + (&pairs - &sorted)?)?;
        Ok(Loss { total, terms: vec![("contrastive", contrastive), ("kl", kl), ("pairs", pairs), ("sorted", sorted)] })
    }
}

/// Two fixed views of every item. There may be more items than views of them; these repeat.
struct Views([Tensor; 2], usize);

impl Views {
    fn new() -> Self {
        let views = ["first", "second"].map(|name| {
            let mut draws = hashlab_rng::stream(0, name, &[]);
            let values: Vec<f32> = (0..ITEMS * DIM).map(|_| draws.normal() as f32).collect();
            Tensor::from_vec(values, (ITEMS, DIM), &Device::Cpu).unwrap()
        });
        Self(views, ITEMS)
    }
}

impl TrainData for Views {
    fn len(&self) -> usize {
        self.1
    }
    fn batch(&self, items: &[u32], _: &BatchSpec, at: &Progress) -> Result<Batch> {
        let rows: Vec<u32> = items.iter().map(|item| item % ITEMS as u32).collect();
        let rows = Tensor::new(rows, &Device::Cpu)?;
        let view = |x: &Tensor| {
            let x = x.index_select(&rows, 0)?;
            let x = if at.runs() == 1 { x } else { x.reshape((at.runs(), (), DIM))? };
            Ok(View { modality: Modality::Image, x })
        };
        Ok(Batch { items: items.to_vec(), views: self.0.iter().map(view).collect::<Result<_>>()?, labels: None })
    }
}

/// Keeps the terms of every epoch, the validations and the last checkpoint; asks to stop after a number of steps, or at
/// an epoch, or fails there.
#[derive(Clone, Default)]
struct Recorder {
    stop_after_steps: Option<usize>,
    stop_at: Option<usize>,
    fail_at: Option<usize>,
    /// Whether no checkpoint can be kept.
    full: bool,
    asked: Cell<usize>,
    terms: Vec<BTreeMap<String, f64>>,
    validations: Vec<(usize, f64)>,
    checkpoint: Vec<u8>,
}

impl TrainObserver for Recorder {
    fn epoch(&mut self, epoch: usize, terms: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        anyhow::ensure!(self.fail_at != Some(epoch), "the disk is full");
        self.terms.push(terms.clone());
        Ok(())
    }
    fn validation(&mut self, epoch: usize, map: f64) -> Result<()> {
        self.validations.push((epoch, map));
        Ok(())
    }
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        anyhow::ensure!(!self.full, "the disk is full");
        self.checkpoint = bytes.to_vec();
        Ok(())
    }
    fn stopped(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.stop_after_steps.is_some_and(|steps| self.asked.get() > steps)
    }
    fn stops_after(&mut self, epoch: usize) -> Result<bool> {
        Ok(self.stop_at == Some(epoch))
    }
}

/// A run's training and what is left of it.
struct Training {
    head: Head,
    recorder: Recorder,
    end: Result<TrainEnd>,
}

impl Training {
    fn state(&self) -> BTreeMap<String, Vec<u32>> {
        self.head.state().unwrap().into_iter().map(|(name, tensor)| (name, bits(&tensor))).collect()
    }

    fn epoch(&self) -> usize {
        match self.end {
            Ok(TrainEnd::Done { epoch, .. }) => epoch,
            ref other => panic!("{other:?}"),
        }
    }
}

/// The bits of a tensor.
fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// A score that depends on the state, so that each run selects an epoch of its own.
fn score(method: &dyn HashMethod) -> Result<f64> {
    let x = Features::one(Modality::Image, Views::new().0[0].clone());
    let codes = method.encode(&x, Modality::Image)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(codes.iter().map(|code| f64::from(*code)).sum::<f64>().sin())
}

/// Trains runs together: each with its settings, configuration, recorder and checkpoint.
fn train(runs: &[(Settings, TrainConfig, Recorder, Vec<u8>)]) -> Vec<Training> {
    train_on(&Views::new(), runs)
}

fn train_on(data: &Views, runs: &[(Settings, TrainConfig, Recorder, Vec<u8>)]) -> Vec<Training> {
    let mut heads: Vec<Head> = runs.iter().map(|run| Head::of(&[run.0])).collect();
    let mut recorders: Vec<Recorder> = runs.iter().map(|run| run.2.clone()).collect();
    let mut validations = vec![score; runs.len()];
    let jobs: Vec<Fit<'_>> = runs
        .iter()
        .zip(&mut heads)
        .zip(&mut recorders)
        .zip(&mut validations)
        .map(|(((run, method), observer), validate)| {
            let resume = (!run.3.is_empty()).then(|| Checkpoint::from_bytes(&run.3, &Device::Cpu).unwrap());
            Fit { method, config: &run.1, seed: run.0.seed, data, validate, observer, resume }
        })
        .collect();
    let stack = |indices: &[usize]| -> Result<Box<dyn Trained>> {
        Ok(Box::new(Head::of(&indices.iter().map(|index| runs[*index].0).collect::<Vec<_>>())))
    };
    let ends = match runs.len() {
        1 => jobs.into_iter().map(fit).collect(),
        _ => fit_stacked(jobs, &stack),
    };
    let whole = heads.into_iter().zip(recorders).zip(ends);
    whole.map(|((head, recorder), end)| Training { head, recorder, end }).collect()
}

fn config(optimizer: OptimizerKind) -> TrainConfig {
    TrainConfig {
        optimizer,
        epochs: 4,
        batch_size: 8,
        learning_rate: 0.01,
        weight_decay: 0.01,
        validate_every: 1,
        ..TrainConfig::default()
    }
}

/// Trains runs alone and stacked, and compares all that is left of them.
#[track_caller]
fn check(runs: &[(Settings, TrainConfig)]) -> Vec<Training> {
    let of =
        |(settings, config): &(Settings, TrainConfig)| (*settings, config.clone(), Recorder::default(), Vec::new());
    let stacked = train(&runs.iter().map(of).collect::<Vec<_>>());
    for (index, (run, together)) in runs.iter().zip(&stacked).enumerate() {
        let alone = train(&[of(run)]).pop().unwrap();
        assert_eq!(together.state(), alone.state(), "state of run {index}");
        assert_eq!(together.recorder.terms, alone.recorder.terms, "terms of run {index}");
        assert_eq!(together.recorder.validations, alone.recorder.validations, "validations of run {index}");
        assert_eq!(together.epoch(), alone.epoch(), "selected epoch of run {index}");
        let [last, expected] = [together, &alone].map(|run| {
            let checkpoint = Checkpoint::from_bytes(&run.recorder.checkpoint, &Device::Cpu).unwrap();
            let bits_of = |state: &State| state.iter().map(|(name, x)| (name.clone(), bits(x))).collect::<Vec<_>>();
            [bits_of(&checkpoint.method), bits_of(&checkpoint.optimizer), bits_of(&checkpoint.best)]
        });
        assert_eq!(last, expected, "checkpoint of run {index}");
        assert_ne!(alone.state(), Head::of(&[run.0]).state_bits(), "run {index} has not moved");
    }
    stacked
}

impl Head {
    fn state_bits(&self) -> BTreeMap<String, Vec<u32>> {
        self.state().unwrap().into_iter().map(|(name, tensor)| (name, bits(&tensor))).collect()
    }
}

#[test]
fn each_stacked_run_follows_its_training_alone() {
    let mut selected = Vec::new();
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::Adam, OptimizerKind::AdamW, OptimizerKind::RmsProp] {
        let ends = check(&RUNS.map(|run| (run, config(optimizer))));
        selected.extend(ends.iter().map(Training::epoch));
    }
    selected.sort_unstable();
    selected.dedup();
    assert!(selected.len() > 1, "all runs selected epoch {selected:?}");
}

#[test]
fn learning_rate_and_weight_decay_may_differ() {
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::Adam, OptimizerKind::AdamW, OptimizerKind::RmsProp] {
        let rates = [0.01, 0.003, 0.02];
        let of = |(settings, rate): (Settings, f64)| {
            (settings, TrainConfig { learning_rate: rate, weight_decay: 3.0 * rate, ..config(optimizer) })
        };
        check(&RUNS.into_iter().zip(rates).map(of).collect::<Vec<_>>());
    }
}

#[test]
fn other_settings_of_the_training_may_not_differ() {
    let configs = [config(OptimizerKind::Adam), TrainConfig { epochs: 5, ..config(OptimizerKind::Adam) }];
    let runs: Vec<_> =
        RUNS.into_iter().zip(configs).map(|(run, config)| (run, config, Recorder::default(), Vec::new())).collect();
    let ends = train(&runs);
    assert_eq!(ends[0].epoch(), train(&runs[..1])[0].epoch());
    assert!(ends[1].end.as_ref().unwrap_err().to_string().contains("[train]"));
}

#[test]
fn the_gradient_of_each_stacked_run_is_clipped_as_if_alone() {
    let ends = [None, Some(1.0), Some(0.2)]
        .map(|clip_norm| check(&RUNS.map(|run| (run, TrainConfig { clip_norm, ..config(OptimizerKind::Sgd) }))));
    // Either limit changes the training, so the higher one shortens some gradients and not all.
    for (a, b) in [(0, 1), (1, 2)] {
        assert_ne!(ends[a][0].recorder.terms, ends[b][0].recorder.terms);
    }
}

/// Runs that were stopped together go on together; those that were stopped at another step, by themselves.
#[test]
fn runs_go_on_from_their_checkpoints_as_if_never_stopped() {
    let config = config(OptimizerKind::Adam);
    let fresh = |run: Settings| (run, config.clone(), Recorder::default(), Vec::new());
    let whole = train(&RUNS.map(fresh));
    for after in [1, STEPS, 2 * STEPS + 2] {
        let stopping = Recorder { stop_after_steps: Some(after), ..Recorder::default() };
        let mut first = train(&RUNS.map(|run| (run, config.clone(), stopping.clone(), Vec::new())));
        assert!(first.iter().all(|run| *run.end.as_ref().unwrap() == TrainEnd::Interrupted));
        // One run starts again, as if its checkpoint were lost.
        first[1].recorder = Recorder::default();
        let again = |(run, before): (Settings, &Training)| {
            (run, config.clone(), Recorder::default(), before.recorder.checkpoint.clone())
        };
        let rest = train(&RUNS.into_iter().zip(&first).map(again).collect::<Vec<_>>());
        for (index, ((whole, before), after)) in whole.iter().zip(&first).zip(&rest).enumerate() {
            assert_eq!(after.state(), whole.state(), "run {index}");
            assert_eq!(after.epoch(), whole.epoch(), "run {index}");
            let terms = [&before.recorder.terms[..], &after.recorder.terms[..]].concat();
            assert_eq!(terms, whole.recorder.terms, "run {index}");
        }
    }
}

/// A run that leaves, for whatever reason, leaves the others alone.
#[test]
fn a_run_that_leaves_changes_no_other() {
    let config = config(OptimizerKind::Adam);
    let run = |settings, recorder| (settings, config.clone(), recorder, Vec::new());
    let whole = train(&RUNS.map(|settings| run(settings, Recorder::default())));
    let diverging = Settings { beta: 1e39, ..RUNS[1] };
    let stops = Recorder { stop_at: Some(2), ..Recorder::default() };
    let fails = Recorder { fail_at: Some(1), ..Recorder::default() };
    for leaving in [run(diverging, Recorder::default()), run(RUNS[1], stops), run(RUNS[1], fails)] {
        let mut ends =
            train(&[run(RUNS[0], Recorder::default()), leaving, run(RUNS[2], Recorder::default())]).into_iter();
        let [first, left, third] = [(); 3].map(|()| ends.next().unwrap());
        for (found, expected) in [(first, &whole[0]), (third, &whole[2])] {
            assert_eq!((found.state(), found.epoch()), (expected.state(), expected.epoch()));
            assert_eq!(found.recorder.terms, expected.recorder.terms);
            assert_eq!(found.recorder.validations, expected.recorder.validations);
        }
        match left.end {
            Ok(TrainEnd::Diverged { message, .. }) => {
                assert!(message.starts_with("not finite at step 1 (epoch 1): loss inf, contrastive "), "{message}");
            }
            Ok(TrainEnd::Stopped { epoch: 2 }) => assert_eq!(left.recorder.terms, whole[1].recorder.terms[..2]),
            Err(error) => assert_eq!(error.to_string(), "the disk is full"),
            other => panic!("{other:?}"),
        }
    }
}

/// What all runs do together fails for all, with one error.
#[test]
fn a_stack_that_cannot_be_built_is_the_error_of_every_run() {
    let (data, config) = (Views::new(), config(OptimizerKind::Adam));
    let mut heads = RUNS.map(|run| Head::of(&[run]));
    let mut recorders = [(); 3].map(|()| Recorder::default());
    let mut validations = [score; 3];
    let jobs = heads.iter_mut().zip(&mut recorders).zip(&mut validations);
    let jobs = jobs.map(|((method, observer), validate)| Fit {
        method,
        config: &config,
        seed: 0,
        data: &data,
        validate,
        observer,
        resume: None,
    });
    let ends = fit_stacked(jobs.collect(), &|_| anyhow::bail!("out of memory"));
    assert_eq!(ends.len(), 3);
    assert!(ends.into_iter().all(|end| end.unwrap_err().to_string() == "out of memory"));
}

/// Terms are read before an epoch ends where it has many steps: a run that diverges there ends there, and with it the
/// training if no other is left.
#[test]
fn a_run_that_diverges_within_a_long_epoch_ends_there() {
    let (data, config) =
        (Views(Views::new().0, 300), TrainConfig { batch_size: 1, epochs: 1, ..config(OptimizerKind::Sgd) });
    let diverging = Settings { beta: 1e39, ..RUNS[1] };
    let run = |settings| (settings, config.clone(), Recorder::default(), Vec::new());
    let all_diverge =
        |ends: &[Training]| ends.iter().all(|run| matches!(run.end, Ok(TrainEnd::Diverged { .. }))) && !ends.is_empty();
    assert!(all_diverge(&train_on(&data, &[run(diverging)])));
    assert!(all_diverge(&train_on(&data, &[run(diverging), run(Settings { beta: 2e39, ..RUNS[2] })])));
    let ends = train_on(&data, &[run(diverging), run(RUNS[2])]);
    assert!(all_diverge(&ends[..1]));
    assert_eq!(ends[1].state(), train_on(&data, &[run(RUNS[2])])[0].state());
}

/// Whoever cannot keep the checkpoint with which it stops fails; the others stop or go on as they were asked.
#[test]
fn a_run_that_cannot_stop_leaves_the_others_their_answers() {
    let config = config(OptimizerKind::Adam);
    let run = |settings, recorder| (settings, config.clone(), recorder, Vec::new());
    let fails = Recorder { stop_at: Some(1), full: true, ..Recorder::default() };
    let stops = Recorder { stop_at: Some(1), ..Recorder::default() };
    let ends = train(&[run(RUNS[0], fails), run(RUNS[1], Recorder::default()), run(RUNS[2], stops)]);
    assert_eq!(ends[0].end.as_ref().unwrap_err().to_string(), "the disk is full");
    assert_eq!(ends[1].state(), train(&[run(RUNS[1], Recorder::default())])[0].state());
    assert!(matches!(ends[2].end, Ok(TrainEnd::Stopped { epoch: 1 })));
}

/// A checkpoint from before the first step has moments, a fresh run none.
#[test]
fn a_run_that_was_stopped_before_its_first_step_joins_fresh_ones() {
    let config = config(OptimizerKind::Adam);
    let run = |settings, recorder, checkpoint| (settings, config.clone(), recorder, checkpoint);
    let at_once = Recorder { stop_after_steps: Some(0), ..Recorder::default() };
    let stopped = train(&[run(RUNS[0], at_once, Vec::new())]).pop().unwrap();
    assert_eq!(stopped.end.unwrap(), TrainEnd::Interrupted);
    let whole = train(&RUNS.map(|settings| run(settings, Recorder::default(), Vec::new())));
    for place in 0..3 {
        let mut runs: Vec<_> =
            RUNS.iter().skip(1).map(|settings| run(*settings, Recorder::default(), Vec::new())).collect();
        runs.insert(place, run(RUNS[0], Recorder::default(), stopped.recorder.checkpoint.clone()));
        let mut order = vec![1, 2];
        order.insert(place, 0);
        for (found, index) in train(&runs).iter().zip(order) {
            assert_eq!(found.state(), whole[index].state(), "run {index}");
        }
    }
}
