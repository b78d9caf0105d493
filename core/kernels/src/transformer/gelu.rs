//! The Gaussian error linear unit (Hendrycks and Gimpel, arXiv 1606.08415).

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::CHUNK;
use super::exp::exp;
use crate::conv::by_pixels;
use crate::cpu;
use crate::simd::vectorized;

/// Computes `x·Φ(x)`, Φ being the distribution function of the standard normal (PyTorch's `gelu` without approximation).
///
/// # Errors
/// Those of tensor operations.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if cpu::is_f32(&[x]) { x.contiguous()?.apply_op1(Gelu) } else { x.gelu_erf() }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = cpu::elements(x, layout)?;
        let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let x = &x[range];
            vectorized!(|out: &'a mut [MaybeUninit<f32>], x: &'a [f32]| {
                for (out, x) in out.iter_mut().zip(x) {
                    out.write(x * normal(*x).0);
                }
            });
        };
        // SAFETY: `out` and `range` are equally long.
        let y = unsafe { by_pixels(x.len(), 1, CHUNK, body) };
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = cpu::with_elements(x, |x| {
            cpu::with_elements(dy, |dy| {
                let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
                    let (x, dy) = (&x[range.clone()], &dy[range]);
                    vectorized!(|out: &'a mut [MaybeUninit<f32>], x: &'a [f32], dy: &'a [f32]| {
                        for ((out, x), dy) in out.iter_mut().zip(x).zip(dy) {
                            let (below, density) = normal(*x);
                            out.write(dy * (below + x * density));
                        }
                    });
                };
                // SAFETY: `out` and `range` are equally long.
                Ok(unsafe { by_pixels(x.len(), 1, CHUNK, body) })
            })
        })?;
        Ok(Some(cpu::tensor(dx, x.shape())?))
    }
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
