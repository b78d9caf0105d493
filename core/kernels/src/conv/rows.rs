//! The table of pixels that windows read.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::{cpu, threads};

/// For each tap and each of a range of pixels, the channels that the tap reads.
pub(super) struct Rows<'a> {
    /// Tap-major; every entry has `channels` elements.
    entries: Vec<&'a [f32]>,
    pixels: usize,
    channels: usize,
}

/// The images that a table points into.
#[derive(Clone, Copy)]
struct Images<'a> {
    pixels: &'a [f32],
    /// Height and width.
    size: (usize, usize),
    /// Channels of a pixel in the padding.
    fill: &'a [f32],
}

impl<'a> Images<'a> {
    /// Row `y` of an image.
    fn line(self, image: usize, y: usize) -> &'a [f32] {
        let len = self.size.1 * self.fill.len();
        &self.pixels[(image * self.size.0 + y) * len..][..len]
    }
}

impl<'a> Rows<'a> {
    /// Lists the pixels of `x` under the windows of output pixels `range`; taps in the padding read `fill`.
    pub(super) fn gather(g: &Geometry, x: &'a [f32], fill: &'a [f32], range: Range<usize>) -> Self {
        Self::build(g.kernel, Images { pixels: x, size: g.input, fill }, g.output, range, |axis, at, tap| {
            g.source(axis, at, tap)
        })
    }

    /// Lists the rows of a matrix, as pixels with one tap.
    pub(super) fn matrix(matrix: &'a [f32], channels: usize) -> Self {
        let entries: Vec<&[f32]> = matrix.chunks_exact(channels).collect();
        Self { pixels: entries.len(), entries, channels }
    }

    /// Lists the pixels of [`padded`] images under the windows of output pixels `range`, each row of a window as one
    /// tap.
    pub(super) fn lines(g: &Geometry, image: &'a [f32], channels: usize, range: Range<usize>) -> Self {
        let (height, width) = g.padded();
        let (tap, (oh, ow)) = (g.kernel.1 * channels, g.output);
        let mut starts = Vec::with_capacity(range.len());
        let mut pixel = range.start;
        while pixel < range.end {
            let (line, x) = (pixel / ow, pixel % ow);
            let end = ow.min(x + range.end - pixel);
            let first = (line / oh * height + line % oh * g.stride) * width;
            starts.extend((x..end).map(|x| (first + x * g.stride) * channels));
            pixel += end - x;
        }
        let mut entries = Vec::with_capacity(g.kernel.0 * range.len());
        for ky in 0..g.kernel.0 {
            let image = &image[ky * width * channels..];
            entries.extend(starts.iter().map(|start| &image[*start..][..tap]));
        }
        Self { entries, pixels: range.len(), channels: tap }
    }

    /// Lists what input pixels `range` receive from `dy`, the transpose of [`Self::gather`].
    pub(super) fn scatter(g: &Geometry, dy: &'a [f32], fill: &'a [f32], range: Range<usize>) -> Self {
        Self::build(g.kernel, Images { pixels: dy, size: g.output, fill }, g.input, range, |axis, at, tap| {
            g.target(axis, at, tap)
        })
    }

    /// Lists pixels `range` of images of `(h, w)`; `locate(axis, at, tap)` gives the position of a tap, axis by axis.
    #[inline(always)]
    fn build(
        (kh, kw): (usize, usize),
        from: Images<'a>,
        (h, w): (usize, usize),
        range: Range<usize>,
        locate: impl Fn(usize, usize, usize) -> Option<usize>,
    ) -> Self {
        let mut entries = Vec::with_capacity(kh * kw * range.len());
        for ky in 0..kh {
            for kx in 0..kw {
                // Row by row, the first and the last perhaps in part.
                let mut pixel = range.start;
                while pixel < range.end {
                    let (line, x) = (pixel / w, pixel % w);
                    let end = w.min(x + range.end - pixel);
                    match locate(0, line % h, ky) {
                        Some(y) => {
                            let source = from.line(line / h, y);
                            entries.extend((x..end).map(|x| match locate(1, x, kx) {
                                Some(x) => &source[x * from.fill.len()..][..from.fill.len()],
                                None => from.fill,
                            }));
                        }
                        None => entries.extend((x..end).map(|_| from.fill)),
                    }
                    pixel += end - x;
                }
            }
        }
        Self { entries, pixels: range.len(), channels: from.fill.len() }
    }

    /// Number of taps of a pixel.
    pub(super) fn taps(&self) -> usize {
        self.entries.len() / self.pixels
    }

    /// Number of pixels.
    pub(super) fn pixels(&self) -> usize {
        self.pixels
    }

    /// The length of every entry.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// The channels that `tap` of `pixel` reads.
    #[inline(always)]
    pub(super) fn get(&self, tap: usize, pixel: usize) -> &'a [f32] {
        self.entries[tap * self.pixels + pixel]
    }
}

/// Copies images of `channels` with their padding around them.
pub(super) fn padded<'a>(g: &Geometry, x: &'a [f32], channels: usize) -> Cow<'a, [f32]> {
    let (height, width) = g.padded();
    if (height, width) == g.input {
        return Cow::Borrowed(x);
    }
    let mut image = vec![0.0; g.images * height * width * channels];
    let (line, margin) = (g.input.1 * channels, g.before.1 * channels);
    for (from, to) in x.chunks_exact(g.input.0 * line).zip(image.chunks_exact_mut(height * width * channels)) {
        let lines = to.chunks_exact_mut(width * channels).skip(g.before.0);
        for (from, to) in from.chunks_exact(line).zip(lines) {
            to[margin..margin + line].copy_from_slice(from);
        }
    }
    Cow::Owned(image)
}

/// Computes `pixels` rows of `channels` elements in chunks of `chunk` rows, over the available threads.
///
/// A row must not depend on its chunk.
///
/// # Safety
/// `body` must initialize every element of each chunk.
pub(crate) unsafe fn by_pixels(
    pixels: usize,
    channels: usize,
    chunk: usize,
    body: impl Fn(Range<usize>, &mut [MaybeUninit<f32>]) + Sync,
) -> Vec<f32> {
    let run = |(index, out): (usize, &mut [MaybeUninit<f32>])| {
        let start = index * chunk;
        body(start..(start + chunk).min(pixels), out);
    };
    // SAFETY: the chunks cover the whole buffer, and `body` initializes all of each by this function's contract.
    unsafe {
        cpu::filled(pixels * channels, |out| match threads::available() {
            1 => out.chunks_mut(chunk * channels).enumerate().for_each(run),
            _ => out.par_chunks_mut(chunk * channels).enumerate().for_each(run),
        })
    }
}
