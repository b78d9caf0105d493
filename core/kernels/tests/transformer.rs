//! Attention, layer norm and GELU against candle's own operations in f64, values and gradients.

mod common;

use candle_core::Tensor;
use common::{bits, check, close, draw, variable, with_threads};
use hashlab_kernels::transformer::{Gelu, attention, causal_attention, gelu, layer_norm};
use hashlab_kernels::{backward, threads};
use hashlab_rng::stream;

/// Rows shorter and longer than a vector, one that fills many chunks.
const SHAPES: [&[usize]; 5] = [&[1, 1], &[5], &[3, 2, 16], &[2, 3, 7, 197], &[70, 768]];

fn check_all(shape: &[usize]) {
    let len = [shape[shape.len() - 1]];
    check(|t| layer_norm(&t[0], [&t[1], &t[2]], 1e-3), &[("x", shape), ("w", &len), ("b", &len)], &[]);
    for form in [Gelu::Exact, Gelu::Tanh, Gelu::Quick] {
        check(|t| gelu(&(&t[0] * 3.0)?, form), &[("x", shape)], &[]);
    }
}

fn check_attention(lengths: &[usize], heads: usize, width: usize) {
    let shape = [lengths.iter().sum(), heads * width];
    let inputs: [(&str, &[usize]); 3] = [("q", &shape), ("k", &shape), ("v", &shape)];
    check(|t| attention([&t[0], &t[1], &t[2]], lengths, heads), &inputs, &[]);
    check(|t| causal_attention([&t[0], &t[1], &t[2]], lengths, heads), &inputs, &[]);
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

/// The first token sees itself alone, and what comes last changes nothing before it.
#[test]
fn causal_attention_sees_nothing_behind_a_token() {
    let [q, k, v] = ["q", "k", "v"].map(|name| draw(name, &[9, 8]));
    let [short, long] = [5, 9].map(|len| {
        let [q, k, v] = [&q, &k, &v].map(|t| t.narrow(0, 0, len).unwrap());
        causal_attention([&q, &k, &v], &[len], 2).unwrap()
    });
    assert_eq!(bits(&long.narrow(0, 0, 1).unwrap()), bits(&v.narrow(0, 0, 1).unwrap()));
    close(&long.narrow(0, 0, 5).unwrap(), &short, 1e-6);
}

#[test]
fn gelu_vanishes_to_the_left_and_is_the_identity_to_the_right() {
    let x = Tensor::new(&[-400.0f32, -40.0, 0.0, 40.0, 400.0], &candle_core::Device::Cpu).unwrap();
    for form in [Gelu::Exact, Gelu::Tanh, Gelu::Quick] {
        let y = gelu(&x, form).unwrap().to_vec1::<f32>().unwrap();
        assert!(y[0].abs() < 1e-27 && y[1].abs() < 1e-27 && y[2..] == [0.0, 40.0, 400.0], "{form:?}: {y:?}");
    }
}

/// PyTorch's `gelu` with and without `approximate="tanh"`, and `x * sigmoid(1.702 * x)`.
#[test]
fn forms_of_gelu_differ_as_pytorchs_do() {
    let x = Tensor::new(&[-2.0f32, -0.5, 1.5], &candle_core::Device::Cpu).unwrap();
    for (form, expected) in [
        (Gelu::Exact, [-0.045_500_26f32, -0.154_268_77, 1.399_789_2]),
        (Gelu::Tanh, [-0.045_402_3, -0.154_286, 1.399_571_6]),
        (Gelu::Quick, [-0.064_341_38, -0.149_611_56, 1.391_662_2]),
    ] {
        close(&gelu(&x, form).unwrap(), &Tensor::new(&expected, &candle_core::Device::Cpu).unwrap(), 1e-6);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, w, b) = (variable("x", &[270, 300]), variable("w", &[300]), variable("b", &[300]));
    let run = || {
        let y = gelu(&layer_norm(&x, [&w, &b], 1e-6).unwrap(), Gelu::Exact).unwrap();
        let y = attention([&y, &x, &y], &[90, 100, 80], 3).unwrap();
        let y = causal_attention([&y, &x, &y], &[90, 100, 80], 3).unwrap();
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
