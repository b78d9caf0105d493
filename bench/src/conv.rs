//! Forward and backward pass of one convolution, with gradients towards input, weight and bias.

use anyhow::Result;
use candle_core::{Device, Var};
use hashlab_kernels::backward;
use hashlab_kernels::conv::{Activation, Window, conv2d};

use crate::{Work, normal};

const IMAGES: usize = 32;

pub(crate) fn work(channels: usize, size: usize, device: &Device) -> Result<Work> {
    let x = Var::from_tensor(&normal("x", &[IMAGES, size, size, channels], 1.0, device)?)?;
    let w = Var::from_tensor(&normal("w", &[channels, channels, 3, 3], 0.05, device)?)?;
    let b = Var::from_tensor(&normal("b", &[channels], 0.05, device)?)?;
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            let y = conv2d(&x, &w, &b, Window::dense(1), Activation::None)?;
            std::hint::black_box(backward(&y)?); // back-propagates ones
        }
        Ok(None)
    }))
}
