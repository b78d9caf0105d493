//! Convolutions in candle's graph.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::geometry::{Geometry, Window};
use super::norm::{Moments, fixed_norm};
use super::rows::{Rows, by_pixels};
use super::{Activation, dense, depthwise, epilogue};
use crate::accumulate::{broadcast_add, widen};
use crate::backward::deposit;
use crate::linear::{accumulate, column_sums};
use crate::matmul::Matrix;
use crate::{cpu, threads};

/// Convolves `x` with `w`, adds `b` and applies `activation`.
///
/// The backward pass computes no gradient towards a constant `x`.
///
/// # Shapes
/// `x` is `(n, h, w, in)`, `w` is `(out, in, kh, kw)`, `b` is `(out)`, the result `(n, h', w', out)`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn conv2d(x: &Tensor, w: &Tensor, b: &Tensor, window: Window, activation: Activation) -> Result<Tensor> {
    Conv { depthwise: false, window, activation }.apply(x, w, b)
}

/// Convolves every channel of `x` with its own window.
///
/// # Shapes
/// `x` is `(n, h, w, c)`, `w` is `(c, 1, kh, kw)`, `b` is `(c)`, the result `(n, h', w', c)`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn depthwise_conv2d(x: &Tensor, w: &Tensor, b: &Tensor, window: Window, activation: Activation) -> Result<Tensor> {
    Conv { depthwise: true, window, activation }.apply(x, w, b)
}

/// Convolves `x` with `w`, normalizes the result by moments that are constants and applies `activation`: [`conv2d`]
/// without bias and [`fixed_norm`], on a GPU in one pass over the result if weight and bias of the norm are constants,
/// too.
///
/// # Shapes
/// `x` is `(n, h, w, in)`, `w` is `(out, in, kh, kw)`; the moments, weight and bias of the norm are `(out)`, the result
/// `(n, h', w', out)`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn conv2d_norm(
    x: &Tensor,
    w: &Tensor,
    norm: (&Moments, [&Tensor; 2], f64),
    window: Window,
    activation: Activation,
) -> Result<Tensor> {
    let (moments, [weight, bias], eps) = norm;
    #[cfg(feature = "cuda")]
    {
        let conv = Conv { depthwise: false, window, activation };
        let g = conv.geometry(x.dims(), w.dims(), bias.dims())?;
        let constants = [&moments.mean, &moments.variance, weight, bias];
        let constant = constants.iter().all(|t| t.dims() == bias.dims() && !t.track_op());
        if constant && conv.on_gpu(&g, [x, w]) && crate::gpu::is_f32(&constants) {
            let then = super::cuda::Then::Norm(constants, eps as f32);
            return super::cuda::convolve(x, w, then, g, activation);
        }
    }
    let zeros = Tensor::zeros(w.dim(0)?, w.dtype(), w.device())?;
    fixed_norm(&conv2d(x, w, &zeros, window, Activation::None)?, moments, [weight, bias], eps, activation)
}

/// A convolution as an operation of candle's graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub(super) depthwise: bool,
    pub(super) window: Window,
    pub(super) activation: Activation,
}

impl Conv {
    fn apply(self, x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
        let _g = self.geometry(x.dims(), w.dims(), b.dims())?;
        #[cfg(feature = "cuda")]
        if self.on_gpu(&_g, [x, w]) {
            use super::cuda::{Then, convolve};
            if crate::gpu::takes(&[x, w, b]) {
                return convolve(x, w, Then::Bias(b), _g, self.activation);
            }
            // A constant of mixed precision, which is not rounded: a norm of mean 0, variance and weight 1.
            if crate::gpu::is_f32(&[b]) && !b.track_op() {
                let (zeros, ones) = (b.zeros_like()?, b.ones_like()?);
                return convolve(x, w, Then::Norm([&zeros, &ones, &ones, b], 0.0), _g, self.activation);
            }
        }
        if cpu::is_f32(&[x, w, b]) {
            x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, self)
        } else {
            self.plain(x, w, b)
        }
    }

    /// Whether a GPU's kernels compute this with gradients: candle computes depthwise convolutions.
    #[cfg(feature = "cuda")]
    fn on_gpu(self, g: &Geometry, [x, w]: [&Tensor; 2]) -> bool {
        let results = w.dims()[0] * g.output_pixels();
        !self.depthwise && crate::gpu::takes(&[x, w]) && (1..1 << 31).contains(&results)
    }

    /// Checks the shapes and sizes the output.
    pub(super) fn geometry(&self, x: &[usize], w: &[usize], b: &[usize]) -> Result<Geometry> {
        let (&[images, height, width, channels], &[out, depth, kh, kw]) = (x, w) else {
            bail!("convolution of {x:?} with {w:?}: expected (n, h, w, in) and (out, in, kh, kw)");
        };
        let fits = if self.depthwise { depth == 1 && out == channels } else { depth == channels };
        if !fits || b != [out] || w.contains(&0) {
            bail!("convolution of input {x:?} with weight {w:?} and bias {b:?}");
        }
        Geometry::new((images, height, width), (kh, kw), self.window, false)
    }

    /// The formulation in candle's own operations.
    pub(super) fn plain(&self, x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
        let g = self.geometry(x.dims(), w.dims(), b.dims())?;
        let y = match (self.depthwise, g.kernel, g.stride) {
            (true, ..) => plain_depthwise(&g, x, w)?,
            (false, (1, 1), 1) => plain_pixels(&g, x, w)?,
            (false, ..) => plain_windows(&g, x, w)?,
        };
        self.activation.plain(broadcast_add(&y, b)?)
    }
}

fn padded(g: &Geometry, x: &Tensor) -> Result<Tensor> {
    x.pad_with_zeros(1, g.before.0, g.after.0)?.pad_with_zeros(2, g.before.1, g.after.1)
}

/// Sums over taps: candle computes the groups of a convolution one after the other, and there are fewer taps than
/// channels.
fn plain_depthwise(g: &Geometry, x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let taps = widen(w)?.permute((2, 3, 1, 0))?.reshape((g.taps(), 1, 1, w.dim(0)?))?;
    let views = g.views(&widen(&padded(g, x)?)?)?;
    let mut terms = views.iter().enumerate().map(|(tap, x)| x.broadcast_mul(&taps.get(tap)?));
    let first = terms.next().expect("a window has a tap")?;
    terms.try_fold(first, |sum, term| sum + term?)?.to_dtype(x.dtype())
}

/// Multiplies pixels in their own layout: candle would copy them, and transpose them twice.
fn plain_pixels(g: &Geometry, x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let pixels = padded(g, x)?.reshape((g.output_pixels(), ()))?;
    pixels.matmul(&w.flatten_from(1)?.t()?)?.reshape((g.images, g.output.0, g.output.1, ()))
}

/// Convolves as candle does.
fn plain_windows(g: &Geometry, x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let even = [g.before.1, g.after.0, g.after.1] == [g.before.0; 3];
    let (image, padding) = if even && g.stride == 1 {
        (x.clone(), g.before.0)
    } else {
        // candle's backward pass fails if the last row and column of windows leave different remainders of the image.
        let (rows, cols) = ((g.output.0 - 1) * g.stride + g.kernel.0, (g.output.1 - 1) * g.stride + g.kernel.1);
        (padded(g, x)?.narrow(1, 0, rows)?.narrow(2, 0, cols)?, 0)
    };
    let image = image.permute((0, 3, 1, 2))?.contiguous()?;
    // On the CPU candle convolves f32 and f64 only. Its products widen half precision there, too.
    let [image, w] = if x.device().is_cpu() { [widen(&image)?, widen(w)?] } else { [image, w.clone()] };
    image.conv2d(&w, padding, g.stride, 1, 1)?.to_dtype(x.dtype())?.permute((0, 2, 3, 1))?.contiguous()
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
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
        let g = self.geometry(xl.dims(), wl.dims(), bl.dims())?;
        let (x, w, b) = (cpu::elements(x, xl)?, cpu::elements(w, wl)?, cpu::elements(b, bl)?);
        let (out, channels, limits) = (b.len(), xl.dims()[3], self.activation.limits());
        let y = if self.depthwise {
            depthwise::forward(&g, x, &depthwise::Packed::new(w, b), limits)
        } else {
            let packed = dense::Weights::forward(w, [out, channels, g.taps()], b, dense::Reuse::Often);
            dense::forward(&g, x, channels, &packed, epilogue::Epilogue { residual: None, limits })
        };
        Ok((CpuStorage::F32(y), (g.images, g.output.0, g.output.1, out).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = self.geometry(x.dims(), w.dims(), b.dims())?;
        let (out, channels) = (w.dim(0)?, x.dim(3)?);
        let dy = self.activation.gradient(y, dy)?;
        cpu::with_elements(&dy, |dy| {
            let db = deposit(b, |sum| column_sums(sum, dy, out))?;
            let dw = cpu::with_elements(x, |x| {
                deposit(w, |sum| {
                    let gradient = match self.depthwise {
                        true => depthwise::weight_gradient(&g, x, dy, channels),
                        false => weight_gradient(&g, x, dy, channels, out),
                    };
                    match sum {
                        Some(sum) => column_sums(Some(sum), &gradient, gradient.len()),
                        None => gradient,
                    }
                })
            })?;
            if !x.track_op() {
                return Ok((None, dw, db));
            }
            let dx = cpu::with_elements(w, |w| {
                Ok(if self.depthwise {
                    depthwise::input_gradient(&g, dy, &depthwise::Packed::new(w, &vec![0.0; channels]))
                } else {
                    dense::input_gradient(&g, dy, out, &dense::Weights::transposed(w, [out, channels, g.taps()]))
                })
            })?;
            Ok((Some(cpu::tensor(dx, x.shape())?), dw, db))
        })
    }
}

/// Returns the gradient of a dense weight in PyTorch's order.
fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], channels: usize, out: usize) -> Vec<f32> {
    /// Parts of the pixels whose sums are added up in order: a fixed number, so that no bit depends on the threads.
    const PARTS: usize = 8;
    let pixels = g.output_pixels();
    if pixels == 0 {
        return vec![0.0; out * channels * g.taps()];
    }
    let part = pixels.div_ceil(PARTS).next_multiple_of(CHUNK);
    let ranges: Vec<_> = (0..pixels).step_by(part).map(|start| start..(start + part).min(pixels)).collect();
    let taps = g.taps();
    let sums: Vec<_> = if ranges.len() < threads::available() {
        // Too few for all threads; the matrix products use the threads instead.
        ranges.into_iter().map(|range| partial_gradient(g, x, dy, [channels, out], range)).collect()
    } else {
        let alone = |range| threads::serial(|| partial_gradient(g, x, dy, [channels, out], range));
        match threads::available() {
            1 => ranges.into_iter().map(alone).collect(),
            _ => ranges.into_par_iter().map(alone).collect(),
        }
    };
    in_pytorchs_order(&sums, [out, taps, channels])
}

/// Adds up matrices `(out, taps · channels)`, in their order, and returns the sum as `(out, channels · taps)`.
fn in_pytorchs_order(terms: &[Vec<f32>], [out, taps, channels]: [usize; 3]) -> Vec<f32> {
    let len = taps * channels;
    let body = |filters: Range<usize>, to: &mut [MaybeUninit<f32>]| {
        for (filter, to) in filters.zip(to.chunks_exact_mut(len)) {
            let mut of_filter = terms.iter().map(|term| &term[filter * len..][..len]);
            let mut sum = of_filter.next().expect("a term").to_vec();
            of_filter.for_each(|term| sum.iter_mut().zip(term).for_each(|(sum, term)| *sum += term));
            for (channel, to) in to.chunks_exact_mut(taps).enumerate() {
                to.iter_mut().enumerate().for_each(|(tap, to)| _ = to.write(sum[tap * channels + channel]));
            }
        }
    };
    // SAFETY: a filter has `len` elements, `taps` for each channel.
    unsafe { by_pixels(out, len, FILTERS, body) }
}

/// Filters of a weight that a thread adds up at a time.
const FILTERS: usize = 8;

/// Pixels whose windows are copied side by side for one matrix product.
const CHUNK: usize = 512;

/// The part of a dense weight's gradient from the output pixels `range`, `(out, taps · channels)`.
fn partial_gradient(g: &Geometry, x: &[f32], dy: &[f32], [channels, out]: [usize; 2], range: Range<usize>) -> Vec<f32> {
    let (taps, fill) = (g.taps(), vec![0.0; channels]);
    let mut sum = None;
    let mut columns = Vec::with_capacity(CHUNK * taps * channels);
    for start in range.clone().step_by(CHUNK) {
        let end = (start + CHUNK).min(range.end);
        let rows = Rows::gather(g, x, &fill, start..end);
        columns.clear();
        for pixel in 0..rows.pixels() {
            for tap in 0..taps {
                columns.extend_from_slice(rows.get(tap, pixel));
            }
        }
        let gradient = Matrix::row_major(&dy[start * out..end * out], end - start, out);
        let windows = Matrix::row_major(&columns, end - start, taps * channels);
        sum = Some(accumulate(sum, gradient.t(), windows));
    }
    sum.unwrap_or_else(|| vec![0.0; out * taps * channels])
}
