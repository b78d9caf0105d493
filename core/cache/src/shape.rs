//! Size of a feature file.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Size of a feature file, and of the chunks that it is extracted in.
///
/// The chunk size is part of the feature file's identity, because a matrix product's rounding depends on its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows, one per item.
    pub rows: usize,
    /// Features per row.
    pub dim: usize,
    /// Rows per chunk; the last chunk may have fewer.
    pub chunk_rows: usize,
}

impl Shape {
    /// Number of chunks.
    pub fn chunks(&self) -> usize {
        self.rows.div_ceil(self.chunk_rows)
    }

    /// Rows of chunk number `chunk`.
    pub fn chunk(&self, chunk: usize) -> Range<usize> {
        let start = chunk * self.chunk_rows;
        start..self.rows.min(start + self.chunk_rows)
    }

    /// Whether memory can hold the features as f32, the type in which they are read, whatever it is on disk.
    pub(crate) fn is_addressable(&self) -> bool {
        let bytes = self.rows.checked_mul(self.dim).and_then(|n| n.checked_mul(size_of::<f32>()));
        let fits = bytes.is_some_and(|n| isize::try_from(n).is_ok()) && u32::try_from(self.rows).is_ok();
        fits && self.dim > 0 && self.chunk_rows > 0
    }
}
