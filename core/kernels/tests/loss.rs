//! Losses against candle's own operations in f64, values and gradients.

mod common;

use candle_core::Tensor;
use common::{bits, check, double, draw, values, variable, with_threads};
use hashlab_kernels::loss::{bernoulli_kl, nt_xent};
use hashlab_kernels::{backward, threads};
use hashlab_rng::stream;

/// Probabilities between 0.01 and 0.99, whose complements are accurate in single precision.
fn probabilities(t: &Tensor) -> candle_core::Result<Tensor> {
    ((t * 1.5)?.neg()?.exp()? + 1.0)?.recip()
}

#[test]
fn values_and_gradients_equal_candles() {
    let mut draws = stream(14, "shapes", &[]);
    let (rows, bits): (Vec<_>, Vec<_>) = (0..20).map(|_| (2 + 2 * draws.below(40), 1 + draws.below(70))).unzip();
    for (rows, bits) in [2, 64, 300].into_iter().chain(rows).zip([1, 128, 16].into_iter().chain(bits)) {
        check(|t| nt_xent(&(&t[0] * 4.0)?), &[("similarity", &[rows, rows])], &[]);
        let shape = &[rows, bits];
        check(|t| bernoulli_kl(&probabilities(&t[0])?, &probabilities(&t[1])?), &[("p", shape), ("q", shape)], &[]);
        check(|t| bernoulli_kl(&probabilities(&t[0])?, &probabilities(&t[1])?), &[("p", shape)], &[("q", shape)]);
    }
}

#[test]
fn a_row_is_no_rival_of_itself() {
    // Items as far apart as can be: what is left is −log of the partner's share among 3 others.
    let near = |row: usize, column: usize| if row % 2 == column % 2 { 0.7f32 } else { -0.2 };
    for itself in [0.0, 1e6] {
        let cells = (0..16).map(|i| if i / 4 == i % 4 { itself } else { near(i / 4, i % 4) });
        let similarity = Tensor::from_iter(cells, &candle_core::Device::Cpu).unwrap().reshape((4, 4)).unwrap();
        let expected = (1.0 + 2.0 * (-0.9f64).exp()).ln();
        assert!((values(&nt_xent(&similarity).unwrap())[0] - expected).abs() < 1e-6);
    }
}

#[test]
fn certain_bits_have_finite_losses_as_in_double_precision() {
    let p = Tensor::new(&[[0f32, 1.0, 0.0, 1.0, 0.5]], &candle_core::Device::Cpu).unwrap();
    let q = Tensor::new(&[[0f32, 0.0, 1.0, 1.0, 0.5]], &candle_core::Device::Cpu).unwrap();
    let (single, exact) = (bernoulli_kl(&p, &q).unwrap(), bernoulli_kl(&double(&p), &double(&q)).unwrap());
    assert!((values(&single)[0] - values(&exact)[0]).abs() < 1e-4 && values(&exact)[0] > 36.0);
}

#[test]
fn a_nan_reaches_the_loss() {
    for at in [[0, 1], [3, 1]] {
        let cells = (0..16).map(|i| if [i / 4, i % 4] == at { f32::NAN } else { 0.1 });
        let similarity = Tensor::from_iter(cells, &candle_core::Device::Cpu).unwrap().reshape((4, 4)).unwrap();
        assert!(values(&nt_xent(&similarity).unwrap())[0].is_nan());
        let p = similarity.narrow(0, at[0], 1).unwrap();
        assert!(values(&bernoulli_kl(&p, &p.ones_like().unwrap()).unwrap())[0].is_nan());
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, p) = (variable("x", &[300, 300]), variable("p", &[300, 64]));
    let run = || {
        let kl = bernoulli_kl(&probabilities(&p).unwrap(), &probabilities(&p).unwrap().detach()).unwrap();
        let loss = (nt_xent(&x).unwrap() + kl).unwrap();
        let grads = backward(&loss).unwrap();
        [bits(&loss), bits(grads.get(&x).unwrap()), bits(grads.get(&p).unwrap())]
    };
    let one = with_threads(1, run);
    assert!(one == with_threads(3, run));
    assert!(one == with_threads(3, || threads::serial(run)));
}

#[test]
fn wrong_shapes_are_errors() {
    for shape in [&[3, 3][..], &[2, 4], &[0, 0], &[4]] {
        assert!(nt_xent(&draw("x", shape)).is_err(), "{shape:?}");
    }
    assert!(bernoulli_kl(&draw("p", &[2, 3]), &draw("q", &[3, 2])).is_err());
}
