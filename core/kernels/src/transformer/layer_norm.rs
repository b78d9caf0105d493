//! Layer normalization (Ba et al., arXiv 1607.06450).

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;

use super::{CHUNK, sum};
use crate::accumulate::widen;
use crate::backward::deposit;
use crate::conv::by_pixels;
use crate::cpu;
use crate::linear::column_sums;

/// Computes `y = (x − mean) / √(variance + eps) · weight + bias` with the moments of each row of `x`.
///
/// # Shapes
/// `x` is `(…, d)`, `weight` and `bias` are `(d)`, the result has the shape of `x`.
///
/// The norms of stacked runs have `x` `(runs, n, d)`, `weight` and `bias` `(runs, d)`; on the CPU the result and the
/// gradients have the bits of each run alone.
///
/// # Errors
/// If the shapes do not fit together.
pub fn layer_norm(x: &Tensor, [weight, bias]: [&Tensor; 2], eps: f64) -> Result<Tensor> {
    let fits = match (x.dims(), weight.dims()) {
        ([.., columns], [len]) => columns == len,
        ([of_x, _, columns], [runs, len]) => (of_x, columns) == (runs, len),
        _ => false,
    };
    if !fits || weight.elem_count() == 0 || bias.dims() != weight.dims() {
        bail!("a layer norm of weight {:?} and bias {:?} over {:?}", weight.dims(), bias.dims(), x.dims());
    }
    if cpu::is_f32(&[x, weight, bias]) {
        let op = LayerNorm { eps: eps as f32 };
        return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op);
    }
    #[cfg(feature = "cuda")]
    if weight.rank() == 1 && crate::gpu::takes_frozen(&[x, weight, bias]) {
        return super::cuda::layer_norm(x, [weight, bias], eps);
    }
    let values = widen(x)?;
    let centered = values.broadcast_sub(&values.mean_keepdim(D::Minus1)?)?;
    let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
    let normalized = centered.broadcast_div(&(variance + eps)?.sqrt()?)?;
    // `(d)`, or `(runs, 1, d)`.
    let by_row = |of_columns: &Tensor| match of_columns.rank() {
        1 => Ok(of_columns.clone()),
        _ => of_columns.unsqueeze(1),
    };
    let [weight, bias] = [&by_row(weight)?, &by_row(bias)?];
    normalized.broadcast_mul(&widen(weight)?)?.broadcast_add(&widen(bias)?)?.to_dtype(x.dtype())
}

struct LayerNorm {
    eps: f32,
}

impl LayerNorm {
    /// Returns the mean of a row and one over its deviation.
    #[inline(always)]
    fn moments(&self, x: &[f32]) -> (f32, f32) {
        let share = 1.0 / x.len() as f32;
        let mean = sum(x.len(), |i| x[i]) * share;
        let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) * share;
        (mean, 1.0 / (variance + self.eps).sqrt())
    }

    fn forward(&self, x: &[f32], w: &[f32], b: &[f32]) -> Vec<f32> {
        let len = w.len();
        let body = |rows: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let x = &x[rows.start * len..rows.end * len];
            let op = self;
            vectorized!(|out: &'a mut [MaybeUninit<f32>],
                         op: &'a LayerNorm,
                         x: &'a [f32],
                         w: &'a [f32],
                         b: &'a [f32]| {
                let len = w.len();
                for (out, x) in out.chunks_exact_mut(len).zip(x.chunks_exact(len)) {
                    let (mean, inverse) = op.moments(x);
                    for (((out, x), w), b) in out.iter_mut().zip(x).zip(w).zip(b) {
                        out.write((x - mean) * inverse * w + b);
                    }
                }
            });
        };
        // SAFETY: the chunk of `x` is as long as `out`, rows, `w` and `b` as `len`.
        unsafe { by_pixels(x.len() / len, len, CHUNK.div_ceil(len), body) }
    }

    /// With x̂ the normalized row and g = dy · weight: dx = (g − mean(g) − x̂ · mean(g · x̂)) / deviation.
    fn input_gradient(&self, x: &[f32], weight: &[f32], dy: &[f32]) -> Vec<f32> {
        let len = weight.len();
        let body = |rows: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let ([x, dy], op) = ([x, dy].map(|t| &t[rows.start * len..rows.end * len]), self);
            vectorized!(|out: &'a mut [MaybeUninit<f32>],
                         op: &'a LayerNorm,
                         x: &'a [f32],
                         dy: &'a [f32],
                         weight: &'a [f32]| {
                let (len, share) = (weight.len(), 1.0 / weight.len() as f32);
                for ((out, x), dy) in out.chunks_exact_mut(len).zip(x.chunks_exact(len)).zip(dy.chunks_exact(len)) {
                    let (mean, inverse) = op.moments(x);
                    let shift = sum(len, |i| dy[i] * weight[i]) * share;
                    let slope = sum(len, |i| dy[i] * weight[i] * (x[i] - mean)) * share * inverse * inverse;
                    for (((out, x), dy), weight) in out.iter_mut().zip(x).zip(dy).zip(weight) {
                        out.write(inverse * (dy * weight - shift - (x - mean) * slope));
                    }
                }
            });
        };
        // SAFETY: the chunks of `x` and `dy` are as long as `out`, rows and `weight` as `len`.
        unsafe { by_pixels(x.len() / len, len, CHUNK.div_ceil(len), body) }
    }

    /// Returns dy · x̂, whose column sums are the gradient of the weight.
    fn products(&self, x: &[f32], dy: &[f32], len: usize) -> Vec<f32> {
        let body = |rows: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let ([x, dy], op) = ([x, dy].map(|t| &t[rows.start * len..rows.end * len]), self);
            vectorized!(|out: &'a mut [MaybeUninit<f32>],
                         op: &'a LayerNorm,
                         x: &'a [f32],
                         dy: &'a [f32],
                         len: usize| {
                for ((out, x), dy) in out.chunks_exact_mut(len).zip(x.chunks_exact(len)).zip(dy.chunks_exact(len)) {
                    let (mean, inverse) = op.moments(x);
                    for ((out, x), dy) in out.iter_mut().zip(x).zip(dy) {
                        out.write(dy * (x - mean) * inverse);
                    }
                }
            });
        };
        // SAFETY: the chunks of `x` and `dy` are as long as `out`.
        unsafe { by_pixels(x.len() / len, len, CHUNK.div_ceil(len), body) }
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, b) = (cpu::elements(x, xl)?, cpu::elements(w, wl)?, cpu::elements(b, bl)?);
        let y = of_runs(wl.dims(), x.len(), |rows, columns| self.forward(&x[rows], &w[columns.clone()], &b[columns]));
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = w.dims();
        let len = shape[shape.len() - 1];
        // The sums of the columns of each run, behind each other.
        let sums = |of: &[f32], sum: Option<Vec<f32>>| {
            of_runs(shape, of.len(), |rows, columns| {
                column_sums(sum.as_ref().map(|sum| sum[columns].to_vec()), &of[rows], len)
            })
        };
        cpu::with_elements(x, |xs| {
            cpu::with_elements(dy, |dys| {
                let gradient = |w: &[f32]| {
                    of_runs(shape, xs.len(), |rows, columns| {
                        self.input_gradient(&xs[rows.clone()], &w[columns], &dys[rows])
                    })
                };
                let dx = match x.track_op() {
                    true => Some(cpu::with_elements(w, |w| cpu::tensor(gradient(w), x.shape()))?),
                    false => None,
                };
                let dw = deposit(w, |sum| sums(&self.products(xs, dys, len), sum))?;
                let db = deposit(b, |sum| sums(dys, sum))?;
                Ok((dx, dw, db))
            })
        })
    }
}

/// Calls `compute` for each run with the places of its part of `elements` elements and of its columns in the weight, of
/// `shape`; returns the results behind each other.
fn of_runs(shape: &[usize], elements: usize, compute: impl Fn(Range<usize>, Range<usize>) -> Vec<f32>) -> Vec<f32> {
    let (runs, len) = match *shape {
        [runs, len] => (runs, len),
        _ => return compute(0..elements, 0..shape[0]),
    };
    let part = elements / runs;
    let parts = (0..runs).map(|run| compute(run * part..(run + 1) * part, run * len..(run + 1) * len));
    parts.collect::<Vec<_>>().concat()
}
