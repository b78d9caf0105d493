//! Faulty and unusual weights files.

mod formula;

use std::path::Path;

use candle_core::{Device, Tensor};
use formula::{file, numbers, tensors};
use hashlab_encoders::weights::IMAGENET;
use hashlab_encoders::{Encoder, EncoderError, Weights, find_image};
use safetensors::Dtype;

type Tensors = Vec<(String, formula::Tensor)>;

fn open(tensors: &Tensors) -> Result<Box<dyn Encoder>, EncoderError> {
    (find_image("squeezenet1_1").unwrap().open)(
        Some(&Weights::from_bytes(&file(tensors, &[]))?),
        0,
        (&Device::Cpu).into(),
    )
}

fn message(edit: impl FnOnce(&mut Tensors)) -> String {
    let mut tensors = tensors("squeezenet1_1");
    edit(&mut tensors);
    open(&tensors).map(|_| ()).unwrap_err().to_string()
}

fn floats(name: &str, shape: &[usize], map: impl Fn(f64) -> f64) -> (String, formula::Tensor) {
    let bytes = numbers(name, shape.iter().product()).flat_map(|u| (map(u) as f32).to_le_bytes()).collect();
    (name.to_owned(), formula::Tensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes })
}

#[test]
fn a_missing_tensor_is_named_with_its_shape() {
    let message = message(|t| t.retain(|(name, _)| name != "features.4.squeeze.weight"));
    assert!(message.contains("`features.4.squeeze.weight` is missing") && message.contains("[16, 128, 1, 1]"));
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    let message = message(|t| {
        let bias = t.iter_mut().find(|(name, _)| name == "features.0.bias").unwrap();
        *bias = floats("features.0.bias", &[65], |u| u);
    });
    assert!(message.contains("`features.0.bias`") && message.contains("[65]") && message.contains("[64]"), "{message}");
}

#[test]
fn an_unknown_tensor_is_named_but_the_classifier_is_welcome() {
    let mut known = tensors("squeezenet1_1");
    known.push(floats("classifier.1.weight", &[3, 512, 1, 1], |u| u));
    assert!(open(&known).is_ok());
    let message = message(|t| t.push(floats("features.13.weight", &[2], |u| u)));
    assert!(message.contains("`features.13.weight`") && message.contains("squeezenet1_1"), "{message}");
}

#[test]
fn integers_are_refused() {
    let message = message(|t| {
        t.push(("ids".into(), formula::Tensor { dtype: Dtype::I64, shape: vec![1], bytes: vec![0; 8] }));
    });
    assert!(message.contains("`ids`") && message.contains("I64"), "{message}");
}

#[test]
fn a_file_is_read_with_its_digest_and_header() {
    let bytes = file(&tensors("squeezenet1_1"), &[("source", "a formula"), ("preproc", "RGB/127.5-1, 224")]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    std::fs::write(&path, &bytes).unwrap();
    let weights = Weights::read(&path).unwrap();
    assert_eq!(weights.digest(), blake3::hash(&bytes).to_hex().as_str());
    assert_eq!(weights.header("source"), Some("a formula"));
    let normalize = |weights| {
        (find_image("squeezenet1_1").unwrap().open)(Some(weights), 0, (&Device::Cpu).into()).unwrap().normalize()
    };
    assert_eq!(normalize(&weights), [[0.5; 3]; 2]);
    assert_eq!(normalize(&formula::weights("squeezenet1_1", &[])), IMAGENET);
    assert!(Weights::read(Path::new("/")).is_err());
}

#[test]
fn a_pretrained_encoder_asks_for_weights() {
    for entry in hashlab_encoders::ENCODERS.iter().filter(|entry| entry.needs_weights()) {
        let message = entry.open(None, &Device::Cpu).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(entry.name()), "{message}");
    }
}

/// torchvision's own files keep batch norms; folding one must equal applying it.
#[test]
fn batch_norms_are_folded() {
    let images: Vec<f32> = numbers("images", 32 * 32 * 3).map(|u| u as f32).collect();
    let images = Tensor::from_vec(images, (1, 32, 32, 3), &Device::Cpu).unwrap();
    let forward = |tensors: &Tensors| {
        let weights = Weights::from_bytes(&file(tensors, &[])).unwrap();
        let encoder = (find_image("mobilenet_v2").unwrap().open)(Some(&weights), 0, (&Device::Cpu).into()).unwrap();
        encoder.forward(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let plain = tensors("mobilenet_v2");
    // The last convolution without its bias, behind a norm that is built to add this bias and change nothing else.
    let (kept, bias): (Tensors, Tensors) = plain.clone().into_iter().partition(|(n, _)| n != "features.18.0.bias");
    let bias = numbers(&bias[0].0, 1280).map(|u| f64::from((0.1 * u) as f32)).collect::<Vec<_>>();
    let part = |part: &str, value: &dyn Fn(usize) -> f64| {
        let bytes = (0..1280).flat_map(|c| (value(c) as f32).to_le_bytes()).collect();
        (format!("features.18.1.{part}"), formula::Tensor { dtype: Dtype::F32, shape: vec![1280], bytes })
    };
    let variance = |c: usize| 0.5 + (c % 7) as f64;
    let scale = |c: usize| (variance(c) + 1e-5).sqrt();
    let mean = |c: usize| 0.01 * c as f64;
    let mut normed = kept;
    normed.extend([
        part("weight", &scale),
        part("bias", &|c| bias[c] + mean(c)),
        part("running_mean", &mean),
        part("running_var", &variance),
    ]);
    let counter = formula::Tensor { dtype: Dtype::I64, shape: vec![], bytes: vec![0; 8] };
    normed.push(("features.18.1.num_batches_tracked".into(), counter));
    for (found, expected) in forward(&normed).into_iter().zip(forward(&plain)) {
        assert!((found - expected).abs() < 1e-4, "{found} against {expected}");
    }
}
