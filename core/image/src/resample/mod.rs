//! Resizing as by Pillow: a separable filter in fixed point, columns first, then rows (`libImaging/Resample.c`).
//!
//! The filter widens when an image shrinks (antialiasing), so every pixel of the original counts. Pillow 13 resamples
//! rows first if an image shrinks much more in height than in width; this follows the releases before it, which
//! published results come from. If an image grows in both directions, as CIFAR's do, all releases agree.

mod rows;

use std::fmt;

use pulp::NullaryFnOnce;

use crate::{Region, Rgb};

/// Fraction bits of the weights: 32, less 8 for the pixel and 2 for sums below 0 or above 1.
const PRECISION_BITS: u32 = 32 - 8 - 2;
/// One half, where every sum starts, so that the final shift rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Interpolation of a resized image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Linear in each direction: a triangle.
    Bilinear,
    /// Keys's cubic convolution with a = −½.
    Bicubic,
}

impl Filter {
    /// Distance at which the weight ends, in input pixels if an image grows.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Weight of an input pixel at distance `x`.
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => cubic(x),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        })
    }
}

/// Keys's cubic convolution with a = −½.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Resizes to `width × height` as `Image.resize((width, height), filter)` does.
pub fn resize(image: &Rgb, width: usize, height: usize, filter: Filter) -> Rgb {
    resample(image, image.region(), width, height, filter)
}

/// Cuts `region` out and resizes it as `Image.crop`, then `Image.resize((width, height), BILINEAR)` do, without a copy.
///
/// # Panics
/// If `region` reaches beyond the image.
pub fn resize_region(image: &Rgb, region: Region, width: usize, height: usize) -> Rgb {
    resample(image, region, width, height, Filter::Bilinear)
}

fn resample(image: &Rgb, region: Region, width: usize, height: usize, filter: Filter) -> Rgb {
    region.check_inside(image);
    if width == 0 || height == 0 {
        return Rgb { width, height, pixels: Vec::new() };
    }
    let narrowed = rows::resample(image, region, &Taps::new(region.width, width, filter));
    let columns = Columns { pixels: &narrowed, row_len: 3 * width, taps: &Taps::new(region.height, height, filter) };
    Rgb { width, height, pixels: hashlab_simd::arch().dispatch(columns) }
}

/// The pass over columns of an image whose rows are `row_len` bytes, compiled for the vectors that the processor has.
/// Sums of integers are the same on all.
struct Columns<'a> {
    pixels: &'a [u8],
    row_len: usize,
    taps: &'a Taps,
}

impl NullaryFnOnce for Columns<'_> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn call(self) -> Vec<u8> {
        let Self { pixels, row_len, taps } = self;
        let mut out = Vec::with_capacity(taps.spans.len() * row_len);
        let mut sums = vec![HALF; row_len];
        for (first, weights) in taps.iter() {
            sums.fill(HALF);
            for (row, &weight) in pixels[first * row_len..].chunks_exact(row_len).zip(weights) {
                for (sum, &byte) in sums.iter_mut().zip(row) {
                    *sum += i32::from(byte) * weight;
                }
            }
            out.extend(sums.iter().map(|&sum| to_byte(sum)));
        }
        out
    }
}

/// For every output position, the inputs that count and their fixed-point weights.
struct Taps {
    /// First input and number of inputs, by output position.
    spans: Vec<(usize, usize)>,
    /// Weights, `stride` to an output position.
    weights: Vec<i32>,
    stride: usize,
}

impl Taps {
    /// Computes the weights that take `input` positions to `output` ones.
    fn new(input: usize, output: usize, filter: Filter) -> Self {
        let scale = input as f64 / output as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let inverse = 1.0 / filter_scale;
        let stride = support.ceil() as usize * 2 + 1;
        let mut taps = Self { spans: Vec::with_capacity(output), weights: vec![0; output * stride], stride };
        let mut exact = Vec::with_capacity(stride);
        for position in 0..output {
            let center = (position as f64 + 0.5) * scale;
            // Casts truncate and saturate at 0: with the ½ they round, as Pillow's do.
            let first = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            exact.clear();
            exact.extend((first..end).map(|x| filter.weight((x as f64 - center + 0.5) * inverse)));
            let total: f64 = exact.iter().sum();
            let row = &mut taps.weights[position * stride..][..stride];
            for (weight, exact) in row.iter_mut().zip(&exact) {
                *weight = to_fixed_point(exact / total);
            }
            taps.spans.push((first, end - first));
        }
        taps
    }

    /// Inputs of the position that has the most.
    fn most(&self) -> usize {
        self.spans.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// First input and weights of every output position.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let rows = self.weights.chunks_exact(self.stride);
        self.spans.iter().zip(rows).map(|(&(first, count), row)| (first, &row[..count]))
    }
}

/// Rounds half away from zero, as Pillow's cast after ±½ does.
fn to_fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
