//! Decoding of image files.

use crate::Rgb;

/// A decoding error.
#[derive(Debug, thiserror::Error)]
#[error("cannot decode an image file of {bytes} bytes: {source}\nhelp: PNG, JPEG and WebP files can be read")]
pub struct ImageError {
    bytes: usize,
    source: image::ImageError,
}

/// Decodes a PNG, JPEG or WebP file, recognized by its first bytes, to RGB.
///
/// As Pillow's `convert("RGB")` does, it drops an alpha channel, repeats a grey one and ignores an EXIF orientation.
/// Lossless files give Pillow's pixels; JPEG leaves rounding to the decoder, so there a pixel may differ by a few
/// units.
///
/// # Errors
/// If the format is another one, or the file is damaged or too large for memory.
pub fn decode(bytes: &[u8]) -> Result<Rgb, ImageError> {
    let image = image::load_from_memory(bytes).map_err(|source| ImageError { bytes: bytes.len(), source })?.into_rgb8();
    Ok(Rgb { width: image.width() as usize, height: image.height() as usize, pixels: image.into_raw() })
}
