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
use hashlab_train::{Checkpoint, Fit, OptimizerKind, TrainConfig, TrainData, TrainEnd, TrainObserver, fit};

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
    fn alone(run: Settings) -> Self {
        let cx = BuildContext { seed: run.seed, ..BuildContext::of_images(BITS, DIM) };
        let mut vars = Parameters::default();
        let hidden = Linear::new(&mut vars, "hidden", (DIM, HIDDEN), &cx).unwrap();
        let output = Linear::new(&mut vars, "output", (HIDDEN, BITS), &cx).unwrap();
        Self { runs: vec![run], vars, layers: [hidden, output] }
    }

    fn stacked(runs: &[Settings]) -> Self {
        let heads = runs.iter().map(|run| Self::alone(*run).layers.into());
        let (hidden, output): (Vec<Linear>, Vec<Linear>) = heads.unzip();
        let mut vars = Parameters::default();
        let hidden = Linear::stacked(&mut vars, "hidden", &hidden).unwrap();
        let output = Linear::stacked(&mut vars, "output", &output).unwrap();
        Self { runs: runs.to_vec(), vars, layers: [hidden, output] }
    }

    fn per_run(&self, number: impl Fn(&Settings) -> f64) -> PerRun {
        match &self.runs[..] {
            [run] => number(run).into(),
            runs => runs.iter().map(number).collect::<Vec<_>>().into(),
        }
    }

    /// Similarity of pairs of items: `(n, n)`, or one matrix for each run.
    fn targets(&self, items: &[u32]) -> Result<Tensor> {
        let of_run = |run: &Settings| {
            let labels = items.iter().flat_map(|item| (0..run.modulus).map(move |rest| item % run.modulus == rest));
            let labels: Vec<f32> = labels.map(|same| f32::from(u8::from(same))).collect();
            let labels = Tensor::from_vec(labels, (items.len(), run.modulus as usize), &Device::Cpu)?;
            Ok(shares_label(&labels, &labels)?)
        };
        let targets = self.runs.iter().map(of_run).collect::<Result<Vec<_>>>()?;
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
        let n = batch.items.len();
        let z = self.encode(&Features::one(Modality::Image, batch.stacked(Modality::Image)?), Modality::Image)?;
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

/// Two fixed views of every item.
struct Views([Tensor; 2]);

impl Views {
    fn new() -> Self {
        Self(["first", "second"].map(|name| {
            let mut draws = hashlab_rng::stream(0, name, &[]);
            let values: Vec<f32> = (0..ITEMS * DIM).map(|_| draws.normal() as f32).collect();
            Tensor::from_vec(values, (ITEMS, DIM), &Device::Cpu).unwrap()
        }))
    }
}

impl TrainData for Views {
    fn len(&self) -> usize {
        ITEMS
    }
    fn batch(&self, items: &[u32], _: &BatchSpec, _: &Progress) -> Result<Batch> {
        let rows = Tensor::new(items, &Device::Cpu)?;
        let view = |x: &Tensor| Ok(View { modality: Modality::Image, x: x.index_select(&rows, 0)? });
        Ok(Batch { items: items.to_vec(), views: self.0.iter().map(view).collect::<Result<_>>()?, labels: None })
    }
}

/// Keeps each run's terms of every epoch and the last checkpoint, and asks to stop after a number of steps.
struct Recorder {
    after: usize,
    asked: Cell<usize>,
    /// By epoch, then by run.
    terms: Vec<Vec<BTreeMap<String, f64>>>,
    checkpoint: Vec<u8>,
}

impl TrainObserver for Recorder {
    fn epoch(&mut self, _: usize, terms: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        self.terms.push(vec![terms.clone()]);
        Ok(())
    }
    fn stacked_epoch(&mut self, _: usize, runs: &[BTreeMap<String, f64>], _: f64) -> Result<()> {
        self.terms.push(runs.to_vec());
        Ok(())
    }
    fn validation(&mut self, _: usize, _: f64) -> Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        self.checkpoint = bytes.to_vec();
        Ok(())
    }
    fn stopped(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get() > self.after
    }
}

fn recorder(after: usize) -> Recorder {
    Recorder { after, asked: 0.into(), terms: Vec::new(), checkpoint: Vec::new() }
}

fn train(
    method: &mut Head,
    config: &TrainConfig,
    observer: &mut dyn TrainObserver,
    resume: Option<Checkpoint>,
) -> Result<TrainEnd> {
    let (data, mut validate) = (Views::new(), |_: &dyn HashMethod| Ok(0.5));
    fit(Fit { method, config, seed: 7, data: &data, validate: &mut validate, observer, resume })
}

fn config(optimizer: OptimizerKind) -> TrainConfig {
    TrainConfig {
        optimizer,
        epochs: 4,
        batch_size: 8,
        learning_rate: 0.01,
        weight_decay: 0.01,
        ..TrainConfig::default()
    }
}

/// The bits of a tensor, or of a run's part of it.
fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Trains the runs alone and stacked, compares, and returns the state at the end.
#[track_caller]
fn check(config: &TrainConfig) -> State {
    let (mut stacked, mut together) = (Head::stacked(&RUNS), recorder(usize::MAX));
    let start = stacked.state().unwrap();
    assert!(matches!(train(&mut stacked, config, &mut together, None).unwrap(), TrainEnd::Done { .. }));
    let end = stacked.state().unwrap();
    for (run, settings) in RUNS.iter().enumerate() {
        let (mut alone, mut recorded) = (Head::alone(*settings), recorder(usize::MAX));
        train(&mut alone, config, &mut recorded, None).unwrap();
        for (name, tensor) in alone.state().unwrap() {
            let of_run = |state: &State| bits(&state[&name].get(run).unwrap());
            assert_eq!(of_run(&end), bits(&tensor), "`{name}` of run {run}");
            assert_ne!(of_run(&end), of_run(&start), "`{name}` of run {run} has not moved");
        }
        let terms: Vec<_> = together.terms.iter().map(|epoch| vec![epoch[run].clone()]).collect();
        assert_eq!(terms, recorded.terms, "terms of run {run}");
    }
    end
}

#[test]
fn each_stacked_run_follows_its_training_alone() {
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::Adam, OptimizerKind::AdamW, OptimizerKind::RmsProp] {
        check(&config(optimizer));
    }
}

#[test]
fn the_gradient_of_each_stacked_run_is_clipped_as_if_alone() {
    let ends =
        [None, Some(1.0), Some(0.2)].map(|clip_norm| check(&TrainConfig { clip_norm, ..config(OptimizerKind::Sgd) }));
    // Either limit changes the training, so the higher one shortens some gradients and not all.
    for (a, b) in [(0, 1), (1, 2)] {
        assert_ne!(bits(&ends[a]["hidden.weight"]), bits(&ends[b]["hidden.weight"]));
    }
}

#[test]
fn stacked_runs_go_on_from_a_checkpoint_as_if_never_stopped() {
    let config = config(OptimizerKind::Adam);
    let mut whole = Head::stacked(&RUNS);
    let mut recorded = recorder(usize::MAX);
    train(&mut whole, &config, &mut recorded, None).unwrap();
    for after in [1, STEPS, 2 * STEPS + 2] {
        let mut first = recorder(after);
        let end = train(&mut Head::stacked(&RUNS), &config, &mut first, None).unwrap();
        assert_eq!(end, TrainEnd::Interrupted);
        // A resumed method's own start must not matter.
        let mut second = Head::stacked(&[RUNS[2], RUNS[0], RUNS[1]]);
        second.runs = RUNS.to_vec();
        let mut rest = recorder(usize::MAX);
        let checkpoint = Checkpoint::from_bytes(&first.checkpoint, &Device::Cpu).unwrap();
        train(&mut second, &config, &mut rest, Some(checkpoint)).unwrap();
        for (name, tensor) in whole.state().unwrap() {
            assert_eq!(bits(&second.state().unwrap()[&name]), bits(&tensor), "`{name}`, stopped after {after}");
        }
        assert_eq!([first.terms, rest.terms].concat(), recorded.terms, "stopped after {after}");
    }
}

#[test]
fn the_run_that_diverges_is_named() {
    let diverging = [RUNS[0], Settings { beta: 1e39, ..RUNS[1] }, RUNS[2]];
    let end =
        train(&mut Head::stacked(&diverging), &config(OptimizerKind::Sgd), &mut recorder(usize::MAX), None).unwrap();
    let TrainEnd::Diverged { message, .. } = end else { panic!("{end:?}") };
    assert!(message.starts_with("run 2 of 3: not finite at step 1 (epoch 1): loss inf, contrastive "), "{message}");
}

/// Follows one run.
struct Single;

impl TrainObserver for Single {
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

#[test]
fn an_observer_of_one_run_refuses_several() {
    let error = train(&mut Head::stacked(&RUNS), &config(OptimizerKind::Sgd), &mut Single, None).unwrap_err();
    assert_eq!(error.to_string(), "the losses of 3 stacked runs cannot be recorded here");
    assert!(train(&mut Head::stacked(&RUNS[..1]), &config(OptimizerKind::Sgd), &mut Single, None).is_ok());
}
