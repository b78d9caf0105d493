//! Images in memory, decoding as by Pillow, and transforms equal to those of Pillow, torchvision and OpenCV bit for
//! bit.
//!
//! Published hashing results rest on augmentation done by Pillow (through torchvision) and OpenCV on 8-bit images.
//! Each primitive here does the same arithmetic, with the same rounding, so its output is equal in every pixel;
//! `tests/fixtures/generate.py` writes the originals' output. A call processes one image on one thread; callers
//! parallelize over images.
//!
//! Color primitives change an image in place; those that change its size return a new one. A [`Transform`] is a
//! sequence of them, chosen by the method that trains with it.
//!
//! ```
//! use hashlab_image::{Rgb, Step, Transform};
//!
//! let image = Rgb { width: 40, height: 30, pixels: vec![128; 40 * 30 * 3] };
//! let transform = Transform::new([Step::Resize { size: 16, filter: hashlab_image::Filter::Bilinear }]);
//! let small = transform.apply(&image, &mut hashlab_rng::stream(0, "augment", &[]));
//! assert_eq!((small.width, small.height, small.pixels[0]), (16, 16, 128));
//! ```

mod blur;
mod color;
mod decode;
mod encode;
mod geometry;
mod hsv;
mod jitter;
mod jpeg;
mod normalize;
mod region;
mod resample;
mod step;
mod transform;

pub use blur::{gaussian_blur, gaussian_blur_3};
pub use color::{adjust_brightness, adjust_contrast, adjust_saturation, grayscale, solarize};
pub use decode::{Exif, ImageError, decode, decode_with, format_name, is_turned};
pub use encode::{EncodeError, png, thumbnail};
pub use geometry::{RandomResizedCrop, crop, hflip};
pub use hsv::adjust_hue;
pub use jitter::ColorJitter;
pub use normalize::{IMAGENET, INCEPTION, Normalize, to_hwc};
pub use region::Region;
pub use resample::{Filter, resize, resize_region};
pub use step::Step;
pub use transform::Transform;

/// An RGB image: `height × width × 3` bytes, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue, from the upper left, row by row.
    pub pixels: Vec<u8>,
}

impl Rgb {
    /// The pixels as triples, row by row.
    pub(crate) fn triples(&self) -> &[[u8; 3]] {
        self.pixels.as_chunks().0
    }

    /// The pixels as triples to change, row by row.
    pub(crate) fn triples_mut(&mut self) -> &mut [[u8; 3]] {
        self.pixels.as_chunks_mut().0
    }

    /// The region that covers the image.
    pub(crate) fn region(&self) -> Region {
        Region { left: 0, top: 0, width: self.width, height: self.height }
    }
}
