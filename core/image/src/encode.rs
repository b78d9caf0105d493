//! Encoding of images, to show them.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use crate::Rgb;

/// Encodes an image as a PNG file.
///
/// # Panics
/// If the image has no pixel, or not as many as its size says.
pub fn png(image: &Rgb) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&image.pixels, image.width as u32, image.height as u32, ExtendedColorType::Rgb8)
        .expect("an image of this size is written to memory");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let image = Rgb { width: 2, height: 3, pixels: (0..18).collect() };
        assert_eq!(crate::decode(&png(&image)).unwrap(), image);
    }
}
