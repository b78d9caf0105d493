//! Gaussian blurs: OpenCV's with a kernel of 3, and Pillow's.

use crate::Rgb;

/// Blurs with a 3 × 3 kernel as `cv2.GaussianBlur(image, (3, 3), sigma)` does on bytes; `sigma` in pixels, above 0.
///
/// The kernel has 8 fraction bits and sums to exactly 256; borders mirror without repeating the edge
/// (`BORDER_REFLECT_101`); only the end result is rounded.
pub fn gaussian_blur_3(image: &mut Rgb, sigma: f64) {
    let (width, height) = (image.width, image.height);
    if width == 0 || height == 0 {
        return;
    }
    let side = kernel_side(sigma);
    let center = 256 - 2 * side;
    let mut rows = vec![0; image.pixels.len()];
    for (row, out) in image.pixels.chunks_exact(3 * width).zip(rows.chunks_exact_mut(3 * width)) {
        blur_row(row, out, side, center);
    }
    let row = |y: usize| &rows[y * 3 * width..][..3 * width];
    for (y, out) in image.pixels.chunks_exact_mut(3 * width).enumerate() {
        let (above, below) = mirrored_neighbors(y, height);
        for (((out, &a), &b), &c) in out.iter_mut().zip(row(above)).zip(row(y)).zip(row(below)) {
            let sum = (u32::from(a) + u32::from(c)) * u32::from(side) + u32::from(b) * u32::from(center);
            *out = ((sum + (1 << 15)) >> 16) as u8;
        }
    }
}

/// Weight of either neighbor in 256ths, rounded half to even.
fn kernel_side(sigma: f64) -> u16 {
    let neighbor = (-0.5 / (sigma * sigma)).exp();
    (neighbor / (1.0 + 2.0 * neighbor) * 256.0).round_ties_even() as u16
}

/// Blurs one row of pixels, keeping 8 fraction bits: at most 255 · 256, which fits.
fn blur_row(row: &[u8], out: &mut [u16], side: u16, center: u16) {
    let width = row.len() / 3;
    let weigh = |a: u8, b: u8, c: u8| (u16::from(a) + u16::from(c)) * side + u16::from(b) * center;
    for x in [0, width - 1] {
        let (left, right) = mirrored_neighbors(x, width);
        for channel in 0..3 {
            out[3 * x + channel] = weigh(row[3 * left + channel], row[3 * x + channel], row[3 * right + channel]);
        }
    }
    if width > 2 {
        let neighbors = row.iter().zip(&row[3..]).zip(&row[6..]);
        for (out, ((&a, &b), &c)) in out[3..].iter_mut().zip(neighbors) {
            *out = weigh(a, b, c);
        }
    }
}

/// Positions before and after `i` of `0..n`, mirrored at the ends.
fn mirrored_neighbors(i: usize, n: usize) -> (usize, usize) {
    let inside = n - 1;
    (if i == 0 { 1.min(inside) } else { i - 1 }, if i == inside { inside.saturating_sub(1) } else { i + 1 })
}

/// Blurs as `Image.filter(ImageFilter.GaussianBlur(sigma))` of Pillow does; `sigma` in pixels.
///
/// Three box blurs of fractional radius in each direction (Gwosdek et al., SSVM 2011), edges repeated.
pub fn gaussian_blur(image: &mut Rgb, sigma: f64) {
    let (width, height) = (image.width, image.height);
    if width == 0 || height == 0 {
        return;
    }
    let weights = BoxWeights::new(box_radius(sigma as f32));
    let mut transposed = vec![[0; 3]; width * height];
    blur_lines(image.triples_mut(), width, &weights);
    transpose(image.triples(), &mut transposed, width);
    blur_lines(&mut transposed, height, &weights);
    transpose(&transposed, image.triples_mut(), height);
}

const PASSES: usize = 3;

/// Radius of the box that, applied [`PASSES`] times, comes nearest to a Gaussian; in Pillow's single precision.
fn box_radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0) as u32 as f32;
    let part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    whole + part / (6.0 * (variance - (whole + 1.0) * (whole + 1.0)))
}

/// A box of `2 · radius + 1` whole pixels and a part of one at either end, in 24-bit fixed point.
struct BoxWeights {
    radius: usize,
    whole: u32,
    end: u32,
}

impl BoxWeights {
    fn new(radius: f32) -> Self {
        let one = 1u32 << 24;
        let whole = (one as f32 / (radius * 2.0 + 1.0)) as u32;
        let radius = radius as usize;
        Self { radius, whole, end: (one - (radius as u32 * 2 + 1) * whole) / 2 }
    }
}

/// Blurs every line of `len` pixels [`PASSES`] times.
fn blur_lines(pixels: &mut [[u8; 3]], len: usize, weights: &BoxWeights) {
    let reach = weights.radius + 1;
    let mut padded = vec![[0; 3]; len + 2 * reach];
    for line in pixels.chunks_exact_mut(len) {
        for _ in 0..PASSES {
            padded[..reach].fill(line[0]);
            padded[reach..reach + len].copy_from_slice(line);
            padded[reach + len..].fill(line[len - 1]);
            box_blur(&padded, line, weights);
        }
    }
}

/// Slides the box along `padded`, which holds `radius + 1` more pixels than `out` at either end.
fn box_blur(padded: &[[u8; 3]], out: &mut [[u8; 3]], weights: &BoxWeights) {
    let span = 2 * weights.radius + 1;
    let mut inside = [0u32; 3];
    for pixel in &padded[..span] {
        inside = std::array::from_fn(|c| inside[c] + u32::from(pixel[c]));
    }
    for ((out, before), after) in out.iter_mut().zip(padded).zip(padded[span..].windows(2)) {
        inside = std::array::from_fn(|c| inside[c] + u32::from(after[0][c]) - u32::from(before[c]));
        *out = std::array::from_fn(|c| {
            let ends = (u32::from(before[c]) + u32::from(after[1][c])) * weights.end;
            ((inside[c] * weights.whole + ends + (1 << 23)) >> 24) as u8
        });
    }
}

/// Writes rows of `width` pixels as columns.
fn transpose(pixels: &[[u8; 3]], out: &mut [[u8; 3]], width: usize) {
    let height = pixels.len() / width;
    for (y, row) in pixels.chunks_exact(width).enumerate() {
        for (x, &pixel) in row.iter().enumerate() {
            out[x * height + y] = pixel;
        }
    }
}
