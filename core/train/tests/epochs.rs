//! Calls at the ends of epochs, and the state that survives a stop: a method with a memory of its items.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use hashlab_method::nn::{Linear, Memory, Parameters};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, EpochContext, Features, HashMethod, Loss, Modality, ParamGroup, Progress, State,
    Trained, View, ViewSpec,
};
use hashlab_train::{Checkpoint, Fit, TrainConfig, TrainData, TrainEnd, TrainObserver, fit};

const ITEMS: usize = 20;
const DIM: usize = 5;
const BITS: usize = 4;
/// Steps per epoch: batches of 8 of 20 items.
const STEPS: usize = 3;

fn features() -> Tensor {
    let mut rng = hashlab_rng::stream(0, "features", &[]);
    let values: Vec<f32> = (0..ITEMS * DIM).map(|_| rng.normal() as f32).collect();
    Tensor::from_vec(values, (ITEMS, DIM), &Device::Cpu).unwrap()
}

/// Draws codes to those that the memory holds, which an epoch's end pulls towards their signs.
struct Remembering {
    vars: Parameters,
    head: Linear,
    memory: Memory,
    weight: f64,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Remembering {
    fn new(seed: u64, calls: &Arc<Mutex<Vec<String>>>) -> Self {
        let cx = BuildContext { seeds: vec![seed], ..BuildContext::of_images(BITS, DIM) };
        let mut vars = Parameters::default();
        let head = Linear::new(&mut vars, "head", (DIM, BITS), &cx).unwrap();
        let memory = Memory::zeros("codes", (ITEMS, BITS), &Device::Cpu).unwrap();
        Self { vars, head, memory, weight: f64::NAN, calls: Arc::clone(calls) }
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

impl HashMethod for Remembering {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.head.forward(items.get(modality)?)?)
    }
    fn state(&self) -> Result<State> {
        let mut state = self.vars.state()?;
        self.memory.save(&mut state)?;
        Ok(state)
    }
    fn load_state(&mut self, state: &State) -> Result<()> {
        let mut rest = state.clone();
        let rows = self.memory.take(&mut rest)?;
        self.vars.load(&rest)?;
        self.memory.set(&rows)
    }
}

impl Trained for Remembering {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new([ViewSpec::plain(Modality::Image)])
    }
    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }
    fn begin_epoch(&mut self, at: &EpochContext) -> Result<()> {
        self.note(format!("begin {} of {}", at.epoch, at.epochs));
        assert_eq!(at.steps, STEPS);
        self.weight = 1.0 + at.epoch as f64;
        Ok(())
    }
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        self.note(format!("step {}", at.step));
        let codes = self.head.forward(&batch.views[0].x)?.tanh()?;
        let away = (&codes - (self.memory.read(&batch.items)? + 0.1)?)?.sqr()?.mean_all()?;
        self.memory.write(&batch.items, &codes)?;
        Ok(Loss { total: (away * self.weight)?, terms: Vec::new() })
    }
    fn end_epoch(&mut self, at: &EpochContext) -> Result<()> {
        self.note(format!("end {}", at.epoch));
        let codes = self.memory.all()?;
        let signs = codes.ge(0.0)?.to_dtype(DType::F32)?.affine(2.0, -1.0)?;
        self.memory.set(&((codes * 0.5)? + (signs * 0.5)?)?)
    }
}

struct Plain(Tensor);

impl TrainData for Plain {
    fn len(&self) -> usize {
        ITEMS
    }
    fn batch(&self, items: &[u32], _: &BatchSpec, _: &Progress) -> Result<Batch> {
        let x = self.0.index_select(&Tensor::new(items, &Device::Cpu)?, 0)?;
        Ok(Batch { items: items.to_vec(), views: vec![View { modality: Modality::Image, x }], labels: None })
    }
}

/// Keeps the last checkpoint, and asks to stop after a number of steps.
struct Stopper {
    after: usize,
    asked: Cell<usize>,
    checkpoint: Option<Vec<u8>>,
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

/// Result of a training, or of a part of one.
struct Trainings {
    end: TrainEnd,
    state: BTreeMap<String, Vec<u32>>,
    calls: Vec<String>,
    checkpoint: Vec<u8>,
}

/// Trains up to `after` steps from a checkpoint, with a validation after every second epoch.
fn train(after: usize, resume: Option<&[u8]>) -> Trainings {
    let calls = Arc::new(Mutex::new(Vec::new()));
    // A resumed method's own start must not matter.
    let mut method = Remembering::new(if resume.is_some() { 9 } else { 0 }, &calls);
    let config = TrainConfig { epochs: 4, batch_size: 8, validate_every: 2, ..TrainConfig::default() };
    let mut validate = |method: &dyn HashMethod| {
        calls.lock().unwrap().push("validate".into());
        // Larger with every epoch, so that the last state is selected.
        let codes = method.state()?["codes"].abs()?.mean_all()?.to_scalar::<f32>()?;
        Ok(f64::from(codes))
    };
    let mut observer = Stopper { after, asked: 0.into(), checkpoint: None };
    let resume = resume.map(|bytes| Checkpoint::from_bytes(bytes, &Device::Cpu).unwrap());
    let (data, seed) = (Plain(features()), 3);
    let job = Fit {
        method: &mut method,
        config: &config,
        seed,
        data: &data,
        validate: &mut validate,
        observer: &mut observer,
        resume,
    };
    let end = fit(job).unwrap();
    let bits = |tensor: &Tensor| {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    let state = method.state().unwrap().iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect();
    let checkpoint = observer.checkpoint.expect("a training that ends leaves a checkpoint");
    Trainings { end, state, calls: std::mem::take(&mut *calls.lock().unwrap()), checkpoint }
}

#[test]
fn epochs_begin_before_their_steps_and_end_before_the_validation() {
    let whole = train(usize::MAX, None);
    assert!(matches!(whole.end, TrainEnd::Done { .. }));
    let mut expected = Vec::new();
    for epoch in 0..4 {
        expected.push(format!("begin {epoch} of 4"));
        expected.extend((0..STEPS).map(|step| format!("step {}", epoch * STEPS + step)));
        expected.push(format!("end {epoch}"));
        if epoch % 2 == 1 {
            expected.push("validate".into());
        }
    }
    assert_eq!(whole.calls, expected);
}

#[test]
fn a_memory_survives_a_stop_wherever_it_comes() {
    let whole = train(usize::MAX, None);
    for after in 0..4 * STEPS {
        let first = train(after, None);
        assert_eq!(first.end, TrainEnd::Interrupted, "after {after}");
        let second = train(usize::MAX, Some(&first.checkpoint));
        assert_eq!(second.state, whole.state, "after {after}");
        let ends = |calls: &[String]| calls.iter().filter(|call| call.starts_with("end")).count();
        assert_eq!(ends(&first.calls) + ends(&second.calls), 4, "after {after}: every epoch ends once");
        let begun = format!("begin {} of 4", after / STEPS);
        assert_eq!(second.calls[0], begun, "after {after}: the epoch begins again");
    }
}
