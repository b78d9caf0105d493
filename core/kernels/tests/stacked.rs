//! Stacked runs beside each run alone: the same bits of values and gradients, for many shapes.

mod common;

use candle_core::{Device, Result, Tensor, Var};
use common::{bits, check, draw};
use hashlab_kernels::loss::{bernoulli_kl, nt_xent};
use hashlab_kernels::transformer::layer_norm;
use hashlab_kernels::{backward, linear, linear_relu};
use hashlab_rng::stream;

/// Shapes: runs, an even number of rows, columns, and outputs.
fn shapes() -> Vec<[usize; 4]> {
    let mut draws = stream(3, "stacked", &[]);
    let mut all = vec![[1, 2, 1, 1], [3, 64, 16, 8], [2, 130, 33, 140]];
    all.extend(
        (0..30).map(|_| [1 + draws.below(5), 2 + 2 * draws.below(40), 1 + draws.below(70), 1 + draws.below(90)]),
    );
    all
}

/// Compares `op` on stacked variables with `op` on the variables of each run; `shared` ones are those of all runs, and
/// their gradients are not compared.
#[track_caller]
fn same_as_alone(
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
    runs: usize,
    inputs: &[(&str, &[usize])],
    shared: &[Tensor],
) {
    let stacked: Vec<Var> = inputs
        .iter()
        .map(|(name, shape)| Var::from_tensor(&draw(name, &[&[runs], *shape].concat())).unwrap())
        .collect();
    // Losses whose gradients differ by run.
    let weights = draw("weights", &[runs]).abs().unwrap();
    let run = |vars: &[Var], weights: &Tensor| {
        let inputs: Vec<Tensor> = shared.iter().cloned().chain(vars.iter().map(|v| v.as_tensor().clone())).collect();
        let y = op(&inputs).unwrap();
        let axes: Vec<usize> = (weights.rank()..y.rank()).collect();
        let losses = if axes.is_empty() { y.clone() } else { y.sqr().unwrap().sum(axes).unwrap() };
        let grads = backward(&(losses * weights).unwrap().sum_all().unwrap()).unwrap();
        (y, vars.iter().map(|var| grads.get(var).unwrap().clone()).collect::<Vec<_>>())
    };
    let (together, gradients) = run(&stacked, &weights);
    assert_eq!(together.dim(0).unwrap(), runs);
    for at in 0..runs {
        let alone: Vec<Var> = stacked.iter().map(|v| Var::from_tensor(&v.get(at).unwrap()).unwrap()).collect();
        let (value, of_run) = run(&alone, &weights.get(at).unwrap());
        assert_eq!(bits(&together.get(at).unwrap()), bits(&value), "value of run {at}");
        for ((gradient, alone), (name, shape)) in gradients.iter().zip(&of_run).zip(inputs) {
            assert_eq!(bits(&gradient.get(at).unwrap()), bits(alone), "gradient of {name} {shape:?}, run {at}");
        }
    }
}

#[test]
fn layer_norms_of_stacked_runs_have_the_bits_of_each_alone() {
    for [runs, rows, columns, _] in shapes() {
        let inputs = [("x", &[rows, columns][..]), ("w", &[columns]), ("b", &[columns])];
        same_as_alone(|t| layer_norm(&t[0], [&t[1], &t[2]], 1e-5), runs, &inputs, &[]);
    }
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let (x, w) = (zeros(&[2, 5, 3]), zeros(&[3, 3]));
    assert!(layer_norm(&x, [&w, &w], 1e-5).is_err(), "weights of three runs for an input of two");
}

#[test]
fn losses_of_stacked_runs_have_the_bits_of_each_alone() {
    let probabilities = |t: &Tensor| (t.neg()?.exp()? + 1.0)?.recip();
    for [runs, rows, bits, _] in shapes() {
        same_as_alone(|t| nt_xent(&(&t[0] * 3.0)?), runs, &[("similarity", &[rows, rows])], &[]);
        let inputs: [(&str, &[usize]); 2] = [("p", &[rows, bits]), ("q", &[rows, bits])];
        same_as_alone(|t| bernoulli_kl(&probabilities(&t[0])?, &probabilities(&t[1])?), runs, &inputs, &[]);
        let kl = |t: &[Tensor]| bernoulli_kl(&probabilities(&t[0])?, &probabilities(&t[0])?.detach());
        same_as_alone(kl, runs, &inputs[..1], &[]);
    }
}

#[test]
fn layers_of_stacked_runs_have_the_bits_of_each_alone() {
    for [runs, rows, features, out] in shapes() {
        let inputs: [(&str, &[usize]); 3] = [("w", &[out, features]), ("b", &[out]), ("x", &[rows, features])];
        same_as_alone(|t| linear_relu(&t[2], &t[0], Some(&t[1])), runs, &inputs, &[]);
        // Twice the same layer: gradients of both uses add up.
        let twice = |t: &[Tensor]| linear(&t[2], &t[0], Some(&t[1]))? + linear(&(&t[2] * 0.5)?, &t[0], None)?;
        same_as_alone(twice, runs, &inputs, &[]);
        let x = draw("x", &[rows, features]);
        same_as_alone(|t| linear(&t[0], &t[1], Some(&t[2])), runs, &inputs[..2], &[x]);
    }
}

#[test]
fn values_and_gradients_of_stacked_runs_equal_candles() {
    let probabilities = |t: &Tensor| (t.neg()?.exp()? + 1.0)?.recip();
    for [runs, rows, features, out] in shapes().into_iter().take(12) {
        check(|t| nt_xent(&t[0]), &[("similarity", &[runs, rows, rows])], &[]);
        let shape: &[usize] = &[runs, rows, features];
        check(|t| bernoulli_kl(&probabilities(&t[0])?, &probabilities(&t[1])?), &[("p", shape), ("q", shape)], &[]);
        let layer: [(&str, &[usize]); 2] = [("w", &[runs, out, features]), ("b", &[runs, out])];
        for x in [shape, &[rows, features]] {
            let inputs = [layer[0], layer[1], ("x", x)];
            check(|t| linear(&t[2], &t[0], Some(&t[1])), &inputs, &[]);
        }
    }
}

#[test]
fn stacks_that_do_not_fit_together_are_errors() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let layer = |x: &[usize], w: &[usize], b: &[usize]| linear(&zeros(x), &zeros(w), Some(&zeros(b)));
    assert!(layer(&[3, 4, 5], &[3, 2, 5], &[3, 2]).is_ok());
    for (x, w, b) in [
        (&[2, 4, 5][..], &[3, 2, 5][..], &[3, 2][..]), // other runs
        (&[3, 4, 5], &[3, 2, 5], &[2]),                // a bias without runs
        (&[3, 4, 6], &[3, 2, 5], &[3, 2]),             // other features
        (&[3, 3, 4, 5], &[3, 2, 5], &[3, 2]),          // an axis too many
        (&[5], &[3, 2, 5], &[3, 2]),                   // an axis too few
    ] {
        assert!(layer(x, w, b).is_err(), "{x:?} {w:?} {b:?}");
    }
    for shape in [&[2, 3, 3][..], &[2, 4, 2], &[0, 2, 2], &[1, 2, 4, 4]] {
        assert!(nt_xent(&zeros(shape)).is_err(), "{shape:?}");
    }
    assert!(bernoulli_kl(&zeros(&[2, 2, 3]), &zeros(&[2, 3])).is_err());
    assert!(bernoulli_kl(&zeros(&[1, 2, 2, 3]), &zeros(&[1, 2, 2, 3])).is_err());
}
