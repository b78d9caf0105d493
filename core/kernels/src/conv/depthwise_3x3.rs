//! The kernel of 3×3 depthwise windows. Neighbors of an output line are computed together, so that each weight, and each
//! pixel that their windows share, is loaded once.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::dense::{clamp, load, store};
use super::depthwise::Packed;
use super::geometry::Geometry;
use super::rows::by_pixels;
use crate::activation;
use crate::instructions::arch;

/// Output pixels that are computed together. Their sums, three weights and a pixel take eight vector registers, half of
/// AVX2's; other numbers were not tried.
const NEIGHBORS: usize = 4;

/// Output pixels of the lines that a thread takes at once, at least.
const CHUNK: usize = 64;

/// Whether windows are of 3×3 pixels and move by one or two.
pub(super) fn fits(g: &Geometry) -> bool {
    g.kernel == (3, 3) && (1..=2).contains(&g.stride)
}

/// Convolves: the channels-last output, each element clamped to `limits`.
///
/// # Panics
/// If the windows do not [fit](fits), or `x` or the weights have another size.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &Packed, limits: (f32, f32)) -> Vec<f32> {
    let channels = weights.bias.len();
    assert!(fits(g) && weights.taps.len() == 9 * channels && x.len() == g.input_pixels() * channels);
    let fill = vec![0.0; channels];
    let body = |lines: Range<usize>, out: &mut [MaybeUninit<f32>]| {
        arch().dispatch(Lines { g, x, fill: &fill, weights, limits, lines, out });
    };
    let (lines, width) = (g.images * g.output.0, g.output.1);
    // SAFETY: `Lines` computes every channel of every pixel of the listed lines.
    unsafe { by_pixels(lines, width * channels, CHUNK.div_ceil(width), body) }
}

/// Lines of the output.
pub(super) struct Lines<'a> {
    pub(super) g: &'a Geometry,
    pub(super) x: &'a [f32],
    /// Channels of a pixel in the padding.
    pub(super) fill: &'a [f32],
    pub(super) weights: &'a Packed,
    pub(super) limits: (f32, f32),
    /// Of all images, one after the other.
    pub(super) lines: Range<usize>,
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

/// Addresses of the pixels under the windows of neighbors, or of the padding: three lines of `COLUMNS`.
type Pixels<const COLUMNS: usize> = [[*const f32; COLUMNS]; 3];

impl WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.g.stride {
            1 => self.all::<S, 1, { NEIGHBORS + 2 }>(simd),
            _ => self.all::<S, 2, { 2 * NEIGHBORS + 1 }>(simd),
        }
    }
}

impl Lines<'_> {
    #[inline(always)]
    fn all<S: Simd, const STRIDE: usize, const COLUMNS: usize>(mut self, simd: S) {
        let width = self.g.output.1;
        let mut pixels = [[self.fill.as_ptr(); COLUMNS]; 3];
        for (line, at) in self.lines.clone().zip(0..) {
            for first in (0..width).step_by(NEIGHBORS) {
                self.locate(&mut pixels, line, first * STRIDE);
                let start = (at * width + first) * self.fill.len();
                self.neighbors::<S, STRIDE, COLUMNS>(simd, &pixels, start, NEIGHBORS.min(width - first));
            }
        }
    }

    /// Lists the pixels under the windows of neighbors of an output line. The first window begins at column `first` of
    /// the padded image.
    #[inline(always)]
    fn locate<const COLUMNS: usize>(&self, pixels: &mut Pixels<COLUMNS>, line: usize, first: usize) {
        let (g, channels) = (self.g, self.fill.len());
        let width = g.input.1;
        for (ky, pixels) in pixels.iter_mut().enumerate() {
            let source = g.source(0, line % g.output.0, ky).map(|y| line / g.output.0 * g.input.0 + y);
            let row = source.map(|y| &self.x[y * width * channels..][..width * channels]);
            for (column, pixel) in pixels.iter_mut().enumerate() {
                *pixel = match (row, (first + column).checked_sub(g.before.1)) {
                    (Some(row), Some(x)) if x < width => row[x * channels..][..channels].as_ptr(),
                    _ => self.fill.as_ptr(),
                };
            }
        }
    }

    /// Computes `count` neighbors, whose output starts at `start`.
    #[inline(always)]
    fn neighbors<S: Simd, const STRIDE: usize, const COLUMNS: usize>(
        &mut self,
        simd: S,
        pixels: &Pixels<COLUMNS>,
        start: usize,
        count: usize,
    ) {
        let (channels, lanes) = (self.fill.len(), S::F32_LANES);
        let whole = channels - channels % lanes;
        for channel in (0..whole).step_by(lanes) {
            let mut sums = [load(simd, &self.weights.bias[channel..]); NEIGHBORS];
            for (ky, line) in pixels.iter().enumerate() {
                let taps = &self.weights.taps[3 * ky * channels..][..3 * channels];
                let w: [S::f32s; 3] = std::array::from_fn(|kx| load(simd, &taps[kx * channels + channel..]));
                for (column, pixel) in line.iter().enumerate() {
                    // SAFETY: each address is that of `channels` elements, and `channel + lanes` is no more.
                    let x = unsafe { pixel.add(channel).cast::<S::f32s>().read_unaligned() };
                    for (neighbor, sum) in sums.iter_mut().enumerate() {
                        if let Some(kx) = column.checked_sub(neighbor * STRIDE).filter(|kx| *kx < 3) {
                            *sum = simd.mul_add_e_f32s(x, w[kx], *sum);
                        }
                    }
                }
            }
            for (neighbor, sum) in sums.into_iter().enumerate().take(count) {
                let out = &mut self.out[start + neighbor * channels + channel..][..lanes];
                store(simd, out, clamp(simd, sum, self.limits));
            }
        }
        for channel in whole..channels {
            for neighbor in 0..count {
                let mut sum = self.weights.bias[channel];
                for (tap, kx) in (0..9).map(|tap| (tap, tap % 3)) {
                    // SAFETY: as above.
                    let x = unsafe { *pixels[tap / 3][neighbor * STRIDE + kx].add(channel) };
                    sum += x * self.weights.taps[tap * channels + channel];
                }
                self.out[start + neighbor * channels + channel].write(activation::clamp(sum, self.limits));
            }
        }
    }
}
