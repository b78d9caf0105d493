//! Decoding of image files.

use std::io::Cursor;

use image::error::{LimitError, LimitErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::{Rgb, jpeg};

/// A decoding error.
#[derive(Debug, thiserror::Error)]
#[error("cannot decode an image file of {bytes} bytes: {reason}\nhelp: {help}")]
pub struct ImageError {
    bytes: usize,
    reason: String,
    help: &'static str,
}

const FORMATS: &str = "PNG, JPEG, WebP, GIF, BMP and TIFF files (without a palette) can be read";
const REPLACE: &str = "the file is cut short or damaged: replace it";

/// Bytes of pixels that any file may ask for, whatever sizes its header states.
const ROOM: u64 = 1 << 26;
/// Bytes of pixels for a byte of a larger file: deflate's best, with pixels of a bit that become three bytes.
const MOST_COMPRESSED: u64 = 1032 * 24;

/// Treatment of the EXIF orientation, the position of the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exif {
    /// Pixels in their stored order, as Pillow and torchvision read them.
    #[default]
    Ignore,
    /// The image turned upright, as by `PIL.ImageOps.exif_transpose`.
    Apply,
}

/// Decodes a PNG, JPEG, WebP, GIF, BMP or TIFF file, recognized by its first bytes, to RGB.
///
/// Pixels are those of Pillow's `Image.open(FILE).convert("RGB")`: an alpha channel is dropped, grey is repeated, of 16
/// bits per channel of a color the upper 8 are kept, 16-bit grey above 255 is 255, and of an animation the first frame
/// is read. JPEG and lossy WebP leave rounding to the decoder, so there a pixel may differ by a few units;
/// `tests/formats.rs` holds the bounds. An EXIF orientation is ignored.
///
/// # Errors
/// If the format is another one, or the file is cut short, damaged or too large for memory.
pub fn decode(bytes: &[u8]) -> Result<Rgb, ImageError> {
    decode_with(bytes, Exif::Ignore)
}

/// [`decode`] with or without the EXIF orientation.
///
/// # Errors
/// As for [`decode`].
pub fn decode_with(bytes: &[u8], exif: Exif) -> Result<Rgb, ImageError> {
    let (image, orientation) = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes).map_err(|reason| damaged(bytes, reason))?,
        Ok(format) => other(bytes, format).map_err(|error| failure(bytes, &error))?,
        Err(_) => return Err(ImageError { bytes: bytes.len(), reason: "unknown format".into(), help: FORMATS }),
    };
    Ok(match exif {
        Exif::Ignore => image,
        Exif::Apply => upright(image, orientation),
    })
}

/// Name of a file's format, such as `PNG`; `unknown` for formats without a decoder.
pub fn format_name(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => "PNG",
        Ok(ImageFormat::Jpeg) => "JPEG",
        Ok(ImageFormat::WebP) => "WebP",
        Ok(ImageFormat::Gif) => "GIF",
        Ok(ImageFormat::Bmp) => "BMP",
        Ok(ImageFormat::Tiff) => "TIFF",
        _ => "unknown",
    }
}

/// Whether the file's EXIF data ask for the image to be turned or mirrored to stand upright.
///
/// # Errors
/// If the head of the file cannot be read.
pub fn is_turned(bytes: &[u8]) -> Result<bool, ImageError> {
    let orientation = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::orientation(bytes).map_err(|reason| damaged(bytes, reason))?,
        Ok(format) => {
            let decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder();
            decoder.and_then(|mut decoder| decoder.orientation()).map_err(|error| failure(bytes, &error))?
        }
        Err(_) => Orientation::NoTransforms,
    };
    Ok(orientation != Orientation::NoTransforms)
}

fn other(bytes: &[u8], format: ImageFormat) -> image::ImageResult<(Rgb, Orientation)> {
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder()?;
    let orientation = decoder.orientation()?;
    if decoder.total_bytes() > ROOM.max(bytes.len() as u64 * MOST_COMPRESSED) {
        return Err(image::ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    let image = as_pillow(DynamicImage::from_decoder(decoder)?);
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok((Rgb { width, height, pixels: image.into_raw() }, orientation))
}

/// Reduces an image to 8 bits of red, green and blue as Pillow does.
fn as_pillow(image: DynamicImage) -> image::RgbImage {
    let upper = |value: u16| (value >> 8) as u8;
    let pixels = match &image {
        DynamicImage::ImageLuma16(grey) => grey.iter().flat_map(|value| [(*value).min(255) as u8; 3]).collect(),
        DynamicImage::ImageLumaA16(grey) => grey.pixels().flat_map(|pixel| [upper(pixel[0]); 3]).collect(),
        DynamicImage::ImageRgb16(rgb) => rgb.iter().copied().map(upper).collect(),
        DynamicImage::ImageRgba16(rgba) => rgba.pixels().flat_map(|p| [p[0], p[1], p[2]].map(upper)).collect(),
        _ => return image.into_rgb8(),
    };
    image::RgbImage::from_raw(image.width(), image.height(), pixels).expect("three bytes a pixel")
}

/// Turns and mirrors an image by its orientation.
fn upright(image: Rgb, orientation: Orientation) -> Rgb {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let size = (image.width as u32, image.height as u32);
    let pixels = image::RgbImage::from_raw(size.0, size.1, image.pixels).expect("three bytes a pixel");
    let mut turned = DynamicImage::ImageRgb8(pixels);
    turned.apply_orientation(orientation);
    Rgb { width: turned.width() as usize, height: turned.height() as usize, pixels: turned.into_bytes() }
}

fn damaged(bytes: &[u8], reason: String) -> ImageError {
    ImageError { bytes: bytes.len(), reason, help: REPLACE }
}

fn failure(bytes: &[u8], error: &image::ImageError) -> ImageError {
    let help = match error {
        image::ImageError::Unsupported(_) => FORMATS,
        _ => REPLACE,
    };
    ImageError { bytes: bytes.len(), reason: error.to_string(), help }
}
