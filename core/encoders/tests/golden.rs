//! Networks of the published shapes against an independent computation in numpy (`golden.py`).

mod formula;

use std::collections::HashMap;

use candle_core::Tensor;
use hashlab_encoders::{Encoder, find_image};
use hashlab_kernels::device;
use hashlab_kernels::threads::serial;

const SIZE: [usize; 4] = [2, 45, 64, 3];

fn images() -> Tensor {
    let values: Vec<f32> = formula::numbers("images", SIZE.iter().product()).map(|u| u as f32).collect();
    Tensor::from_vec(values, &SIZE, device::for_tests()).unwrap()
}

fn open(name: &str, header: &[(&str, &str)]) -> Box<dyn Encoder> {
    (find_image(name).unwrap().open)(Some(&formula::weights(name, header)), 0, device::for_tests().into()).unwrap()
}

/// Asserts that features agree with the stored ones to 5e-5 of their standard deviation, on a GPU to 5e-4.
#[track_caller]
fn check(encoder: &dyn Encoder, stored: &str) {
    let golden: HashMap<String, Tensor> = formula::stored("golden");
    let (expected, found) = (&golden[stored], encoder.forward(&images()).unwrap());
    assert_eq!(found.dims(), [SIZE[0], encoder.dim()]);
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (expected, found) = (values(expected), values(&found));
    let mean = expected.iter().sum::<f32>() / expected.len() as f32;
    let deviation = (expected.iter().map(|e| (e - mean).powi(2)).sum::<f32>() / expected.len() as f32).sqrt();
    let tolerance = if device::for_tests().is_cpu() { 5e-5 } else { 5e-4 };
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() < tolerance * deviation, "feature {i}: {f} against {e}");
    }
}

#[test]
fn mobilenet_v2_with_tensorflow_padding() {
    let encoder = open("mobilenet_v2", &[("padding", "TF SAME: stride-2 convs pad (0,1)")]);
    check(encoder.as_ref(), "mobilenet_v2.same");
}

#[test]
fn mobilenet_v2_with_symmetric_padding() {
    check(open("mobilenet_v2", &[]).as_ref(), "mobilenet_v2.symmetric");
}

#[test]
fn squeezenet1_1() {
    check(open("squeezenet1_1", &[]).as_ref(), "squeezenet1_1");
}

/// Images go through in micro-batches, which must not change the features.
#[test]
fn features_do_not_depend_on_batch_or_threads() {
    if !device::for_tests().is_cpu() {
        return; // a GPU chooses how to multiply by the shape, the batch included
    }
    let bits = |x: Tensor| -> Vec<u32> {
        x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for (name, side) in [("mobilenet_v2", 45), ("vgg16", 40), ("alexnet", 70), ("vit_b_16", 224)] {
        let encoder = open(name, &[]);
        let values: Vec<f32> = formula::numbers("images", 5 * side * side * 3).map(|u| u as f32).collect();
        let images = Tensor::from_vec(values, (5, side, side, 3), device::for_tests()).unwrap();
        let together = bits(serial(|| encoder.forward(&images)).unwrap());
        let mut apart = Vec::new();
        for (start, len) in [(0, 1), (1, 2), (3, 2)] {
            apart.extend(bits(serial(|| encoder.forward(&images.narrow(0, start, len).unwrap())).unwrap()));
        }
        assert!(together == apart, "{name} in parts");
        assert!(together == bits(pool.install(|| encoder.forward(&images)).unwrap()), "{name} on threads");
    }
}
