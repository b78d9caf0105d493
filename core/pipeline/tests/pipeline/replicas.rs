//! Copies of encoders in training: on several devices, each with its part of a batch (GPUs if the tests have several,
//! otherwise one device several times), and in bf16.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use hashlab_data::{ByModality, Modality};
use hashlab_encoders::{Draws, Encoder, Norm, Place, TrainableEncoder, find_image};
use hashlab_kernels::{backward, device};
use hashlab_method::{AnyMethod, Batch, BuildContext, Features, HashMethod, Progress, State, Trained, View};
use hashlab_pipeline::config::ComputeDtype;
use hashlab_pipeline::{Replicas, WithEncoder, check_devices, check_dtype};
use hashlab_rng::stream;
use hashlab_settings::Settings;
use hashlab_store::RunConfig;
use hashlab_train::{Fit, TrainConfig, TrainData, fit};
use serde_json::json;

use crate::finetune::{Stopper, bits, read};
use crate::squares::Squares;
use crate::{Notes, PROBE, changed, config, execute_at, result, table};

/// A linear map of the pixels with dropout in front of it.
struct Dropping {
    weight: Var,
}

const SIDE: usize = 8;

impl Dropping {
    fn open(place: Place<'_>) -> Self {
        let mut rng = stream(0, "dropping", &[]);
        let values: Vec<f32> = (0..SIDE * SIDE * 3 * 5).map(|_| rng.normal() as f32).collect();
        let weight = Tensor::from_vec(values, (SIDE * SIDE * 3, 5), place.device).unwrap();
        let weight = weight.to_dtype(place.dtype).unwrap();
        Self { weight: Var::from_tensor(&weight).unwrap() }
    }
}

impl Encoder for Dropping {
    fn name(&self) -> &'static str {
        "dropping"
    }
    fn dim(&self) -> usize {
        5
    }
    fn normalize(&self) -> [[f32; 3]; 2] {
        [[0.5; 3]; 2]
    }
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        images.flatten_from(1)?.matmul(&self.weight.as_detached_tensor())
    }
}

impl TrainableEncoder for Dropping {
    fn forward_train(&self, images: &Tensor, draws: Draws<'_>) -> Result<Tensor> {
        let flat = images.flatten_from(1)?;
        let mut rng = draws("input", flat.elem_count());
        let mask: Vec<f32> = (0..flat.elem_count()).map(|_| if rng.bernoulli(0.5) { 0.0 } else { 2.0 }).collect();
        let mask = Tensor::from_vec(mask, flat.shape(), flat.device())?.to_dtype(flat.dtype())?;
        (&flat * mask)?.matmul(self.weight.as_tensor())
    }
    fn vars(&self) -> Vec<(String, Var)> {
        vec![("weight".into(), self.weight.clone())]
    }
}

/// Devices of the tests: three or two GPUs, if there are so many, or the only device several times.
fn devices() -> Vec<Device> {
    let gpus = [3, 2].into_iter().find_map(|count| device::devices_from(device::for_tests(), count).ok());
    gpus.unwrap_or_else(|| vec![device::for_tests().clone(); 3])
}

/// The probe on a network that computes in `dtype` on `count` devices.
fn copied(count: usize, dtype: ComputeDtype, open: impl Fn(Place<'_>) -> Box<dyn TrainableEncoder>) -> WithEncoder {
    let devices = devices();
    let network = Replicas::open(&devices[..count], dtype, |place| Ok(open(place))).unwrap();
    let dim = network.network().dim();
    let cx = BuildContext { device: devices[0].clone(), ..BuildContext::of_images(8, dim) };
    let AnyMethod::Trained(method) = PROBE.build(&Settings::new(), &cx).unwrap() else { panic!("it is deep") };
    WithEncoder::new(method, ByModality::one(Modality::Image, (network, 1.0)), &devices[0])
}

/// The probe on a network in f32 on `count` devices.
fn on_devices(count: usize, open: impl Fn(Place<'_>) -> Box<dyn TrainableEncoder>) -> WithEncoder {
    copied(count, ComputeDtype::F32, open)
}

fn resnet(place: Place<'_>) -> Box<dyn TrainableEncoder> {
    (find_image("resnet18").unwrap().train.unwrap())(None, 0, Norm::Frozen, place).unwrap()
}

fn dropping(place: Place<'_>) -> Box<dyn TrainableEncoder> {
    Box::new(Dropping::open(place))
}

/// A step's batch of `n` items, two views of each.
fn batch(n: usize, side: usize) -> Batch {
    let view = |number: u64| {
        let mut rng = stream(0, "images", &[number]);
        let values: Vec<f32> = (0..n * side * side * 3).map(|_| rng.normal() as f32).collect();
        View { modality: Modality::Image, x: Tensor::from_vec(values, (n, side, side, 3), &devices()[0]).unwrap() }
    };
    Batch { items: (0..n as u32).collect(), views: vec![view(0), view(1)], labels: None }
}

/// The loss of a step, and the gradient of each variable, to which those of its copies are added.
fn step(method: &mut WithEncoder, batch: &Batch) -> (f32, BTreeMap<String, Tensor>) {
    let at = Progress { epoch: 0, epochs: 1, step: 3, steps: 9, seeds: vec![0] };
    let loss = method.loss(batch, &at).unwrap().total;
    let found = backward(&loss).unwrap();
    let mut sums = BTreeMap::new();
    for group in method.param_groups() {
        for (index, (name, var)) in group.vars.iter().enumerate() {
            let copies = group.copies.iter().filter_map(|copy| found.get(&copy[index]));
            let copies =
                copies.map(|grad| device::on_device(grad, var.device()).unwrap().to_dtype(DType::F32).unwrap());
            let sum = found.get(var).cloned().into_iter().chain(copies).reduce(|a, b| (a + b).unwrap()).unwrap();
            sums.insert(name.clone(), sum);
        }
    }
    (loss.to_scalar().unwrap(), sums)
}

/// The length of the difference of two gradients, relative to that of the second.
fn apart(found: &Tensor, expected: &Tensor) -> f64 {
    let length = |t: &Tensor| t.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>();
    (length(&(found - expected).unwrap()).unwrap() / length(expected).unwrap()).sqrt()
}

/// With dropout, whose masks are those of one device, and with more devices than items.
#[test]
fn a_step_has_the_gradients_of_one_device() {
    for (open, n, side) in [(resnet as fn(Place<'_>) -> _, 5, 32), (dropping, 5, SIDE), (dropping, 1, SIDE)] {
        let batch = batch(n, side);
        let (loss, expected) = step(&mut on_devices(1, open), &batch);
        for devices in 2..=self::devices().len() {
            let (other, found) = step(&mut on_devices(devices, open), &batch);
            assert!((loss - other).abs() <= 1e-6 * loss.abs(), "{loss} {other}");
            assert_eq!(found.len(), expected.len());
            for (name, gradient) in &expected {
                let apart = apart(&found[name], gradient);
                assert!(apart < 1e-6, "{name} of {n} items on {devices} devices: {apart}");
            }
        }
    }
}

/// Six images, always in the same batches.
struct Images;

impl TrainData for Images {
    fn len(&self) -> usize {
        6
    }
    fn batch(&self, items: &[u32], _: &hashlab_method::BatchSpec, _: &Progress) -> anyhow::Result<Batch> {
        Ok(batch(items.len(), SIDE))
    }
}

#[test]
fn copies_follow_the_network_in_training_and_when_a_state_is_loaded() {
    let config = TrainConfig { epochs: 3, batch_size: 3, validate_every: 3, ..TrainConfig::default() };
    let trained = |devices: usize, dtype: ComputeDtype| {
        let mut method = copied(devices, dtype, dropping);
        let job = Fit {
            method: &mut method,
            config: &config,
            seed: 0,
            data: &Images,
            validate: &mut |_| Ok(0.5),
            observer: &mut Notes::default(),
            resume: None,
        };
        fit(job).unwrap();
        method
    };
    let one = trained(1, ComputeDtype::F32).state().unwrap();
    let before = on_devices(1, dropping).state().unwrap();
    for (devices, dtype, most) in
        [(2, ComputeDtype::F32, 1e-5), (1, ComputeDtype::Bf16, 0.02), (2, ComputeDtype::Bf16, 0.02)]
    {
        let mut other = trained(devices, dtype);
        let state = other.state().unwrap();
        let learned = |state: &State| (&state["backbone.weight"] - &before["backbone.weight"]).unwrap();
        assert_eq!(state["backbone.weight"].dtype(), DType::F32);
        let apart = apart(&learned(&state), &learned(&one));
        assert!(apart < most, "{devices} devices in {dtype:?}: {apart}");
        assert_copies_are_alike(&other);
        other.load_state(&before).unwrap();
        assert_copies_are_alike(&other);
    }
}

/// Rounding to 8 bits in every layer adds up in a network of 18 layers. PyTorch's bf16 moves the gradient of the first one
/// of such a network by 0.17 of its length, and its autocast by 0.41.
#[test]
fn a_step_in_bf16_has_the_gradients_of_f32_but_for_rounding() {
    let batch = batch(5, 32);
    for (open, most) in [(resnet as fn(Place<'_>) -> _, 0.25), (dropping, 0.02)] {
        let batch = if most < 0.1 { self::batch(5, SIDE) } else { batch.clone() };
        let (loss, expected) = step(&mut on_devices(1, open), &batch);
        for devices in 1..=2 {
            let (other, found) = step(&mut copied(devices, ComputeDtype::Bf16, open), &batch);
            assert!((loss - other).abs() <= 0.02 * loss.abs(), "{loss} {other}");
            for (name, gradient) in &expected {
                assert_eq!(found[name].dtype(), DType::F32);
                let apart = apart(&found[name], gradient);
                assert!(apart < most, "{name} on {devices} devices: {apart}");
            }
            assert!(
                expected.iter().any(|(name, gradient)| apart(&found[name], gradient) > 1e-4),
                "nothing was rounded"
            );
        }
    }
}

/// Codes are those of the copy, in evaluation as in training.
#[test]
fn items_are_encoded_in_bf16() {
    let images = batch(3, 32).views[0].x.clone();
    let encode = |method: &WithEncoder| {
        let features = Features::one(Modality::Image, images.clone());
        method.encode(&features, Modality::Image).unwrap()
    };
    let [f32, bf16] = [ComputeDtype::F32, ComputeDtype::Bf16].map(|dtype| encode(&copied(1, dtype, resnet)));
    let apart = apart(&bf16, &f32);
    assert_eq!(bf16.dtype(), DType::F32);
    assert!(apart > 1e-4 && apart < 0.1, "{apart}");
}

#[test]
fn an_encoder_that_ignores_the_type_is_refused() {
    let open = |place: Place<'_>| Ok(dropping(place.device.into()));
    let message = Replicas::open(&devices()[..1], ComputeDtype::Bf16, open).err().unwrap().to_string();
    assert_eq!(message, "encoder `dropping` cannot be trained in BF16: its variable `weight` is in F32");
}

fn assert_copies_are_alike(method: &WithEncoder) {
    let groups = method.param_groups();
    let copied = groups.iter().flat_map(|group| group.copies.iter().map(|copy| group.vars.iter().zip(copy)));
    for ((_, var), copy) in copied.flatten() {
        let here = device::on_device(copy.as_tensor(), var.device()).unwrap().to_dtype(DType::F32).unwrap();
        let rounded = var.as_tensor().to_dtype(copy.dtype()).unwrap().to_dtype(DType::F32).unwrap();
        assert_eq!(apart(&here, &rounded), 0.0);
    }
    assert!(groups.iter().any(|group| !group.copies.is_empty()));
}

/// A run that trains its encoder on two devices.
fn on_two() -> RunConfig {
    on_two_in("f32")
}

fn on_two_in(dtype: &str) -> RunConfig {
    let image = table(json!({ "image_size": 8, "finetune": true, "norm": "frozen", "dtype": dtype }));
    let config = config(&PROBE, 0);
    let train = changed(config.train.clone(), json!({ "devices": 2 }));
    RunConfig { encoders: ByModality::one(Modality::Image, image), train, ..config }
}

#[test]
fn a_run_with_copies_ends_as_one_that_was_stopped() {
    for dtype in ["f32", "bf16"] {
        ends_as_one_that_was_stopped(&on_two_in(dtype));
    }
}

fn ends_as_one_that_was_stopped(config: &RunConfig) {
    let mut whole = Stopper::after(usize::MAX);
    let ended = result(execute_at(&devices()[0], &Squares::new(), (config, &PROBE), &mut whole, None).unwrap());
    let mut stopped = Stopper::after(5);
    execute_at(&devices()[0], &Squares::new(), (config, &PROBE), &mut stopped, None).unwrap();
    let mut resumed = Stopper::after(usize::MAX);
    let other =
        execute_at(&devices()[0], &Squares::new(), (config, &PROBE), &mut resumed, stopped.checkpoint.as_deref())
            .unwrap();
    assert_eq!(ended.test, result(other).test);
    let [whole, resumed] = [whole, resumed].map(|stopper| bits(&read(&stopper.checkpoint.unwrap())));
    assert_eq!(whole, resumed);
}

#[test]
fn several_devices_need_an_encoder_to_train_and_frozen_norms() {
    let encoders = hashlab_encoders::ENCODERS;
    assert!(check_devices(&on_two(), encoders).is_ok());
    let refused = |image: serde_json::Value| {
        let image = table(image);
        let config = RunConfig { encoders: ByModality::one(Modality::Image, image), ..on_two() };
        check_devices(&config, encoders).unwrap_err().to_string()
    };
    let message = refused(json!({ "encoder": "resnet18" }));
    assert!(message.contains("`devices = 2` in [train]") && message.contains("trains none"), "{message}");
    let message = refused(json!({ "encoder": "resnet18", "finetune": true }));
    assert!(message.contains("the batch norms of `resnet18`") && message.contains("norm = \"frozen\""), "{message}");
}

#[test]
fn batch_norms_of_the_batch_are_trained_in_f32() {
    let checked = |norm: &str, dtype: &str| {
        let image = json!({ "encoder": "resnet18", "finetune": true, "norm": norm, "dtype": dtype });
        let config = RunConfig { encoders: ByModality::one(Modality::Image, table(image)), ..on_two() };
        check_dtype(&config, hashlab_encoders::ENCODERS).map_err(|error| error.to_string())
    };
    for (norm, dtype) in [("frozen", "bf16"), ("frozen", "f32"), ("batch", "f32")] {
        assert_eq!(checked(norm, dtype), Ok(()));
    }
    let message = checked("batch", "bf16").unwrap_err();
    assert!(message.contains("the batch norms of `resnet18`") && message.contains("norm = \"frozen\""), "{message}");
}
