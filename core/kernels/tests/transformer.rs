//! Attention, layer norm and GELU against candle's own operations in f64, values and gradients.

mod common;

use candle_core::Tensor;
use common::{bits, check, close, draw, variable, with_threads};
use hashlab_kernels::transformer::{attention, gelu, layer_norm};
use hashlab_kernels::{backward, threads};
use hashlab_rng::stream;

/// Rows shorter and longer than a vector, one that fills many chunks.
const SHAPES: [&[usize]; 5] = [&[1, 1], &[5], &[3, 2, 16], &[2, 3, 7, 197], &[70, 768]];

fn check_all(shape: &[usize]) {
    let len = [shape[shape.len() - 1]];
    check(|t| layer_norm(&t[0], [&t[1], &t[2]], 1e-3), &[("x", shape), ("w", &len), ("b", &len)], &[]);
    check(|t| gelu(&(&t[0] * 3.0)?), &[("x", shape)], &[]);
}

fn check_attention(lengths: &[usize], heads: usize, width: usize) {
    let shape = [lengths.iter().sum(), heads * width];
    let inputs: [(&str, &[usize]); 3] = [("q", &shape), ("k", &shape), ("v", &shape)];
    check(|t| attention([&t[0], &t[1], &t[2]], lengths, heads), &inputs, &[]);
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
fn attention_equals_candles_within_each_sequence() {
    check_attention(&[1], 1, 1);
    check_attention(&[197, 3], 2, 64);
    check_attention(&[0, 17, 0, 5, 40], 3, 32);
    check_attention(&[4, 9, 9, 9, 0, 0, 6, 6], 2, 8);
    let mut draws = stream(14, "shapes", &[]);
    for _ in 0..20 {
        let lengths: Vec<usize> = (0..1 + draws.below(4)).map(|_| 1 + draws.below(40)).collect();
        check_attention(&lengths, 1 + draws.below(4), 1 + draws.below(40));
    }
}

/// The three parts of one product are views with gaps between their rows.
#[test]
fn attention_takes_views() {
    check(
        |t| attention([0, 8, 16].map(|start| t[0].narrow(1, start, 8).unwrap()).each_ref(), &[4, 5], 2),
        &[("x", &[9, 24])],
        &[],
    );
}

#[test]
fn a_token_takes_most_from_where_its_query_points() {
    // Products of up to 1e4: the softmax neither overflows nor loses the one value that has all of the weight.
    let k = (Tensor::eye(8, candle_core::DType::F32, &candle_core::Device::Cpu).unwrap() * 1e2).unwrap();
    let v = draw("v", &[8, 8]);
    close(&attention([&k, &k, &v], &[8], 1).unwrap(), &v, 1e-6);
}

#[test]
fn gelu_vanishes_to_the_left_and_is_the_identity_to_the_right() {
    let x = Tensor::new(&[-40.0f32, -8.0, 0.0, 8.0, 40.0], &candle_core::Device::Cpu).unwrap();
    let y = gelu(&x).unwrap().to_vec1::<f32>().unwrap();
    assert!(y[0] == 0.0 && y[1].abs() < 1e-13 && y[2..] == [0.0, 8.0, 40.0], "{y:?}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, w, b) = (variable("x", &[270, 300]), variable("w", &[300]), variable("b", &[300]));
    let run = || {
        let y = gelu(&layer_norm(&x, [&w, &b], 1e-6).unwrap()).unwrap();
        let y = attention([&y, &x, &y], &[90, 100, 80], 3).unwrap();
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
    let x = draw("x", &[4, 6]);
    let attend = |v: &Tensor, lengths: &[usize], heads| attention([&x, &x, v], lengths, heads);
    assert!(attend(&x, &[1, 3], 2).is_ok());
    assert!(attend(&draw("v", &[4, 3]), &[1, 3], 3).unwrap_err().to_string().contains("[4, 3]"));
    for (lengths, heads) in [(&[1, 2][..], 2), (&[1, 3], 4), (&[1, 3], 0)] {
        assert!(attend(&x, lengths, heads).unwrap_err().to_string().contains("heads"));
    }
}
