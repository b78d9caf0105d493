//! Layer norm, softmax and GELU against candle's own operations in f64, values and gradients.

mod common;

use common::{bits, check, close, draw, variable, with_threads};
use hashlab_kernels::transformer::{gelu, layer_norm, softmax};
use hashlab_kernels::{backward, threads};
use hashlab_rng::stream;

/// Rows shorter and longer than a vector, one that fills many chunks.
const SHAPES: [&[usize]; 5] = [&[1, 1], &[5], &[3, 2, 16], &[2, 3, 7, 197], &[70, 768]];

fn check_all(shape: &[usize]) {
    let len = [shape[shape.len() - 1]];
    check(|t| layer_norm(&t[0], [&t[1], &t[2]], 1e-3), &[("x", shape), ("w", &len), ("b", &len)], &[]);
    check(|t| softmax(&t[0], 1.7), &[("x", shape)], &[]);
    check(|t| gelu(&(&t[0] * 3.0)?), &[("x", shape)], &[]);
}

#[test]
fn values_and_gradients_equal_candles() {
    SHAPES.into_iter().for_each(check_all);
    let mut draws = stream(13, "shapes", &[]);
    for _ in 0..20 {
        check_all(&[1 + draws.below(4), 1 + draws.below(30), 1 + draws.below(100)]);
    }
}

#[test]
fn a_softmax_of_large_numbers_is_finite_and_sums_to_one() {
    let y = softmax(&(draw("x", &[4, 33]) * 1e4).unwrap(), 1.0).unwrap();
    close(&y.sum(1).unwrap(), &y.ones_like().unwrap().mean(1).unwrap(), 1e-6);
}

#[test]
fn gelu_vanishes_to_the_left_and_is_the_identity_to_the_right() {
    let x = candle_core::Tensor::new(&[-40.0f32, -8.0, 0.0, 8.0, 40.0], &candle_core::Device::Cpu).unwrap();
    let y = gelu(&x).unwrap().to_vec1::<f32>().unwrap();
    assert!(y[0] == 0.0 && y[1].abs() < 1e-13 && y[2..] == [0.0, 8.0, 40.0], "{y:?}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, w, b) = (variable("x", &[90, 3, 300]), variable("w", &[300]), variable("b", &[300]));
    let run = || {
        let y = softmax(&gelu(&layer_norm(&x, [&w, &b], 1e-6).unwrap()).unwrap(), 0.3).unwrap();
        let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        [bits(&y), bits(grads.get(&x).unwrap()), bits(grads.get(&w).unwrap()), bits(grads.get(&b).unwrap())]
    };
    let one = with_threads(1, run);
    assert!(one == with_threads(3, run));
    assert!(one == with_threads(3, || threads::serial(run)));
}

#[test]
fn wrong_shapes_are_errors() {
    let norm = |w: usize| layer_norm(&draw("x", &[2, 3]), [&draw("w", &[w]), &draw("b", &[3])], 1e-6);
    assert!(norm(3).is_ok() && norm(2).unwrap_err().to_string().contains("[2]"));
    assert!(softmax(&draw("x", &[2, 0]), 1.0).is_err() && softmax(&draw("x", &[]), 1.0).is_err());
}
