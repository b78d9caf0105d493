//! A NaN is not clamped by an activation: it stays one, and its gradient passes, as in PyTorch.

mod common;

use candle_core::{Device, Result, Tensor};
use common::{draw, values, variable};
use hashlab_kernels::conv::{Activation, Moments, Window, add, conv2d, depthwise_conv2d, fixed_norm};
use hashlab_kernels::{backward, linear_relu};

/// More than a vector of channels, and a rest.
const CHANNELS: usize = 19;

/// Applies `op` to one pixel of NaN and a bias.
#[track_caller]
fn check(op: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) {
    let x = Tensor::full(f32::NAN, (1, 1, 1, CHANNELS), &Device::Cpu).unwrap();
    let bias = variable("bias", &[CHANNELS]);
    let y = op(&x, &bias).unwrap();
    assert!(values(&y).into_iter().all(f64::is_nan));
    let grads = backward(&y.sum_all().unwrap()).unwrap();
    assert_eq!(values(grads.get(&bias).unwrap()), [1.0; CHANNELS]);
}

#[test]
fn nan_passes_every_activation() {
    let square = draw("w", &[CHANNELS, CHANNELS]);
    let ones = Tensor::ones(CHANNELS, candle_core::DType::F32, &Device::Cpu).unwrap();
    check(|x, bias| linear_relu(x, &square, Some(bias)));
    for activation in [Activation::Relu, Activation::Relu6] {
        let dense = square.reshape((CHANNELS, CHANNELS, 1, 1)).unwrap();
        check(|x, bias| conv2d(x, &dense, bias, Window::dense(0), activation));
        let depthwise = ones.reshape((CHANNELS, 1, 1, 1)).unwrap();
        check(|x, bias| depthwise_conv2d(x, &depthwise, bias, Window::dense(0), activation));
        let windows = depthwise.broadcast_as((CHANNELS, 1, 3, 3)).unwrap();
        check(|x, bias| depthwise_conv2d(x, &windows, bias, Window::dense(1), activation));
        let moments = Moments { mean: ones.clone(), variance: ones.clone() };
        check(|x, bias| fixed_norm(x, &moments, [&ones, bias], 1e-5, activation));
        check(|x, bias| add(x, &bias.reshape(x.shape())?, activation));
    }
}
