//! The kernel of dense convolutions: a matrix product whose left rows are scattered.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::epilogue::Epilogue;
use super::geometry::Geometry;
use super::rows::{Rows, by_pixels, padded};
use super::tiles::{self, Tiles};
use crate::instructions::arch;
use crate::{cpu, threads};

/// Columns of a panel of packed weights, for vectors of `lanes`; the last panel may have half of them.
fn panel(lanes: usize) -> usize {
    if lanes == 8 { 16 } else { 32 }
}

/// The number of lanes of an instruction set's vectors.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Number of uses of weights per read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// One for every pixel.
    Often,
    /// One per image: reading them dominates the time, and those for the matrix unit are half as large again.
    Once,
}

/// Weights in the order in which a kernel reads them.
pub(super) enum Weights {
    /// For the matrix unit.
    Tiles(Tiles),
    /// For vector instructions.
    Vectors(Packed),
}

impl Weights {
    /// Packs a PyTorch weight `(out, in, kh, kw)` for the forward pass.
    pub(super) fn forward(w: &[f32], [out, channels, taps]: [usize; 3], bias: &[f32], reuse: Reuse) -> Self {
        Self::new(Matrices { w, channel: taps, out: channels * taps }, [taps, channels, out], bias, reuse)
    }

    /// Packs it for the gradient of the input, which maps `out` channels to `in`.
    pub(super) fn transposed(w: &[f32], [out, channels, taps]: [usize; 3]) -> Self {
        let matrices = Matrices { w, channel: channels * taps, out: taps };
        Self::new(matrices, [taps, out, channels], &[], Reuse::Often)
    }

    fn new(w: Matrices<'_>, shape: [usize; 3], bias: &[f32], reuse: Reuse) -> Self {
        let [taps, channels, out] = shape;
        match reuse == Reuse::Often && Tiles::pay(channels, out) {
            true => Self::Tiles(Tiles::new(shape, bias, |tap, channel, o| w.taps(channel, o, taps)[tap])),
            false => Self::Vectors(Packed::new(arch(), w, shape, bias)),
        }
    }
}

/// A matrix `(channels, out)` per tap; the taps of a channel lie side by side.
#[derive(Clone, Copy)]
pub(super) struct Matrices<'a> {
    pub(super) w: &'a [f32],
    /// Elements from a channel to the next.
    pub(super) channel: usize,
    /// Elements from an output channel to the next.
    pub(super) out: usize,
}

impl<'a> Matrices<'a> {
    /// The taps of a channel and what follows them.
    #[inline(always)]
    fn taps(self, channel: usize, out: usize, len: usize) -> &'a [f32] {
        &self.w[channel * self.channel + out * self.out..][..len]
    }

    /// Copies `count` channels from `first` on of the columns `range`, zeros for those that are not below `out`, in the
    /// order in which they lie. Returns the numbers of elements from a channel and from a column to the next.
    fn read(
        self,
        to: &mut Vec<f32>,
        [first, count]: [usize; 2],
        range: Range<usize>,
        [taps, out]: [usize; 2],
    ) -> [usize; 2] {
        to.clear();
        let (width, columns) = (range.len(), range.start..range.end.min(out));
        if self.channel == taps {
            columns.for_each(|o| to.extend_from_slice(self.taps(first, o, count * taps)));
            to.resize(width * count * taps, 0.0);
            return [taps, count * taps];
        }
        assert_eq!(self.out, taps, "channels or columns lie side by side");
        for channel in 0..count {
            to.extend_from_slice(self.taps(first + channel, range.start, columns.len() * taps));
            to.resize((channel + 1) * width * taps, 0.0);
        }
        [width * taps, taps]
    }
}

/// Weights for the vectors of an instruction set.
///
/// A panel holds `panel` output channels: for each tap, for each input channel, their weights side by side. Output
/// channels are padded with zeros to a multiple of half a panel.
pub(super) struct Packed {
    panels: Vec<f32>,
    panel: usize,
    /// Padded like the output channels.
    bias: Vec<f32>,
    depth: usize,
    out: usize,
}

/// Weights of a column that are packed at a time: those of 8 channels of 3×3 pixels.
const PIECE: usize = 72;

impl Packed {
    /// Packs `taps` matrices of `channels` by `out`, on the available threads.
    pub(super) fn new(arch: Arch, w: Matrices<'_>, [taps, channels, out]: [usize; 3], bias: &[f32]) -> Self {
        let panel = panel(arch.dispatch(Lanes));
        let (padded, depth) = (out.next_multiple_of(panel / 2), taps * channels);
        // A few channels are read as they lie and written, turned, from the first-level cache.
        let block = (PIECE / taps).clamp(1, channels.max(1));
        let fill = |(index, to): (usize, &mut [MaybeUninit<f32>])| {
            let (start, width) = (index * panel, to.len() / depth);
            let mut piece = Vec::with_capacity(width * block * taps);
            for first in (0..channels).step_by(block) {
                let count = block.min(channels - first);
                let steps = w.read(&mut piece, [first, count], start..start + width, [taps, out]);
                for channel in 0..count {
                    for tap in 0..taps {
                        let row = &mut to[(tap * channels + first + channel) * width..][..width];
                        let elements = piece[channel * steps[0] + tap..].iter().step_by(steps[1]);
                        row.iter_mut().zip(elements).for_each(|(to, w)| _ = to.write(*w));
                    }
                }
            }
        };
        // SAFETY: the panels cover the buffer, and the rows of a panel the panel.
        let panels = unsafe {
            cpu::filled(depth * padded, |all| match threads::available() {
                1 => all.chunks_mut(depth * panel).enumerate().for_each(fill),
                _ => all.par_chunks_mut(depth * panel).enumerate().for_each(fill),
            })
        };
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Self { panels, panel, bias, depth, out }
    }

    /// Packs several matrices of `depth` by `out` without a bias, of which `weights(row, out)` gives an element each.
    pub(super) fn together<const N: usize>(
        arch: Arch,
        [depth, out]: [usize; 2],
        weights: impl Fn(usize, usize) -> [f32; N],
    ) -> [Self; N] {
        let panel = panel(arch.dispatch(Lanes));
        let padded = out.next_multiple_of(panel / 2);
        let mut all: [_; N] = std::array::from_fn(|_| Vec::with_capacity(depth * padded));
        for start in (0..padded).step_by(panel) {
            for row in 0..depth {
                for o in start..(start + panel).min(padded) {
                    let elements = if o < out { weights(row, o) } else { [0.0; N] };
                    all.iter_mut().zip(elements).for_each(|(panels, element)| panels.push(element));
                }
            }
        }
        all.map(|panels| Self { panels, panel, bias: vec![0.0; padded], depth, out })
    }
}

/// Convolves: the channels-last output.
pub(super) fn forward(g: &Geometry, x: &[f32], channels: usize, weights: &Weights, epilogue: Epilogue<'_>) -> Vec<f32> {
    if channels <= NARROW {
        let image = padded(g, x, channels);
        let width = g.kernel.1 * channels;
        return run(g.output_pixels(), width, weights, epilogue, |range| Rows::lines(g, &image, channels, range));
    }
    let fill = vec![0.0; channels];
    run(g.output_pixels(), channels, weights, epilogue, |range| Rows::gather(g, x, &fill, range))
}

/// Images of so few channels, colors in practice, are read a window's row at a time: the loop over a tap's channels
/// would be too short to be fast.
const NARROW: usize = 4;

/// Returns the gradient of the input; `weights` are [`Weights::transposed`].
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], out: usize, weights: &Weights) -> Vec<f32> {
    let fill = vec![0.0; out];
    let epilogue = Epilogue { residual: None, limits: (f32::NEG_INFINITY, f32::INFINITY) };
    run(g.input_pixels(), out, weights, epilogue, |range| Rows::scatter(g, dy, &fill, range))
}

fn run<'a>(
    pixels: usize,
    channels: usize,
    weights: &Weights,
    epilogue: Epilogue<'_>,
    rows: impl Fn(Range<usize>) -> Rows<'a> + Sync,
) -> Vec<f32> {
    let (width, chunk) = match weights {
        Weights::Tiles(tiles) => (tiles.out(), tiles::CHUNK),
        Weights::Vectors(packed) => (packed.out, chunk(channels)),
    };
    let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
        let epilogue = epilogue.narrow(range.start * width..range.end * width);
        let rows = rows(range);
        match weights {
            Weights::Tiles(tiles) => tiles.product(&rows, epilogue, out),
            Weights::Vectors(weights) => {
                assert_eq!(rows.taps() * rows.channels(), weights.depth, "the window the weights were packed for");
                arch().dispatch(Product { rows: &rows, weights, epilogue, out });
            }
        }
    };
    // SAFETY: both kernels compute every column of every listed pixel, which are those of `range`.
    unsafe { by_pixels(pixels, width, chunk, body) }
}

/// Pixels per chunk: few enough that their input stays in the second-level cache for all panels, and enough to read
/// each panel rarely. A multiple of every tile height below.
fn chunk(channels: usize) -> usize {
    const BUDGET: usize = 1 << 15;
    (BUDGET / channels.max(1)).clamp(48, 240).next_multiple_of(24)
}

/// The product of a chunk's rows and all panels.
pub(super) struct Product<'a> {
    pub(super) rows: &'a Rows<'a>,
    pub(super) weights: &'a Packed,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // With these heights, the tile, the weights and one broadcast fit into the registers of each instruction set.
        match S::F32_LANES {
            16 => self.panels::<S, 12, 2, 1>(simd),
            8 => self.panels::<S, 6, 2, 1>(simd),
            4 => self.panels::<S, 2, 8, 4>(simd),
            _ => self.panels::<S, 1, 32, 16>(simd),
        }
    }
}

impl Product<'_> {
    /// Computes the panels, of `FULL` vectors each, the last perhaps of `HALF`; tiles are `HEIGHT` pixels high.
    #[inline(always)]
    fn panels<S: Simd, const HEIGHT: usize, const FULL: usize, const HALF: usize>(mut self, simd: S) {
        let (panel, padded) = (FULL * S::F32_LANES, self.weights.bias.len());
        assert_eq!(panel, self.weights.panel, "the columns of a panel of weights packed for this instruction set");
        for start in (0..padded).step_by(panel) {
            for pixel in (0..self.rows.pixels()).step_by(HEIGHT) {
                if start + panel <= padded {
                    self.tile::<S, HEIGHT, FULL>(simd, start, pixel);
                } else {
                    self.tile::<S, HEIGHT, HALF>(simd, start, pixel);
                }
            }
        }
    }

    /// Computes `HEIGHT` pixels by `VECTORS` vectors of output channels from `column` on.
    ///
    /// At the end of the chunk, the last pixel is computed repeatedly and stored once.
    #[inline(always)]
    fn tile<S: Simd, const HEIGHT: usize, const VECTORS: usize>(&mut self, simd: S, column: usize, pixel: usize) {
        let width = VECTORS * S::F32_LANES;
        let (channels, last) = (self.rows.channels(), self.rows.pixels() - 1);
        let panel = &self.weights.panels[column * self.weights.depth..][..width * self.weights.depth];
        let mut weights = panel.as_ptr();
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
        for row in &mut sums {
            for (vector, sum) in row.iter_mut().enumerate() {
                *sum = load(simd, &self.weights.bias[column + vector * S::F32_LANES..]);
            }
        }
        self.prefetch::<S, HEIGHT, VECTORS>(column, pixel);
        for tap in 0..self.rows.taps() {
            let mut x = [std::ptr::null::<f32>(); HEIGHT];
            for (row, x) in x.iter_mut().enumerate() {
                *x = self.rows.get(tap, (pixel + row).min(last)).as_ptr();
            }
            for channel in 0..channels {
                let mut w = [simd.splat_f32s(0.0); VECTORS];
                for (vector, w) in w.iter_mut().enumerate() {
                    // SAFETY: `taps · channels` is the depth, and `panel` has `depth · width` elements.
                    *w = unsafe { weights.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
                }
                weights = weights.wrapping_add(width);
                for row in 0..HEIGHT {
                    // SAFETY: every entry of the table has `channels` elements.
                    let x = simd.splat_f32s(unsafe { *x[row].add(channel) });
                    for vector in 0..VECTORS {
                        sums[row][vector] = simd.mul_add_e_f32s(x, w[vector], sums[row][vector]);
                    }
                }
            }
        }
        self.store(simd, column, pixel, sums);
    }

    /// Prefetches the lines to which a tile will be stored, and those of the residual.
    #[inline(always)]
    fn prefetch<S: Simd, const HEIGHT: usize, const VECTORS: usize>(&self, column: usize, pixel: usize) {
        let rows = HEIGHT.min(self.rows.pixels() - pixel);
        for row in 0..rows {
            for vector in 0..VECTORS {
                let at = (pixel + row) * self.weights.out + column + vector * S::F32_LANES;
                fetch(self.out.as_ptr().wrapping_add(at).cast());
                if let Some(residual) = self.epilogue.residual {
                    fetch(residual.as_ptr().wrapping_add(at));
                }
            }
        }
    }

    /// Finishes a tile and stores the part of it that exists.
    #[inline(always)]
    fn store<S: Simd, const HEIGHT: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        column: usize,
        pixel: usize,
        sums: [[S::f32s; VECTORS]; HEIGHT],
    ) {
        let out = self.weights.out;
        for (row, sums) in sums.into_iter().enumerate().take(self.rows.pixels() - pixel) {
            let at = (pixel + row) * out;
            let line = &mut self.out[at + column..at + out];
            for (vector, (target, mut sum)) in line.chunks_mut(S::F32_LANES).zip(sums).enumerate() {
                if let Some(residual) = self.epilogue.residual {
                    let from = &residual[at + column + vector * S::F32_LANES..at + out];
                    // A partial load is a call, and few vectors are partial.
                    let added = if from.len() < S::F32_LANES { simd.partial_load_f32s(from) } else { load(simd, from) };
                    sum = simd.add_f32s(sum, added);
                }
                store(simd, target, clamp(simd, sum, self.epilogue.limits));
            }
        }
    }
}

/// Prefetches a line of memory, if the processor has an instruction for it.
#[inline(always)]
fn fetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch does not read and accepts any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Loads the first vector of `from`.
#[inline(always)]
pub(super) fn load<S: Simd>(_: S, from: &[f32]) -> S::f32s {
    assert!(from.len() >= S::F32_LANES, "a whole vector to load");
    // SAFETY: the length was checked; vectors are plain numbers.
    unsafe { from.as_ptr().cast::<S::f32s>().read_unaligned() }
}

/// Stores the first `to.len()` lanes, all of them if `to` is longer.
#[inline(always)]
pub(super) fn store<S: Simd>(_: S, to: &mut [MaybeUninit<f32>], vector: S::f32s) {
    let lanes = to.len().min(S::F32_LANES);
    // SAFETY: `lanes` elements fit on both sides; vectors are plain numbers.
    unsafe {
        if lanes == S::F32_LANES {
            to.as_mut_ptr().cast::<S::f32s>().write_unaligned(vector);
        } else {
            std::ptr::copy_nonoverlapping((&raw const vector).cast(), to.as_mut_ptr(), lanes);
        }
    }
}

/// Clamps a vector; a NaN stays one.
#[inline(always)]
pub(super) fn clamp<S: Simd>(simd: S, x: S::f32s, (low, high): (f32, f32)) -> S::f32s {
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    // The instructions of AVX return their second operand if one is NaN. Other processors have other rules, and so has
    // pulp's scalar code.
    if cfg!(target_arch = "x86_64") && S::F32_LANES >= 8 {
        return simd.min_f32s(high, simd.max_f32s(low, x));
    }
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    simd.select_f32s(simd.greater_than_f32s(x, high), high, x)
}
