//! Gaussian error linear units (Hendrycks and Gimpel, arXiv 1606.08415), exact and in two approximations.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use hashlab_simd::vectorized;

use super::CHUNK;
use super::exp::exp;
use crate::conv::by_pixels;
use crate::cpu;

/// The forms of the activation: x times a share of it, which rises from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// The share is the distribution function of the standard normal: PyTorch's `gelu` without approximation.
    Exact,
    /// The share is the logistic function of `2·√(2/π)·(x + 0.044715·x³)`: PyTorch's `gelu` with `approximate="tanh"`.
    Tanh,
    /// The share is the logistic function of `1.702·x`: CLIP's `quick_gelu`.
    Quick,
}

/// Computes the activation of every element.
///
/// # Errors
/// If a tensor operation fails.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if crate::gpu::takes_frozen(&[x]) {
        return super::cuda::gelu(x, form);
    }
    if cpu::is_f32(&[x]) { x.contiguous()?.apply_op1(form) } else { form.plain(x) }
}

impl Gelu {
    /// The formulation in candle's own operations.
    fn plain(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Exact => x.gelu_erf(),
            Self::Tanh => x.gelu(),
            // The logistic function by tanh, whose derivative does not overflow.
            Self::Quick => x * (((x * 0.851)?.tanh()? + 1.0)? * 0.5)?,
        }
    }

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            Self::Exact => x * normal(x).0,
            Self::Tanh => x * logistic(cubic(x).0),
            Self::Quick => x * logistic(QUICK * x),
        }
    }

    /// The derivative; that of x·σ(z) is σ(z) + x·σ(z)·(1 − σ(z))·z′.
    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let (z, dz) = match self {
            Self::Exact => {
                let (below, density) = normal(x);
                return below + x * density;
            }
            Self::Tanh => cubic(x),
            Self::Quick => (QUICK * x, QUICK),
        };
        let share = logistic(z);
        share + x * share * (1.0 - share) * dz
    }

    /// Writes the values of `x`. The form is chosen outside of the loop, which the compiler turns into vector code.
    fn values(self, x: &[f32], out: &mut [MaybeUninit<f32>]) {
        macro_rules! write {
            ($form:expr, $out:expr, $x:expr) => {
                for (out, x) in $out.iter_mut().zip($x) {
                    out.write($form.value(*x));
                }
            };
        }
        let form = self;
        vectorized!(|out: &'a mut [MaybeUninit<f32>], x: &'a [f32], form: Gelu| {
            match form {
                Gelu::Exact => write!(Gelu::Exact, out, x),
                Gelu::Tanh => write!(Gelu::Tanh, out, x),
                Gelu::Quick => write!(Gelu::Quick, out, x),
            }
        });
    }

    /// Writes `dy` times the derivative at `x`.
    fn gradients(self, x: &[f32], dy: &[f32], out: &mut [MaybeUninit<f32>]) {
        macro_rules! write {
            ($form:expr, $out:expr, $x:expr, $dy:expr) => {
                for ((out, x), dy) in $out.iter_mut().zip($x).zip($dy) {
                    out.write(dy * $form.slope(*x));
                }
            };
        }
        let form = self;
        vectorized!(|out: &'a mut [MaybeUninit<f32>], x: &'a [f32], dy: &'a [f32], form: Gelu| {
            match form {
                Gelu::Exact => write!(Gelu::Exact, out, x, dy),
                Gelu::Tanh => write!(Gelu::Tanh, out, x, dy),
                Gelu::Quick => write!(Gelu::Quick, out, x, dy),
            }
        });
    }
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = cpu::elements(x, layout)?;
        let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| self.values(&x[range], out);
        // SAFETY: `out` and `range` are equally long.
        let y = unsafe { by_pixels(x.len(), 1, CHUNK, body) };
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = cpu::with_elements(x, |x| {
            cpu::with_elements(dy, |dy| {
                let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
                    self.gradients(&x[range.clone()], &dy[range], out);
                };
                // SAFETY: `out` and `range` are equally long.
                Ok(unsafe { by_pixels(x.len(), 1, CHUNK, body) })
            })
        })?;
        Ok(Some(cpu::tensor(dx, x.shape())?))
    }
}

/// The factor of [`Gelu::Quick`].
const QUICK: f32 = 1.702;

/// The argument of [`Gelu::Tanh`]'s logistic function and its derivative.
#[inline(always)]
fn cubic(x: f32) -> (f32, f32) {
    /// 2·√(2/π).
    const SCALE: f32 = 2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    const CUBE: f32 = 0.044_715;
    let square = x * x;
    (SCALE * x * (1.0 + CUBE * square), SCALE * (1.0 + 3.0 * CUBE * square))
}

#[inline(always)]
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Distribution function and density of the standard normal.
///
/// The former by formula 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions", to 1e-7.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    const A: [f32; 5] = [0.254_829_6, -0.284_496_72, 1.421_413_8, -1.453_152_1, 1.061_405_4];
    const P: f32 = 0.327_591_1;
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let gauss = exp(-z * z);
    let t = 1.0 / (1.0 + P * z);
    let beyond = 0.5 * gauss * t * (A[0] + t * (A[1] + t * (A[2] + t * (A[3] + t * A[4]))));
    let below = if x < 0.0 { beyond } else { 1.0 - beyond };
    (below, gauss * (0.5 * std::f32::consts::FRAC_1_SQRT_2 * std::f32::consts::FRAC_2_SQRT_PI))
}
