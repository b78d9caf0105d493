//! Grey values and the blends of Pillow's `ImageEnhance`.

use crate::Rgb;

/// Pillow's grey value (ITU-R 601-2): 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, rounded.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// Moves from `from` (factor 0) towards `to` (factor 1) and beyond, truncated and clipped: Pillow's `ImagingBlend`.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let difference = i16::from(to) - i16::from(from);
    (f32::from(from) + factor * f32::from(difference)) as u8
}

/// Blends every channel with the same grey value.
fn blend_with_constant(image: &mut Rgb, from: u8, factor: f64) {
    let table: [u8; 256] = std::array::from_fn(|to| blend(from, to as u8, factor as f32));
    for channel in &mut image.pixels {
        *channel = table[usize::from(*channel)];
    }
}

/// Scales brightness by `factor` as `torchvision.transforms.functional.adjust_brightness` does; 0 is black, 1 no
/// change.
pub fn adjust_brightness(image: &mut Rgb, factor: f64) {
    blend_with_constant(image, 0, factor);
}

/// Scales contrast by `factor` as `torchvision.transforms.functional.adjust_contrast` does; 0 is the mean grey, 1 no
/// change.
pub fn adjust_contrast(image: &mut Rgb, factor: f64) {
    let sum: u64 = image.triples().iter().map(|&pixel| u64::from(luma(pixel))).sum();
    let mean = (sum as f64 / image.triples().len() as f64 + 0.5) as u8;
    blend_with_constant(image, mean, factor);
}

/// Scales saturation by `factor` as `torchvision.transforms.functional.adjust_saturation` does; 0 is grey, 1 no change.
pub fn adjust_saturation(image: &mut Rgb, factor: f64) {
    for pixel in image.triples_mut() {
        let grey = luma(*pixel);
        *pixel = pixel.map(|channel| blend(grey, channel, factor as f32));
    }
}

/// Replaces every channel by the pixel's grey value, as `to_grayscale(num_output_channels=3)` does.
pub fn grayscale(image: &mut Rgb) {
    for pixel in image.triples_mut() {
        *pixel = [luma(*pixel); 3];
    }
}

/// Inverts every channel value of at least `threshold`, as Pillow's `ImageOps.solarize`.
pub fn solarize(image: &mut Rgb, threshold: u8) {
    for channel in image.pixels.iter_mut().filter(|channel| **channel >= threshold) {
        *channel = 255 - *channel;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_the_threshold_on_are_inverted() {
        let mut image = Rgb { width: 2, height: 1, pixels: vec![0, 127, 128, 129, 200, 255] };
        solarize(&mut image, 128);
        assert_eq!(image.pixels, [0, 127, 127, 126, 55, 0]);
    }
}
