//! Rectangles within an image.

use crate::Rgb;

/// A rectangle of whole pixels within an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Columns to its left.
    pub left: usize,
    /// Rows above it.
    pub top: usize,
    /// Its columns.
    pub width: usize,
    /// Its rows.
    pub height: usize,
}

impl Region {
    /// Panics, naming both, if the region reaches beyond `image`.
    pub(crate) fn check_inside(self, image: &Rgb) {
        assert!(
            self.left + self.width <= image.width && self.top + self.height <= image.height,
            "{self:?} reaches beyond an image of {} x {}",
            image.width,
            image.height
        );
    }

    /// The region of at most `width × height` in the middle of an image, nearer the upper left if it cannot be exact.
    pub(crate) fn central(image: &Rgb, width: usize, height: usize) -> Self {
        let (width, height) = (width.min(image.width), height.min(image.height));
        Self { left: (image.width - width) / 2, top: (image.height - height) / 2, width, height }
    }
}
