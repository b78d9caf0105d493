//! The networks of torchvision against torchvision itself (`golden_torchvision.py`).

mod formula;

use std::collections::HashMap;

use candle_core::Tensor;
use hashlab_encoders::{Encoder, find_image};
use hashlab_kernels::device;

fn open(name: &str) -> Box<dyn Encoder> {
    (find_image(name).unwrap().open)(Some(&formula::weights(name, &[])), 0, device::for_tests().into()).unwrap()
}

/// Asserts that every seventh feature of the formula's images agrees with the stored one.
#[track_caller]
fn check(encoder: &dyn Encoder, [n, h, w]: [usize; 3]) {
    let pixels: Vec<f32> = formula::numbers("images", n * h * w * 3).map(|u| u as f32).collect();
    let images = Tensor::from_vec(pixels, (n, h, w, 3), device::for_tests()).unwrap();
    let found: Vec<Vec<f32>> = encoder.forward(&images).unwrap().to_vec2().unwrap();
    let golden: HashMap<String, Tensor> = formula::stored("golden_torchvision");
    let expected: Vec<Vec<f32>> = golden[&format!("{}.{h}x{w}", encoder.name())].to_vec2().unwrap();
    assert_eq!((found.len(), found[0].len()), (n, encoder.dim()));
    for (found, expected) in found.iter().zip(&expected) {
        let found = found.iter().step_by(7);
        assert_eq!(found.len(), expected.len());
        let error: f32 = found.zip(expected).map(|(f, e)| (f - e).powi(2)).sum();
        let norm: f32 = expected.iter().map(|e| e.powi(2)).sum();
        assert!(error.sqrt() < 1e-5 * norm.sqrt(), "relative error {}", (error / norm).sqrt());
    }
}

#[test]
fn resnets() {
    for name in ["resnet18", "resnet34", "resnet50", "resnet101"] {
        check(open(name).as_ref(), [2, 80, 96]);
    }
}

/// At 224 pixels the grid of the dense layers fits the image; smaller images are averaged, or repeated, to it.
#[test]
fn vgg16() {
    let encoder = open("vgg16");
    check(encoder.as_ref(), [2, 80, 96]);
    check(encoder.as_ref(), [1, 224, 224]);
}

#[test]
fn alexnet() {
    let encoder = open("alexnet");
    check(encoder.as_ref(), [2, 80, 96]);
    check(encoder.as_ref(), [1, 224, 224]);
}

#[test]
fn images_that_vanish_in_the_poolings_are_an_error() {
    let images = Tensor::zeros((1, 32, 32, 3), candle_core::DType::F32, device::for_tests()).unwrap();
    assert!(open("alexnet").forward(&images).unwrap_err().to_string().contains("larger than the image"));
}
