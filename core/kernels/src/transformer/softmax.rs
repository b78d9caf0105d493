//! Softmax.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};

use super::exp::exp;
use super::{CHUNK, sum};
use crate::conv::by_pixels;
use crate::cpu;

/// Computes the softmax of `scale · x` along the last axis.
///
/// # Errors
/// If `x` has no last axis, or an empty one.
pub fn softmax(x: &Tensor, scale: f64) -> Result<Tensor> {
    if x.dims().last().is_none_or(|len| *len == 0) {
        bail!("the softmax of rows of shape {:?}", x.dims());
    }
    if cpu::is_f32(&[x]) {
        return x.contiguous()?.apply_op1(Softmax { scale: scale as f32 });
    }
    let x = (x * scale)?;
    let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

struct Softmax {
    scale: f32,
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, len) = (cpu::elements(x, layout)?, layout.dims()[layout.dims().len() - 1]);
        let body = |rows: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let x = &x[rows.start * len..rows.end * len];
            pulp::Arch::new().dispatch(|| {
                for (out, x) in out.chunks_exact_mut(len).zip(x.chunks_exact(len)) {
                    let largest = x.iter().fold(f32::NEG_INFINITY, |largest, x| largest.max(self.scale * x));
                    for (out, x) in out.iter_mut().zip(x) {
                        out.write(exp(self.scale * x - largest));
                    }
                    // SAFETY: the loop above initialised every element.
                    let e = |i: usize| unsafe { out[i].assume_init() };
                    let inverse = 1.0 / sum(len, e);
                    for out in &mut *out {
                        // SAFETY: as above.
                        let e = unsafe { out.assume_init() };
                        out.write(e * inverse);
                    }
                }
            });
        };
        // SAFETY: the chunk of `x` is as long as `out`.
        let y = unsafe { by_pixels(x.len() / len, len, CHUNK.div_ceil(len), body) };
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    /// dx = scale · y · (dy − Σ y·dy).
    fn bwd(&self, _: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let len = y.dim(D::Minus1)?;
        let dx = cpu::with_elements(y, |y| {
            cpu::with_elements(dy, |dy| {
                let body = |rows: Range<usize>, out: &mut [MaybeUninit<f32>]| {
                    let [y, dy] = [y, dy].map(|t| t[rows.start * len..rows.end * len].chunks_exact(len));
                    pulp::Arch::new().dispatch(|| {
                        for ((out, y), dy) in out.chunks_exact_mut(len).zip(y).zip(dy) {
                            let mean = sum(len, |i| y[i] * dy[i]);
                            for ((out, y), dy) in out.iter_mut().zip(y).zip(dy) {
                                out.write(self.scale * y * (dy - mean));
                            }
                        }
                    });
                };
                // SAFETY: the chunks of `y` and `dy` are as long as `out`.
                Ok(unsafe { by_pixels(y.len() / len, len, CHUNK.div_ceil(len), body) })
            })
        })?;
        Ok(Some(cpu::tensor(dx, y.shape())?))
    }
}
