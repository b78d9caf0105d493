//! Decoding of JPEG files.

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::Rgb;

/// Marker of the end of an image.
const END: [u8; 2] = [0xff, 0xd9];
/// Pixels that a byte can stand for: a block of 64 has at least a bit, and twice as much is let pass.
const MOST_PIXELS: usize = 1024;
/// Second byte of the marker of a scan: compressed pixels follow.
const SCAN: u8 = 0xda;

/// Decodes an image, and reads its orientation.
///
/// # Errors
/// The problem of the file. A file without its end marker is rejected, as by Pillow; the decoder would fill the missing
/// part with grey.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Rgb, Orientation), String> {
    if !is_complete(bytes) {
        return Err("the file ends before its image does".to_owned());
    }
    let mut decoder = open(bytes);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("the file states no size")?;
    if width * height > bytes.len() * MOST_PIXELS {
        return Err(format!("an image of {width} × {height} pixels, more than the file can hold"));
    }
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    Ok((Rgb { width, height, pixels }, orientation_of(&decoder)))
}

/// Reads the orientation alone.
///
/// # Errors
/// The problem of the head of the file.
pub(crate) fn orientation(bytes: &[u8]) -> Result<Orientation, String> {
    let mut decoder = open(bytes);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    Ok(orientation_of(&decoder))
}

/// The bytes of a file, as a type of this crate: the decoder is compiled for the type that it reads from, and for a plain
/// slice the compiler takes the code that a crate of less optimization has made, which is a fifth slower.
struct Bytes<'a>(&'a [u8]);

impl AsRef<[u8]> for Bytes<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

fn open(bytes: &[u8]) -> JpegDecoder<ZCursor<Bytes<'_>>> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    JpegDecoder::new_with_options(ZCursor::new(Bytes(bytes)), options)
}

fn orientation_of(decoder: &JpegDecoder<ZCursor<Bytes<'_>>>) -> Orientation {
    decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms)
}

/// Whether an end marker follows the beginning of the first scan. Within compressed pixels these two bytes have no
/// other meaning; the segments before the first scan, such as a preview, may hold them.
fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4).and_then(|head| head.first_chunk()) {
        match marker {
            SCAN => return bytes[at..].windows(2).rev().any(|pair| pair == END),
            0xff => at += 1,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}
