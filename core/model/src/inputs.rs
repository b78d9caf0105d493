//! What methods are fed with: rows of the view bank, or images where the backbone is trained with the method.

mod images;

pub use images::{Images, LiveViews};

use anyhow::Result;
use candle_core::{Device, Tensor};
use hashlab_bank::Segment;

use crate::features::gather;

/// The items of a data set without augmentation, as a method encodes them.
pub trait Inputs: Sync {
    /// Number of items.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Items encoded at once. Fixed, because a matrix product's rounding depends on its shape.
    fn chunk(&self) -> usize;
    /// Loads `items`; the first dimension is theirs.
    ///
    /// # Errors
    /// If they cannot be read.
    fn load(&self, items: &[u32]) -> Result<Tensor>;
}

/// Stored features.
pub struct Stored<'a> {
    /// Row = item.
    pub segment: &'a Segment,
    /// Where tensors live.
    pub device: &'a Device,
}

impl Inputs for Stored<'_> {
    fn len(&self) -> usize {
        self.segment.rows()
    }

    fn chunk(&self) -> usize {
        1024
    }

    fn load(&self, items: &[u32]) -> Result<Tensor> {
        gather(self.segment, items, self.device)
    }
}
