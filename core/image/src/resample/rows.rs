//! The pass over rows, four rows at a time, so that their colors fill vectors and are multiplied by the same weight.

use super::{HALF, Taps, to_byte};
use crate::{Region, Rgb};

/// Rows that are resampled together.
const ROWS: usize = 4;

/// A pixel of each row: three colors, and a byte that nothing reads.
type Pixels = [u8; 4 * ROWS];

/// Resamples each row of `region`; returns rows of as many pixels as `taps` has positions.
pub(super) fn resample(image: &Rgb, region: Region, taps: &Taps) -> Vec<u8> {
    let len = 3 * taps.spans.len();
    let row = |y: usize| &image.pixels[3 * ((region.top + y) * image.width + region.left)..][..3 * region.width];
    let mut out = vec![0; region.height * len];
    // Positions with fewer inputs than others read zeros behind the last pixel, with weight 0.
    let mut pixels = vec![Pixels::default(); region.width + taps.most()];
    let mut resampled = vec![Pixels::default(); taps.spans.len()];
    for (strip, out) in out.chunks_mut(ROWS * len).enumerate() {
        let last = out.len() / len - 1;
        let rows = std::array::from_fn(|index| row(ROWS * strip + index.min(last)));
        interleave(rows, &mut pixels[..region.width]);
        weigh(&pixels, taps, &mut resampled);
        for (index, out) in out.chunks_exact_mut(len).enumerate() {
            for (color, pixels) in out.chunks_exact_mut(3).zip(&resampled) {
                color.copy_from_slice(&pixels[4 * index..][..3]);
            }
        }
    }
    out
}

/// Puts the pixels of four rows side by side. A pixel is read with the byte behind it, as four bytes are one load. The
/// function is not inlined: compiled for AVX-512, its loop took three times as long.
#[inline(never)]
fn interleave(rows: [&[u8]; ROWS], pixels: &mut [Pixels]) {
    let [a, b, c, d] = rows.map(|row| row.windows(4).step_by(3));
    for ((((pixels, a), b), c), d) in pixels.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        pixels[..4].copy_from_slice(a);
        pixels[4..8].copy_from_slice(b);
        pixels[8..12].copy_from_slice(c);
        pixels[12..].copy_from_slice(d);
    }
    if let Some(pixels) = pixels.last_mut() {
        for (pixel, row) in pixels.chunks_exact_mut(4).zip(rows) {
            pixel[..3].copy_from_slice(&row[row.len() - 3..]);
        }
    }
}

/// Computes the weighted sums of every position. All positions take as many inputs; what they lack has weight 0.
fn weigh(pixels: &[Pixels], taps: &Taps, out: &mut [Pixels]) {
    #[cfg(target_arch = "x86_64")]
    match hashlab_simd::arch() {
        pulp::Arch::V3(simd) => return simd.vectorize(avx2::Weigh { simd, pixels, taps, out }),
        pulp::Arch::V4(simd) => return simd.vectorize(avx2::Weigh { simd: *simd, pixels, taps, out }),
        _ => {}
    }
    weigh_plain(pixels, taps, out);
}

fn weigh_plain(pixels: &[Pixels], taps: &Taps, out: &mut [Pixels]) {
    for (out, (first, weights)) in out.iter_mut().zip(taps.iter()) {
        let mut sums = [HALF; 4 * ROWS];
        for (pixel, &weight) in pixels[first..].iter().zip(weights) {
            for (sum, &color) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(color) * weight;
            }
        }
        *out = sums.map(to_byte);
    }
}

/// The sums by instructions of AVX2. The compiler would multiply one color at four positions, and add up across a vector.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use pulp::NullaryFnOnce;
    use pulp::x86::V3;

    use super::super::{HALF, PRECISION_BITS, Taps};
    use super::Pixels;

    pub(super) struct Weigh<'a> {
        pub(super) simd: V3,
        pub(super) pixels: &'a [Pixels],
        pub(super) taps: &'a Taps,
        pub(super) out: &'a mut [Pixels],
    }

    impl NullaryFnOnce for Weigh<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self { simd: V3 { avx, avx2, .. }, pixels, taps, out } = self;
            let most = taps.most();
            for (out, (&(first, _), weights)) in
                out.iter_mut().zip(taps.spans.iter().zip(taps.weights.chunks_exact(taps.stride)))
            {
                let mut sums = [avx._mm256_set1_epi32(HALF); 2];
                for (pixel, &weight) in pixels[first..first + most].iter().zip(weights) {
                    let weight = avx._mm256_set1_epi32(weight);
                    let halves: [u64; 2] = pulp::cast(*pixel);
                    for (sum, half) in sums.iter_mut().zip(halves) {
                        let colors = avx2._mm256_cvtepu8_epi32(pulp::cast([half, 0]));
                        *sum = avx2._mm256_add_epi32(*sum, avx2._mm256_mullo_epi32(colors, weight));
                    }
                }
                let [a, b] = sums.map(|sum| avx2._mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sum));
                // Both packs saturate, and keep the halves of a vector apart: a₀ b₀ a₁ b₁ to a₀ a₁ b₀ b₁.
                let shorts = avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(avx2._mm256_packus_epi32(a, b));
                let bytes = avx2._mm256_packus_epi16(shorts, shorts);
                let [low, _, high, _]: [u64; 4] = pulp::cast(bytes);
                *out = pulp::cast([low, high]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hashlab_rng::stream;

    use super::super::Filter;
    use super::*;

    /// Sizes that grow and shrink, with weights below 0 and sums beyond a byte.
    #[test]
    fn sums_by_vectors_are_those_of_the_plain_loop() {
        let mut rng = stream(0, "rows", &[]);
        for (filter, input, output) in [
            (Filter::Bilinear, 500, 224),
            (Filter::Bilinear, 32, 128),
            (Filter::Bicubic, 97, 31),
            (Filter::Bicubic, 3, 50),
            (Filter::Bicubic, 1, 4),
            (Filter::Bilinear, 900, 2),
        ] {
            let taps = Taps::new(input, output, filter);
            let mut byte =
                || if rng.bernoulli(0.5) { 255 * u8::from(rng.bernoulli(0.5)) } else { rng.below(256) as u8 };
            let pixels: Vec<Pixels> = (0..input + taps.most()).map(|_| std::array::from_fn(|_| byte())).collect();
            let mut found = [vec![Pixels::default(); output], vec![Pixels::default(); output]];
            weigh(&pixels, &taps, &mut found[0]);
            weigh_plain(&pixels, &taps, &mut found[1]);
            assert!(found[0] == found[1], "{input} to {output}");
        }
    }
}
