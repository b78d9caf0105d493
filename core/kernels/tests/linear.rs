//! Dense layers against candle's own operations in f64.

mod common;

use candle_core::{Result, Tensor};
use common::{bits, close, double, draw, variable, with_threads};
use hashlab_kernels::{backward, linear, linear_relu};

type Layer = fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor>;

/// Compares a layer's value and gradients with the f64 formulation, where `apply` falls back to candle.
fn check(layer: Layer, input: &[usize], out: usize, bias: bool) {
    let features = input[input.len() - 1];
    let (x, w, b) = (variable("x", input), variable("w", &[out, features]), variable("b", &[out]));
    let (xd, wd, bd) = (double(&x), double(&w), double(&b));
    let y = layer(&x, &w, bias.then_some(b.as_tensor())).unwrap();
    let yd = layer(&xd, &wd, bias.then_some(bd.as_tensor())).unwrap();
    close(&y, &yd, 1e-5);
    let (loss, loss_d) = (y.sqr().unwrap().sum_all().unwrap(), yd.sqr().unwrap().sum_all().unwrap());
    let expected = loss_d.backward().unwrap();
    for grads in [backward(&loss).unwrap(), loss.backward().unwrap()] {
        close(grads.get(&x).unwrap(), expected.get(&xd).unwrap(), 1e-5);
        close(grads.get(&w).unwrap(), expected.get(&wd).unwrap(), 1e-5);
        assert_eq!(grads.get(&b).is_some(), bias);
        if bias {
            close(grads.get(&b).unwrap(), expected.get(&bd).unwrap(), 1e-5);
        }
    }
}

#[test]
fn values_and_gradients_equal_candles() {
    for bias in [false, true] {
        for layer in [linear as Layer, linear_relu] {
            check(layer, &[1, 3], 2, bias);
            check(layer, &[17, 33], 19, bias);
            check(layer, &[90, 33], 19, bias);
            check(layer, &[4, 5, 70], 130, bias);
        }
    }
}

#[test]
fn a_strided_input_is_read_through_its_strides() {
    let x = draw("x", &[6, 9]).t().unwrap();
    let w = draw("w", &[4, 6]);
    close(&linear(&x, &w, None).unwrap(), &x.matmul(&w.t().unwrap()).unwrap(), 1e-6);
}

#[test]
fn a_constant_input_gets_no_gradient() {
    let (x, w) = (draw("x", &[5, 6]), variable("w", &[4, 6]));
    let grads = backward(&linear(&x, &w, None).unwrap().sum_all().unwrap()).unwrap();
    assert!(grads.get(&x).is_none());
    assert!(grads.get(&w).is_some());
}

#[test]
fn a_constant_layer_passes_its_gradient_on_and_gets_none() {
    let (x, w, b) = (variable("x", &[5, 6]), draw("w", &[4, 6]), draw("b", &[4]));
    let grads = backward(&linear(&x, &w, Some(&b)).unwrap().sum_all().unwrap()).unwrap();
    assert!(grads.get(&w).is_none() && grads.get(&b).is_none());
    let expected = draw("ones", &[5, 4]).ones_like().unwrap().matmul(&w).unwrap();
    close(grads.get(&x).unwrap(), &expected, 1e-6);
}

#[test]
fn a_weight_used_twice_and_elsewhere_sums_its_gradients() {
    let (x1, x2, w) = (draw("x1", &[5, 6]), draw("x2", &[3, 6]), variable("w", &[4, 6]));
    let loss = |w: &Tensor, x1: &Tensor, x2: &Tensor| -> Result<Tensor> {
        let views = (linear(x1, w, None)?.sqr()?.sum_all()? + linear(x2, w, None)?.sqr()?.sum_all()?)?;
        views + w.sqr()?.sum_all()?
    };
    let (wd, x1d, x2d) = (double(&w), double(&x1), double(&x2));
    let grads = backward(&loss(&w, &x1, &x2).unwrap()).unwrap();
    let expected = loss(&wd, &x1d, &x2d).unwrap().backward().unwrap();
    close(grads.get(&w).unwrap(), expected.get(&wd).unwrap(), 1e-6);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, w, b) = (draw("x", &[200, 300]), variable("w", &[250, 300]), variable("b", &[250]));
    let run = || {
        let y = linear_relu(&x, &w, Some(&b)).unwrap();
        let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        [bits(&y), bits(grads.get(&w).unwrap()), bits(grads.get(&b).unwrap())]
    };
    let one = with_threads(1, run);
    for threads in [2, 3, 5] {
        assert!(one == with_threads(threads, run), "{threads} threads");
    }
}

#[test]
fn a_misshapen_weight_is_an_error_that_names_the_shapes() {
    let error = linear(&draw("x", &[5, 6]), &draw("w", &[4, 7]), None).unwrap_err().to_string();
    assert!(error.contains("[4, 7]") && error.contains("[5, 6]"), "{error}");
    assert!(linear(&draw("x", &[5, 0]), &draw("w", &[4, 0]), None).is_err());
    assert_eq!(linear(&draw("x", &[0, 6]), &draw("w", &[4, 6]), None).unwrap().dims(), [0, 4]);
}
