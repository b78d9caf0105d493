//! Conversion of bytes to the normalized input of a network.

use crate::Rgb;

/// Shift and scale of each channel: `(x / 255 − mean) / std`, torchvision's `ToTensor`, then `Normalize`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalize {
    /// Means of red, green and blue, on the scale 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviations of red, green and blue, on the scale 0 to 1.
    pub std: [f32; 3],
}

/// Statistics of ImageNet, as torchvision's networks expect.
pub const IMAGENET: Normalize = Normalize { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/// From −1 to 1, as networks of the Inception family expect.
pub const INCEPTION: Normalize = Normalize { mean: [0.5; 3], std: [0.5; 3] };

/// Writes the normalized image with channels last: `out` has shape `(height, width, 3)`.
///
/// # Panics
/// If `out` is not of length `height · width · 3`.
pub fn to_hwc(image: &Rgb, normalize: &Normalize, out: &mut [f32]) {
    assert_eq!(out.len(), image.pixels.len(), "an image of {} x {} does not fit", image.width, image.height);
    let tables = normalize.tables();
    for (out, pixel) in out.as_chunks_mut().0.iter_mut().zip(image.triples()) {
        let values: &mut [f32; 3] = out;
        *values = std::array::from_fn(|c| tables[c][usize::from(pixel[c])]);
    }
}

impl Normalize {
    /// The value of every byte, by channel.
    fn tables(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| std::array::from_fn(|byte| (byte as f32 / 255.0 - self.mean[c]) / self.std[c]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_equal_torchs_single_precision() {
        let image = Rgb { width: 2, height: 1, pixels: vec![0, 128, 255, 1, 2, 3] };
        let mut out = [0.0; 6];
        to_hwc(&image, &IMAGENET, &mut out);
        // import numpy as np; x = np.array([0, 128, 255, 1, 2, 3], np.float32) / np.float32(255)
        // (x - np.tile(np.float32([.485, .456, .406]), 2)) / np.tile(np.float32([.229, .224, .225]), 2)
        assert_eq!(out, [-2.117_904, 0.205_182_2, 2.64, -2.100_779_3, -2.000_700_2, -1.752_156_9]);
    }

    #[test]
    fn inception_reaches_from_minus_one_to_one() {
        let image = Rgb { width: 1, height: 1, pixels: vec![0, 255, 51] };
        let mut out = [0.0; 3];
        to_hwc(&image, &INCEPTION, &mut out);
        assert_eq!(out[..2], [-1.0, 1.0]);
        assert!((out[2] + 0.6).abs() < 1e-6);
    }
}
