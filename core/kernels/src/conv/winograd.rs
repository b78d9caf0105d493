//! The kernel of dense 3×3 convolutions of stride 1 by Winograd's minimal filtering.
//!
//! F(2×2, 3×3) of Lavin and Gray (CVPR 2016, <https://arxiv.org/abs/1509.09308>, §4.1): a tile of 2×2 outputs is
//! `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of the filter `g` and the 4×4 inputs `d`. Over all channels, the 16 elements of the
//! product are 16 products of matrices, tiles by channels times channels by output channels: 16 multiplications where
//! sums over windows take 36. The transforms consist of additions and halvings, so that errors stay near those of sums.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::dense::{Packed, Product, clamp, load, store};
use super::epilogue::Epilogue;
use super::geometry::{Geometry, Window};
use super::rows::Rows;
use super::tiles::Tiles;
use crate::instructions::arch;
use crate::{cpu, threads};

/// Inputs of a tile along an axis.
const INPUTS: usize = 4;
/// Outputs of a tile along an axis.
const OUTPUTS: usize = 2;
/// Elements of a transformed tile.
const POINTS: usize = INPUTS * INPUTS;

/// The fewest tiles of a band, which share a pass over the weights: enough to read these rarely, and few enough that their
/// transforms stay in the third-level cache.
const TILES_PER_BAND: usize = 96;

/// Numbers of channels must be multiples of it: of the longest vectors.
const CHANNEL_MULTIPLE: usize = 16;

/// The fewest channels with which the products outweigh the transforms.
const MIN_CHANNELS: usize = 32;

/// The transformed weights of a convolution.
pub(super) struct Filters {
    /// For each point, channels by output channels.
    points: Vec<Packed>,
    bias: Vec<f32>,
    channels: usize,
}

impl Filters {
    /// Whether convolutions with weights `(out, in, kh, kw)` are faster by tiles than by windows.
    pub(super) fn pays([out, channels, kh, kw]: [usize; 4], window: Window) -> bool {
        let whole = |count: usize| count >= MIN_CHANNELS && count.is_multiple_of(CHANNEL_MULTIPLE);
        [kh, kw] == [3, 3] && window.stride == 1 && whole(channels) && whole(out) && !Tiles::pay(channels, out)
    }

    /// Transforms a PyTorch weight `(out, in, 3, 3)`.
    pub(super) fn new(w: &[f32], [out, channels]: [usize; 2], bias: &[f32]) -> Self {
        let filters = w.as_chunks().0;
        let points = Packed::together(arch(), [channels, out], |channel, o| filter(&filters[o * channels + channel]));
        Self { points: points.into(), bias: bias.to_vec(), channels }
    }
}

/// `G g Gᵀ`, in f64: weights are transformed once.
fn filter(g: &[f32; 9]) -> [f32; POINTS] {
    let along = |[a, b, c]: [f64; 3]| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let columns: [[f64; INPUTS]; 3] =
        std::array::from_fn(|column| along(std::array::from_fn(|row| f64::from(g[row * 3 + column]))));
    let mut points = [0.0; POINTS];
    for (row, points) in points.chunks_exact_mut(INPUTS).enumerate() {
        let line = along(std::array::from_fn(|column| columns[column][row]));
        points.iter_mut().zip(line).for_each(|(point, value)| *point = value as f32);
    }
    points
}

/// Convolves: the channels-last output.
pub(super) fn forward(g: &Geometry, x: &[f32], filters: &Filters, epilogue: Epilogue<'_>) -> Vec<f32> {
    let (plan, out) = (Plan::of(g), filters.bias.len());
    let fill = vec![0.0; filters.channels];
    let work = |scratch: &mut Scratch, (lines, to): (Range<usize>, &mut [MaybeUninit<f32>])| {
        let epilogue = epilogue.narrow(plan.pixels(&lines).start * out..plan.pixels(&lines).end * out);
        Band { plan, lines, x, fill: &fill, filters, epilogue }.convolve(scratch, to);
    };
    // SAFETY: the bands cover the buffer, and a band writes all of its pixels.
    unsafe {
        cpu::filled(g.output_pixels() * out, |buffer| {
            let bands = plan.bands(buffer, out);
            match threads::available() {
                1 => {
                    let mut scratch = Scratch::default();
                    bands.into_iter().for_each(|band| work(&mut scratch, band));
                }
                _ => bands.into_par_iter().for_each_init(Scratch::default, work),
            }
        })
    }
}

/// Tiles of a batch: image after image, in lines of two rows of output.
#[derive(Clone, Copy)]
struct Plan<'a> {
    g: &'a Geometry,
    /// Lines of tiles of an image.
    lines: usize,
    /// Tiles of a line.
    tiles: usize,
}

impl<'a> Plan<'a> {
    fn of(g: &'a Geometry) -> Self {
        Self { g, lines: g.output.0.div_ceil(OUTPUTS), tiles: g.output.1.div_ceil(OUTPUTS) }
    }

    /// The first output pixel of a line.
    fn start(&self, line: usize) -> usize {
        let (height, width) = self.g.output;
        (line / self.lines * height + line % self.lines * OUTPUTS) * width
    }

    /// The output pixels of lines.
    fn pixels(&self, lines: &Range<usize>) -> Range<usize> {
        self.start(lines.start)..self.start(lines.end)
    }

    /// Divides the output into bands of lines.
    fn bands<'o>(
        &self,
        mut buffer: &'o mut [MaybeUninit<f32>],
        out: usize,
    ) -> Vec<(Range<usize>, &'o mut [MaybeUninit<f32>])> {
        let (all, step) = (self.g.images * self.lines, TILES_PER_BAND.div_ceil(self.tiles));
        let lines = (0..all).step_by(step).map(|start| start..(start + step).min(all));
        let cut = |lines: Range<usize>| {
            let (band, rest) = std::mem::take(&mut buffer).split_at_mut(self.pixels(&lines).len() * out);
            buffer = rest;
            (lines, band)
        };
        lines.map(cut).collect()
    }
}

/// Memory that bands use one after the other.
#[derive(Default)]
struct Scratch {
    /// Transformed inputs: for each point, tiles by channels.
    inputs: Vec<f32>,
    /// Products: for each point, tiles by output channels.
    products: Vec<f32>,
}

/// Lines of tiles that are computed together.
struct Band<'a> {
    plan: Plan<'a>,
    lines: Range<usize>,
    x: &'a [f32],
    /// Channels of a pixel in the padding.
    fill: &'a [f32],
    filters: &'a Filters,
    epilogue: Epilogue<'a>,
}

impl Band<'_> {
    fn convolve(&self, scratch: &mut Scratch, to: &mut [MaybeUninit<f32>]) {
        let (arch, channels, out) = (arch(), self.filters.channels, self.filters.bias.len());
        let tiles = self.lines.len() * self.plan.tiles;
        scratch.inputs.resize(POINTS * tiles * channels, 0.0);
        arch.dispatch(Inputs { band: self, to: &mut scratch.inputs });
        let points = scratch.inputs.chunks_exact(tiles * channels).zip(&self.filters.points);
        scratch.products.clear();
        scratch.products.reserve(POINTS * tiles * out);
        let products = scratch.products.spare_capacity_mut()[..POINTS * tiles * out].chunks_exact_mut(tiles * out);
        let epilogue = Epilogue { residual: None, limits: (f32::NEG_INFINITY, f32::INFINITY) };
        for ((inputs, weights), out) in points.zip(products) {
            arch.dispatch(Product { rows: &Rows::matrix(inputs, channels), weights, epilogue, out });
        }
        // SAFETY: the products wrote all elements.
        unsafe { scratch.products.set_len(POINTS * tiles * out) };
        arch.dispatch(Outputs { band: self, products: &scratch.products, to });
    }

    /// The tiles in order: line, counted over the batch, and position in it.
    fn tiles(&self) -> impl Iterator<Item = (usize, usize)> {
        let tiles = self.plan.tiles;
        self.lines.clone().flat_map(move |line| (0..tiles).map(move |tile| (line, tile)))
    }

    /// The input pixels of a tile.
    fn pixels(&self, line: usize, tile: usize) -> [[&[f32]; INPUTS]; INPUTS] {
        let (g, channels) = (self.plan.g, self.filters.channels);
        let (height, width) = g.input;
        let (image, top) = (line / self.plan.lines, line % self.plan.lines * OUTPUTS);
        std::array::from_fn(|row| {
            let row = (top + row).checked_sub(g.before.0).filter(|row| *row < height);
            std::array::from_fn(|column| {
                let column = (tile * OUTPUTS + column).checked_sub(g.before.1).filter(|column| *column < width);
                match row.zip(column) {
                    Some((y, x)) => &self.x[((image * height + y) * width + x) * channels..][..channels],
                    None => self.fill,
                }
            })
        })
    }
}

/// `Bᵀ d` of one column.
#[inline(always)]
fn input_transform<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; INPUTS]) -> [S::f32s; INPUTS] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// `Aᵀ m` of one column.
#[inline(always)]
fn output_transform<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; INPUTS]) -> [S::f32s; OUTPUTS] {
    let [sum, difference] = [simd.add_f32s(b, c), simd.sub_f32s(b, c)];
    [simd.add_f32s(a, sum), simd.sub_f32s(difference, d)]
}

// Closures would say the following in less. But the compiler need not inline a closure, and one that it does not inline
// is compiled for the baseline instruction set.

/// The transform of the inputs.
struct Inputs<'a> {
    band: &'a Band<'a>,
    to: &'a mut [f32],
}

impl WithSimd for Inputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (channels, size) = (self.band.filters.channels, self.to.len() / POINTS);
        for (at, (line, tile)) in self.band.tiles().enumerate() {
            let pixels = self.band.pixels(line, tile);
            for channel in (0..channels).step_by(S::F32_LANES) {
                // Column by column of the tile, then row by row of what they became.
                let mut columns = [[simd.splat_f32s(0.0); INPUTS]; INPUTS];
                for (column, to) in columns.iter_mut().enumerate() {
                    for (row, to) in to.iter_mut().enumerate() {
                        *to = load(simd, &pixels[row][column][channel..]);
                    }
                    *to = input_transform(simd, *to);
                }
                for (row, line) in transposed(simd, columns).into_iter().enumerate() {
                    for (column, value) in input_transform(simd, line).into_iter().enumerate() {
                        let start = (row * INPUTS + column) * size + at * channels + channel;
                        put(simd, &mut self.to[start..], value);
                    }
                }
            }
        }
    }
}

/// Rows in the place of columns.
#[inline(always)]
fn transposed<S: Simd, const N: usize, const M: usize>(simd: S, columns: [[S::f32s; N]; M]) -> [[S::f32s; M]; N] {
    let mut rows = [[simd.splat_f32s(0.0); M]; N];
    for (column, values) in columns.into_iter().enumerate() {
        for (row, value) in values.into_iter().enumerate() {
            rows[row][column] = value;
        }
    }
    rows
}

/// Stores a whole vector.
#[inline(always)]
fn put<S: Simd>(_: S, to: &mut [f32], vector: S::f32s) {
    assert!(to.len() >= S::F32_LANES, "room for a whole vector");
    // SAFETY: the length was checked; vectors are plain numbers.
    unsafe { to.as_mut_ptr().cast::<S::f32s>().write_unaligned(vector) }
}

/// The transform of the products, bias and epilogue.
struct Outputs<'a, 'o> {
    band: &'a Band<'a>,
    products: &'a [f32],
    to: &'o mut [MaybeUninit<f32>],
}

impl WithSimd for Outputs<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Band { plan, lines, filters, epilogue, .. } = self.band;
        let (out, size, (height, width)) = (filters.bias.len(), self.products.len() / POINTS, plan.g.output);
        let first = plan.start(lines.start);
        for (at, (line, tile)) in self.band.tiles().enumerate() {
            let rows = (height - line % plan.lines * OUTPUTS).min(OUTPUTS);
            let columns = (width - tile * OUTPUTS).min(OUTPUTS);
            let pixel = plan.start(line) - first + tile * OUTPUTS;
            for channel in (0..out).step_by(S::F32_LANES) {
                let mut sums = [[simd.splat_f32s(0.0); OUTPUTS]; INPUTS];
                for (column, sums) in sums.iter_mut().enumerate() {
                    let mut points = [simd.splat_f32s(0.0); INPUTS];
                    for (row, point) in points.iter_mut().enumerate() {
                        let start = (row * INPUTS + column) * size + at * out + channel;
                        *point = load(simd, &self.products[start..]);
                    }
                    *sums = output_transform(simd, points);
                }
                let bias = load(simd, &filters.bias[channel..]);
                for (row, line) in transposed(simd, sums).into_iter().enumerate().take(rows) {
                    let values = output_transform(simd, line);
                    for (column, value) in values.into_iter().enumerate().take(columns) {
                        let start = (pixel + row * width + column) * out + channel;
                        let mut value = simd.add_f32s(value, bias);
                        if let Some(residual) = epilogue.residual {
                            value = simd.add_f32s(value, load(simd, &residual[start..]));
                        }
                        let to = &mut self.to[start..start + S::F32_LANES];
                        store(simd, to, clamp(simd, value, epilogue.limits));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_transformed_by_the_papers_matrix() {
        // Equation 9: rows of G.
        const G: [[f64; 3]; INPUTS] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
        let g: [f32; 9] = std::array::from_fn(|at| (at * at) as f32 - 7.5);
        for (at, point) in filter(&g).into_iter().enumerate() {
            let terms = (0..9).map(|tap| G[at / INPUTS][tap / 3] * f64::from(g[tap]) * G[at % INPUTS][tap % 3]);
            assert_eq!(f64::from(point), terms.sum::<f64>());
        }
    }
}
