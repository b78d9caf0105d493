//! Random changes of color.

use hashlab_rng::Stream;

use crate::{Rgb, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation};

/// torchvision's `ColorJitter`: four changes of color, in random order.
///
/// Brightness, contrast and saturation are scaled by a factor uniform in `1 ± strength`, cut at 0; the hue turns by a
/// fraction of the circle uniform in `± hue`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorJitter {
    /// Strength of the change in brightness.
    pub brightness: f64,
    /// Strength of the change in contrast.
    pub contrast: f64,
    /// Strength of the change in saturation.
    pub saturation: f64,
    /// Largest turn of the hue, at most ½.
    pub hue: f64,
}

impl ColorJitter {
    /// Draws an order and four factors, and applies them.
    pub fn apply(&self, image: &mut Rgb, stream: &mut Stream) {
        let mut order = [0, 1, 2, 3];
        stream.shuffle(&mut order);
        let mut around_one = |strength: f64| stream.uniform_in((1.0 - strength).max(0.0), 1.0 + strength);
        let brightness = around_one(self.brightness);
        let contrast = around_one(self.contrast);
        let saturation = around_one(self.saturation);
        let hue = stream.uniform_in(-self.hue, self.hue);
        for step in order {
            match step {
                0 => adjust_brightness(image, brightness),
                1 => adjust_contrast(image, contrast),
                2 => adjust_saturation(image, saturation),
                _ => adjust_hue(image, hue),
            }
        }
    }
}
