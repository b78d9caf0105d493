//! Encoding of images, for display.

use image::ExtendedColorType;
use image::ImageEncoder as _;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;

use crate::{Filter, Rgb, resize};

/// Quality of a thumbnail's JPEG, of 100.
const QUALITY: u8 = 80;

/// An image is too large for a file format, or has no pixels.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode an image: {0}")]
pub struct EncodeError(image::ImageError);

/// Encodes an image as a PNG file.
///
/// # Panics
/// If the image has no pixels, or a number of them that differs from its size.
pub fn png(image: &Rgb) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&image.pixels, image.width as u32, image.height as u32, ExtendedColorType::Rgb8)
        .expect("an image of this size is written to memory");
    bytes
}

/// Encodes an image as a JPEG file whose longer side is at most `side` pixels. A smaller image keeps its size.
///
/// # Errors
/// If the image is too large for a JPEG or has no pixels.
pub fn thumbnail(image: &Rgb, side: usize) -> Result<Vec<u8>, EncodeError> {
    let longer = image.width.max(image.height).max(1);
    let scaled = |length: usize| (length * side / longer).max(1);
    let small = (longer > side).then(|| resize(image, scaled(image.width), scaled(image.height), Filter::Bicubic));
    let picture = small.as_ref().unwrap_or(image);
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&picture.pixels, size(picture.width), size(picture.height), ExtendedColorType::Rgb8)
        .map_err(EncodeError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn what_is_encoded_is_decoded() {
        let image = Rgb { width: 2, height: 3, pixels: (0..18).collect() };
        assert_eq!(decode(&png(&image)).unwrap(), image);
    }

    #[test]
    fn thumbnails_are_small_and_look_alike() {
        let pixels = (0..60 * 40).flat_map(|at| if at % 60 < 30 { [200, 30, 30] } else { [30, 30, 200] }).collect();
        let image = Rgb { width: 60, height: 40, pixels };
        let small = decode(&thumbnail(&image, 30).unwrap()).unwrap();
        assert_eq!((small.width, small.height), (30, 20));
        let [left, right] = [5, 25].map(|x| (10 * 30 + x) * 3);
        assert!(small.pixels[left] > 150 && small.pixels[right] < 80, "{:?}", &small.pixels[left..left + 3]);
        let same = decode(&thumbnail(&image, 64).unwrap()).unwrap();
        assert_eq!((same.width, same.height), (60, 40));
    }
}
