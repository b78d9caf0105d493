//! The kernel of depthwise convolutions: every channel has its own window.

use std::mem::MaybeUninit;
use std::ops::Range;

use hashlab_simd::vectorized;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::dense::{clamp, load, store};
use super::depthwise_3x3;
use super::geometry::Geometry;
use super::rows::{Rows, by_pixels};
use crate::instructions::arch;
use crate::linear::column_sums;
use crate::{activation, threads};

/// Pixels per chunk.
const CHUNK: usize = 64;

/// Vectors of channels that are summed at once.
const VECTORS: usize = 4;

/// Weights in the order in which the kernel reads them: for each tap, the channels side by side.
pub(super) struct Packed {
    pub(super) taps: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Packed {
    /// Packs a PyTorch weight `(c, 1, kh, kw)`.
    pub(super) fn new(w: &[f32], bias: &[f32]) -> Self {
        let channels = bias.len();
        let taps = w.len() / channels;
        let packed = (0..taps).flat_map(|tap| (0..channels).map(move |c| w[c * taps + tap])).collect();
        Self { taps: packed, bias: bias.to_vec() }
    }
}

/// Convolves: the channels-last output, each element clamped to `limits`.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &Packed, limits: (f32, f32)) -> Vec<f32> {
    if depthwise_3x3::fits(g) {
        return depthwise_3x3::forward(g, x, weights, limits);
    }
    let fill = vec![0.0; weights.bias.len()];
    run(g.output_pixels(), weights, limits, |range| Rows::gather(g, x, &fill, range))
}

/// Returns the gradient of the input; the bias of `weights` is zero.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weights: &Packed) -> Vec<f32> {
    let fill = vec![0.0; weights.bias.len()];
    let limits = (f32::NEG_INFINITY, f32::INFINITY);
    run(g.input_pixels(), weights, limits, |range| Rows::scatter(g, dy, &fill, range))
}

/// Returns the gradient of the weight in PyTorch's order.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], channels: usize) -> Vec<f32> {
    /// Parts of the pixels whose sums are added up in order: a fixed number, so that no bit depends on the threads.
    const PARTS: usize = 16;
    let (pixels, size) = (g.output_pixels(), g.taps() * channels);
    let part = pixels.div_ceil(PARTS).max(1).next_multiple_of(CHUNK);
    let mut sums = vec![0.0; size * pixels.div_ceil(part)];
    let run = |(index, sums): (usize, &mut [f32])| {
        let range = index * part..((index + 1) * part).min(pixels);
        add_products(g, x, [dy, &vec![0.0; channels]], range, sums);
    };
    match threads::available() {
        1 => sums.chunks_exact_mut(size).enumerate().for_each(run),
        _ => sums.par_chunks_exact_mut(size).enumerate().for_each(run),
    }
    let sum = column_sums(None, &sums, size);
    let taps = |channel: usize| (0..g.taps()).map(move |tap| tap * channels + channel);
    (0..channels).flat_map(taps).map(|at| sum[at]).collect()
}

/// Adds the products of the pixels under the windows and the gradients of output pixels `range`: for each tap, the
/// channels side by side. Taps in the padding read `fill`.
fn add_products(g: &Geometry, x: &[f32], [dy, fill]: [&[f32]; 2], range: Range<usize>, sums: &mut [f32]) {
    let channels = fill.len();
    for start in range.clone().step_by(CHUNK) {
        let rows = Rows::gather(g, x, fill, start..(start + CHUNK).min(range.end));
        let (to, rows, dy) = (&mut *sums, &rows, &dy[start * channels..]);
        vectorized!(|to: &'a mut [f32], rows: &'a Rows<'a>, dy: &'a [f32], channels: usize| {
            for (tap, sums) in to.chunks_exact_mut(channels).enumerate() {
                for pixel in 0..rows.pixels() {
                    let dy = &dy[pixel * channels..][..channels];
                    for ((sum, x), d) in sums.iter_mut().zip(rows.get(tap, pixel)).zip(dy) {
                        *sum += x * d;
                    }
                }
            }
        });
    }
}

fn run<'a>(
    pixels: usize,
    weights: &Packed,
    limits: (f32, f32),
    rows: impl Fn(Range<usize>) -> Rows<'a> + Sync,
) -> Vec<f32> {
    let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
        let rows = rows(range);
        assert_eq!(rows.taps() * rows.channels(), weights.taps.len(), "the window the weights were packed for");
        arch().dispatch(Sums { rows: &rows, weights, limits, out });
    };
    // SAFETY: `Sums` computes every channel of every listed pixel, which are those of `range`.
    unsafe { by_pixels(pixels, weights.bias.len(), CHUNK, body) }
}

/// The sums of a chunk of pixels.
pub(super) struct Sums<'a> {
    pub(super) rows: &'a Rows<'a>,
    pub(super) weights: &'a Packed,
    pub(super) limits: (f32, f32),
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (channels, lanes) = (self.rows.channels(), S::F32_LANES);
        for pixel in 0..self.rows.pixels() {
            let mut channel = 0;
            while channel + VECTORS * lanes <= channels {
                self.vectors::<S, VECTORS>(simd, pixel, channel);
                channel += VECTORS * lanes;
            }
            while channel + lanes <= channels {
                self.vectors::<S, 1>(simd, pixel, channel);
                channel += lanes;
            }
            for channel in channel..channels {
                self.scalar(pixel, channel);
            }
        }
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn vectors<S: Simd, const N: usize>(&mut self, simd: S, pixel: usize, channel: usize) {
        let (channels, lanes) = (self.rows.channels(), S::F32_LANES);
        let mut sums = [simd.splat_f32s(0.0); N];
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = load(simd, &self.weights.bias[channel + i * lanes..]);
        }
        for tap in 0..self.rows.taps() {
            let x = &self.rows.get(tap, pixel)[channel..][..N * lanes];
            let w = &self.weights.taps[tap * channels + channel..][..N * lanes];
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = simd.mul_add_e_f32s(load(simd, &x[i * lanes..]), load(simd, &w[i * lanes..]), *sum);
            }
        }
        let out = &mut self.out[pixel * channels + channel..][..N * lanes];
        for (target, sum) in out.chunks_exact_mut(lanes).zip(sums) {
            store(simd, target, clamp(simd, sum, self.limits));
        }
    }

    /// A channel beyond the last whole vector.
    #[inline(always)]
    fn scalar(&mut self, pixel: usize, channel: usize) {
        let channels = self.rows.channels();
        let mut sum = self.weights.bias[channel];
        for tap in 0..self.rows.taps() {
            sum += self.rows.get(tap, pixel)[channel] * self.weights.taps[tap * channels + channel];
        }
        self.out[pixel * channels + channel].write(activation::clamp(sum, self.limits));
    }
}
