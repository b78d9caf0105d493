//! Batch norm and the sum of images against candle's own operations in f64, values and gradients.

mod common;

use candle_core::{Result, Tensor};
use common::{bits, check, close, draw, variable, with_threads};
use hashlab_kernels::conv::{Activation, Moments, add, batch_norm, fixed_norm};
use hashlab_kernels::{backward, threads};
use hashlab_rng::stream;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

/// One chunk, a chunk and a row, many chunks; images, rows, single channels.
const SHAPES: [&[usize]; 5] = [&[2, 1], &[257, 3], &[2, 3, 5, 17], &[3, 16, 20, 40], &[1, 25, 21, 64]];

fn moments(t: &[Tensor]) -> Moments {
    // A variance is positive.
    Moments { mean: t[3].clone(), variance: t[4].sqr().unwrap() }
}

fn check_norms(shape: &[usize], activation: Activation) {
    let channels = [shape[shape.len() - 1]];
    let inputs: [(&str, &[usize]); 3] = [("x", shape), ("w", &channels), ("b", &channels)];
    check(|t| Ok(batch_norm(&t[0], [&t[1], &t[2]], 1e-3, activation)?.0), &inputs, &[]);
    let constants: [(&str, &[usize]); 2] = [("mean", &channels), ("deviation", &channels)];
    check(|t| fixed_norm(&t[0], &moments(t), [&t[1], &t[2]], 1e-3, activation), &inputs, &constants);
    let constants = [&inputs[1..], &constants].concat();
    check(|t| fixed_norm(&t[0], &moments(t), [&t[1], &t[2]], 1e-3, activation), &inputs[..1], &constants);
}

#[test]
fn values_and_gradients_equal_candles() {
    for shape in SHAPES {
        ACTIVATIONS.into_iter().for_each(|activation| check_norms(shape, activation));
    }
}

#[test]
fn random_shapes_equal_candles() {
    let mut draws = stream(12, "shapes", &[]);
    for _ in 0..30 {
        let mut up_to = |n: usize| 1 + draws.below(n);
        check_norms(&[1 + up_to(3), up_to(20), up_to(20), up_to(70)], Activation::Relu);
    }
}

/// Far from zero, a sum of squares in f32 would have no digit of the variance left.
#[test]
fn moments_are_exact_far_from_zero() {
    let x = (draw("x", &[3000, 4]) + 1000.0).unwrap();
    let [w, b] = ["w", "b"].map(|name| draw(name, &[4]));
    let (_, found) = batch_norm(&x, [&w, &b], 1e-5, Activation::None).unwrap();
    let double = |t: &Tensor| t.to_dtype(candle_core::DType::F64).unwrap();
    let (_, expected) = batch_norm(&double(&x), [&double(&w), &double(&b)], 1e-5, Activation::None).unwrap();
    close(&found.mean, &expected.mean, 1e-7);
    close(&found.variance, &expected.variance, 1e-5);
}

#[test]
fn constants_get_no_gradient_and_variables_sum_theirs() {
    let (x, w, b) = (draw("x", &[4, 5, 3]), variable("w", &[3]), variable("b", &[3]));
    let loss = |x: &Tensor| batch_norm(x, [&w, &b], 1e-5, Activation::Relu).unwrap().0.sqr().unwrap().sum_all();
    let once = backward(&loss(&x).unwrap()).unwrap();
    let twice = backward(&(loss(&x).unwrap() + loss(&x).unwrap()).unwrap()).unwrap();
    assert!(once.get(&x).is_none());
    for var in [&w, &b] {
        close(twice.get(var).unwrap(), &(once.get(var).unwrap() * 2.0).unwrap(), 1e-6);
    }
    let (x, w, b) = (variable("x", &[4, 5, 3]), draw("w", &[3]), draw("b", &[3]));
    let y = batch_norm(&x, [&w, &b], 1e-5, Activation::Relu).unwrap().0;
    let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
    assert!(grads.get(&x).is_some() && grads.get(&w).is_none() && grads.get(&b).is_none());
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, w, b) = (variable("x", &[3, 19, 18, 40]), variable("w", &[40]), variable("b", &[40]));
    let run = || {
        let y = batch_norm(&x, [&w, &b], 1e-5, Activation::Relu).unwrap().0;
        let y = add(&y, &x, Activation::Relu6).unwrap();
        let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        [bits(&y), bits(grads.get(&x).unwrap()), bits(grads.get(&w).unwrap()), bits(grads.get(&b).unwrap())]
    };
    let one = with_threads(1, run);
    assert!(one == with_threads(3, run));
    assert!(one == with_threads(3, || threads::serial(run)));
}

#[test]
fn sums_equal_candles() {
    for activation in ACTIVATIONS {
        check(|t| add(&t[0], &t[1], activation), &[("a", &[3, 50, 40, 5]), ("b", &[3, 50, 40, 5])], &[]);
    }
    assert!(add(&draw("a", &[2, 3]), &draw("b", &[3]), Activation::None).is_err());
}

#[test]
fn wrong_shapes_are_errors() {
    let norm = |x: &[usize], w: usize, b: usize| -> Result<_> {
        batch_norm(&draw("x", x), [&draw("w", &[w]), &draw("b", &[b])], 1e-5, Activation::None)
    };
    assert!(norm(&[2, 3], 3, 3).is_ok());
    assert!(norm(&[2, 3], 4, 3).is_err() && norm(&[2, 3], 3, 4).unwrap_err().to_string().contains("[4]"));
    assert!(norm(&[1, 3], 3, 3).unwrap_err().to_string().contains("one value per channel"));
    assert!(norm(&[0, 3], 3, 3).is_err() && norm(&[], 3, 3).is_err() && norm(&[2, 0], 0, 0).is_err());
}
