//! Random tensors and comparisons.
#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this module")]

use candle_core::{DType, Device, Result, Tensor, Var};
use hashlab_kernels::backward;
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

/// Compares the value of `op` on variables and constants of these names and shapes, and the gradients of the variables,
/// with those of its f64 formulation.
#[track_caller]
pub(crate) fn check(
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[(&str, &[usize])],
    constants: &[(&str, &[usize])],
) {
    let variables: Vec<_> = inputs.iter().map(|(name, shape)| variable(name, shape)).collect();
    let doubles: Vec<_> = variables.iter().map(|v| double(v)).collect();
    let constants: Vec<_> = constants.iter().map(|(name, shape)| draw(name, shape)).collect();
    let tensors = |vars: &[Var]| {
        let constants = constants.iter().map(|c| c.to_dtype(vars[0].dtype()).unwrap());
        vars.iter().map(|v| v.as_tensor().clone()).chain(constants).collect::<Vec<_>>()
    };
    let (y, expected) = (op(&tensors(&variables)).unwrap(), op(&tensors(&doubles)).unwrap());
    close(&y, &expected, 1e-5);
    // Weights that differ by element, so that a misplaced gradient is seen.
    let weights = draw("weights", y.dims());
    let loss = |y: &Tensor| (y * weights.to_dtype(y.dtype()).unwrap()).unwrap().sum_all().unwrap();
    let (grads, expected) = (backward(&loss(&y)).unwrap(), loss(&expected).backward().unwrap());
    for (variable, double) in variables.iter().zip(&doubles) {
        close(grads.get(variable).unwrap(), expected.get(double).unwrap(), 1e-5);
    }
}

/// Runs `f` in a rayon pool of `threads`.
pub(crate) fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}
