//! Batch normalization (Ioffe and Szegedy, ICML 2015) over the channels, the last axis.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;
use rayon::prelude::*;

use super::rows::by_pixels;
use crate::accumulate::widen;
use crate::activation::{Activation, before, clamp};
use crate::backward::deposit;
use crate::linear::column_sums;
use crate::{cpu, threads};

/// Rows whose sums are taken in f32; longer sums are in f64.
const CHUNK: usize = 256;

/// Mean and variance of every channel, without gradient.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Shape `(c)`.
    pub mean: Tensor,
    /// Shape `(c)`; the variance of the values themselves, divided by their number.
    pub variance: Tensor,
}

/// Computes `y = (x − mean) / √(variance + eps) · weight + bias` with the moments of `x` itself, then `activation`.
///
/// The gradient includes the path through the moments. Returns them beside the result.
///
/// # Shapes
/// `x` is `(…, c)`, `weight` and `bias` are `(c)`, the result has the shape of `x`.
///
/// # Errors
/// If the shapes do not fit together or there is only one value per channel.
pub fn batch_norm(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
    activation: Activation,
) -> Result<(Tensor, Moments)> {
    let channels = channels(x, &[weight, bias])?;
    if x.elem_count() <= channels {
        bail!("the variance of one value per channel, in a batch of shape {:?}", x.dims());
    }
    if !cpu::is_f32(&[x, weight, bias]) {
        let flat = x.reshape(((), channels))?;
        let mean = flat.mean(0)?;
        let variance = flat.broadcast_sub(&mean)?.sqr()?.mean(0)?;
        let y = plain(x, [&mean, &variance, weight, bias], eps, activation)?;
        return Ok((y, Moments { mean: mean.detach(), variance: variance.detach() }));
    }
    let x = x.contiguous()?;
    let [mean, variance] = cpu::with_elements(&x, |x| Ok(moments(x, channels)))?;
    let moments = Moments { mean: cpu::tensor(mean, channels)?, variance: cpu::tensor(variance, channels)? };
    let op = Norm::new(&moments, eps, activation, true)?;
    Ok((x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?, moments))
}

/// Computes the same with given moments, which are constants.
///
/// # Errors
/// If the shapes do not fit together.
pub fn fixed_norm(
    x: &Tensor,
    moments: &Moments,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    let Moments { mean, variance } = moments;
    channels(x, &[mean, variance, weight, bias])?;
    if !cpu::is_f32(&[x, mean, variance, weight, bias]) {
        return plain(x, [&mean.detach(), &variance.detach(), weight, bias], eps, activation);
    }
    let op = Norm::new(moments, eps, activation, false)?;
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// Checks the shapes and returns the number of channels.
fn channels(x: &Tensor, vectors: &[&Tensor]) -> Result<usize> {
    match x.dims().last() {
        Some(&channels) if channels > 0 && vectors.iter().all(|v| v.dims() == [channels]) => Ok(channels),
        _ => bail!("a norm of {:?} over the channels of {:?}", vectors.last().map(|v| v.dims()), x.dims()),
    }
}

/// The formulation in candle's own operations; of images in half precision, moments, weight and bias may be in f32.
fn plain(x: &Tensor, factors: [&Tensor; 4], eps: f64, activation: Activation) -> Result<Tensor> {
    let [mean, variance, weight, bias] = factors.map(widen);
    let scaled = widen(x)?.broadcast_sub(&mean?)?.broadcast_div(&(variance? + eps)?.sqrt()?)?;
    activation.plain(scaled.broadcast_mul(&weight?)?.broadcast_add(&bias?)?.to_dtype(x.dtype())?)
}

/// The norm as an operation of candle's graph.
struct Norm {
    mean: Vec<f32>,
    /// One over the deviation.
    inverse: Vec<f32>,
    activation: Activation,
    /// Whether the moments are those of the input.
    of_batch: bool,
}

impl Norm {
    fn new(moments: &Moments, eps: f64, activation: Activation, of_batch: bool) -> Result<Self> {
        let inverse = |variance: f32| 1.0 / (f64::from(variance) + eps).sqrt();
        Ok(Self {
            mean: moments.mean.to_vec1()?,
            inverse: moments.variance.to_vec1()?.into_iter().map(|v| inverse(v) as f32).collect(),
            activation,
            of_batch,
        })
    }

    /// Sums, per channel, the gradient before the activation, and its product with the normalized input.
    fn sums(&self, [x, y, dy]: [&[f32]; 3]) -> [Vec<f32>; 2] {
        let channels = self.mean.len();
        let partial = partial_sums(x.len() / channels, channels, |rows, sums| {
            let (op, values) = (self, [x, y, dy].map(|t| &t[rows.start * channels..rows.end * channels]));
            vectorized!(|op: &'a Norm, sums: &'a mut [f32], values: [&'a [f32]; 3]| {
                let (channels, limits) = (op.mean.len(), op.activation.limits());
                let [x, y, dy] = values.map(|t| t.chunks_exact(channels));
                let (plain, product) = sums.split_at_mut(channels);
                for ((x, y), dy) in x.zip(y).zip(dy) {
                    let columns = plain.iter_mut().zip(&mut *product).zip(&op.mean).zip(x).zip(y).zip(dy);
                    for (((((plain, product), mean), x), y), dy) in columns {
                        let d = before(*dy, *y, limits);
                        *plain += d;
                        *product += d * (x - mean);
                    }
                }
            });
        });
        let sum = |half: usize, channel: usize| {
            let parts = partial.chunks_exact(2 * channels).map(|sums| f64::from(sums[half * channels + channel]));
            parts.sum::<f64>() as f32
        };
        let plain = (0..channels).map(|channel| sum(0, channel)).collect();
        [plain, (0..channels).map(|channel| sum(1, channel) * self.inverse[channel]).collect()]
    }

    /// Returns the gradient of the input, given the result of [`Self::sums`].
    fn input_gradient(&self, [x, y, dy]: [&[f32]; 3], weight: &[f32], sums: &[Vec<f32>; 2]) -> Vec<f32> {
        let channels = weight.len();
        let rows = x.len() / channels;
        // dx = scale · (d − shift − slope · (x − mean)); with constant moments only the first term.
        let share = if self.of_batch { 1.0 / rows as f32 } else { 0.0 };
        let scale: Vec<f32> = weight.iter().zip(&self.inverse).map(|(w, inverse)| w * inverse).collect();
        let shift: Vec<f32> = sums[0].iter().map(|sum| sum * share).collect();
        let slope: Vec<f32> = sums[1].iter().zip(&self.inverse).map(|(sum, inverse)| sum * share * inverse).collect();
        let body = |rows: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let values = [x, y, dy].map(|t| &t[rows.start * channels..rows.end * channels]);
            let (op, factors) = (self, [&scale[..], &shift, &slope]);
            vectorized!(|out: &'a mut [MaybeUninit<f32>],
                         op: &'a Norm,
                         values: [&'a [f32]; 3],
                         factors: [&'a [f32]; 3]| {
                let (channels, limits) = (op.mean.len(), op.activation.limits());
                let [x, y, dy] = values.map(|t| t.chunks_exact(channels));
                let [scale, shift, slope] = factors;
                for (((out, x), y), dy) in out.chunks_exact_mut(channels).zip(x).zip(y).zip(dy) {
                    let constants = op.mean.iter().zip(scale).zip(shift).zip(slope);
                    for ((((out, x), y), dy), (((mean, scale), shift), slope)) in
                        out.iter_mut().zip(x).zip(y).zip(dy).zip(constants)
                    {
                        out.write(scale * (before(*dy, *y, limits) - shift - slope * (x - mean)));
                    }
                }
            });
        };
        // SAFETY: rows of `x`, `y` and `dy` and the constants have `channels` elements, as `out` has.
        unsafe { by_pixels(rows, channels, CHUNK, body) }
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "batch-norm"
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
        let channels = w.len();
        let scale: Vec<f32> = w.iter().zip(&self.inverse).map(|(w, inverse)| w * inverse).collect();
        let body = |rows: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let x = &x[rows.start * channels..rows.end * channels];
            let (op, scale) = (self, &scale[..]);
            vectorized!(|out: &'a mut [MaybeUninit<f32>],
                         op: &'a Norm,
                         x: &'a [f32],
                         scale: &'a [f32],
                         b: &'a [f32]| {
                let (channels, limits) = (op.mean.len(), op.activation.limits());
                for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    let constants = op.mean.iter().zip(scale).zip(b);
                    for ((out, x), ((mean, scale), bias)) in out.iter_mut().zip(x).zip(constants) {
                        out.write(clamp((x - mean) * scale + bias, limits));
                    }
                }
            });
        };
        // SAFETY: rows of `x` and the constants have `channels` elements, as `out` has.
        let y = unsafe { by_pixels(x.len() / channels, channels, CHUNK, body) };
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let channels = self.mean.len();
        cpu::with_elements(x, |xs| {
            cpu::with_elements(y, |ys| {
                cpu::with_elements(dy, |dys| {
                    let values = [xs, ys, dys];
                    let sums = match self.of_batch || w.track_op() || b.track_op() {
                        true => self.sums(values),
                        false => [vec![0.0; channels], vec![0.0; channels]], // unused
                    };
                    let dx = match x.track_op() {
                        true => cpu::with_elements(w, |w| Ok(Some(self.input_gradient(values, w, &sums))))?,
                        false => None,
                    };
                    let dx = dx.map(|dx| cpu::tensor(dx, x.shape())).transpose()?;
                    let dw = deposit(w, |sum| column_sums(sum, &sums[1], channels))?;
                    let db = deposit(b, |sum| column_sums(sum, &sums[0], channels))?;
                    Ok((dx, dw, db))
                })
            })
        })
    }
}

/// Computes mean and variance per channel: of each chunk in two passes, of all chunks by the update of Chan et al.
fn moments(x: &[f32], channels: usize) -> [Vec<f32>; 2] {
    let rows = x.len() / channels;
    // Relative to the chunk's first row, so that values far from zero lose no digits.
    let partial = partial_sums(rows, channels, |range, sums| {
        let chunk = &x[range.start * channels..range.end * channels];
        vectorized!(|sums: &'a mut [f32], chunk: &'a [f32], channels: usize| {
            let (mean, squares) = sums.split_at_mut(channels);
            let (first, rows) = (&chunk[..channels], (chunk.len() / channels) as f32);
            for row in chunk.chunks_exact(channels) {
                for ((mean, first), x) in mean.iter_mut().zip(first).zip(row) {
                    *mean += x - first;
                }
            }
            mean.iter_mut().for_each(|mean| *mean /= rows);
            for row in chunk.chunks_exact(channels) {
                for (((square, mean), first), x) in squares.iter_mut().zip(&*mean).zip(first).zip(row) {
                    let centered = x - first - mean;
                    *square += centered * centered;
                }
            }
        });
    });
    let (mut mean, mut squares) = (vec![0f64; channels], vec![0f64; channels]);
    for (index, sums) in partial.chunks_exact(2 * channels).enumerate() {
        let before = index * CHUNK;
        let (first, count) = (&x[before * channels..][..channels], (rows - before).min(CHUNK));
        let weight = count as f64 / (before + count) as f64;
        for channel in 0..channels {
            let step = f64::from(first[channel]) + f64::from(sums[channel]) - mean[channel];
            squares[channel] += f64::from(sums[channels + channel]) + step * step * before as f64 * weight;
            mean[channel] += step * weight;
        }
    }
    let variance = squares.into_iter().map(|squares| (squares / rows as f64) as f32).collect();
    [mean.into_iter().map(|mean| mean as f32).collect(), variance]
}

/// Sums two numbers per channel over chunks of rows by `body`, on the available threads.
fn partial_sums(rows: usize, channels: usize, body: impl Fn(Range<usize>, &mut [f32]) + Sync) -> Vec<f32> {
    let mut sums = vec![0.0; rows.div_ceil(CHUNK) * 2 * channels];
    let run = |(index, sums): (usize, &mut [f32])| {
        let start = index * CHUNK;
        body(start..(start + CHUNK).min(rows), sums);
    };
    match threads::available() {
        1 => sums.chunks_mut(2 * channels).enumerate().for_each(run),
        _ => sums.par_chunks_mut(2 * channels).enumerate().for_each(run),
    }
    sums
}
