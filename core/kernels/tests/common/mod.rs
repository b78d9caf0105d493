//! Random tensors and comparisons.
#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this module")]

use candle_core::{DType, Device, Tensor, Var};
use hashlab_rng::stream;

/// Draws a standard normal f32 tensor, the same one for the same `name`.
pub(crate) fn draw(name: &str, shape: &[usize]) -> Tensor {
    let mut draws = stream(0, name, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| draws.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Draws a variable.
pub(crate) fn variable(name: &str, shape: &[usize]) -> Var {
    Var::from_tensor(&draw(name, shape)).unwrap()
}

/// Copies a variable into f64, where the kernels leave the work to candle.
pub(crate) fn double(t: &Tensor) -> Var {
    Var::from_tensor(&t.detach().to_dtype(DType::F64).unwrap()).unwrap()
}

/// Flattens to f64.
pub(crate) fn values(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The bits of an f32 tensor.
pub(crate) fn bits(t: &Tensor) -> Vec<u32> {
    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Asserts equal shapes and values up to `tolerance` of the largest magnitude.
#[track_caller]
pub(crate) fn close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (values(found), values(expected));
    let scale = expected.iter().fold(1.0_f64, |a, b| a.max(b.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() <= tolerance * scale, "element {i}: {f} against {e}");
    }
}

/// Runs `f` in a rayon pool of `threads`.
pub(crate) fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}
