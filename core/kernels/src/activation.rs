//! Clamping activations.

use candle_core::{Result, Tensor};
use hashlab_simd::vectorized;

use crate::cpu;

/// Activation that a layer applies in the same pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    None,
    /// `max(0, ·)`.
    Relu,
    /// `min(max(0, ·), 6)`.
    Relu6,
}

impl Activation {
    /// The interval that results are clamped to.
    pub(crate) fn limits(self) -> (f32, f32) {
        match self {
            Self::None => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }

    /// The formulation in candle's own operations.
    pub(crate) fn plain(self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(x),
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0f32, 6f32),
        }
    }

    /// Returns the gradient before the activation, whose value is `y`.
    pub(crate) fn gradient(self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let limits = self.limits();
        if self == Self::None {
            return dy.contiguous();
        }
        cpu::with_elements(dy, |dy| {
            cpu::with_elements(y, |out| {
                let mut gradient = dy.to_vec();
                let d = &mut gradient[..];
                vectorized!(|d: &'a mut [f32], out: &'a [f32], limits: (f32, f32)| {
                    for (d, y) in d.iter_mut().zip(out) {
                        *d = before(*d, *y, limits);
                    }
                });
                cpu::tensor(gradient, y.shape())
            })
        })
    }
}

/// Clamps to [`Activation::limits`]; a NaN stays one, which `f32::max` would drop.
#[inline(always)]
pub(crate) fn clamp(x: f32, (low, high): (f32, f32)) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The gradient before an activation of these limits, whose value is `y` and whose gradient is `dy`: 0 where `y` was
/// clamped. A NaN was not, as in PyTorch.
#[inline(always)]
pub(crate) fn before(dy: f32, y: f32, (low, high): (f32, f32)) -> f32 {
    if y <= low || y >= high { 0.0 } else { dy }
}
