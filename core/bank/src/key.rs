//! What identifies a segment.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{BankError, Precision};

/// Version of the stored format, part of every identity: older segments are not misread, they are just other ones.
const FORMAT: u32 = 1;

/// Everything that the features of a segment depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentKey {
    /// Digest of the data set's decoded content.
    pub dataset: String,
    /// Digest of the list of items, in row order: [`items_digest`].
    pub items: String,
    /// Backbone, with its revision and where it is cut, e.g. `vgg16/1 fc6`.
    pub backbone: String,
    /// Digest of the backbone's weights.
    pub weights: String,
    /// Identity of the transform, with its settings.
    pub transform: String,
    /// Which draw of a random transform; 0 for a fixed one.
    pub view: u32,
    /// How the features are stored.
    pub precision: Precision,
}

/// Digests a list of items (hexadecimal blake3), for [`SegmentKey::items`].
pub fn items_digest(items: &[u32]) -> String {
    let mut hasher = blake3::Hasher::new();
    for item in items {
        hasher.update(&item.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Size of a segment, and of the chunks that it is extracted in.
///
/// The chunk size is part of the segment's identity, because a matrix product's rounding depends on its shape.
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

    fn check(&self) -> Result<(), BankError> {
        // Whatever the precision on disk, readers get f32.
        let bytes = self.rows.checked_mul(self.dim).and_then(|n| n.checked_mul(size_of::<f32>()));
        let addressable = bytes.is_some_and(|n| isize::try_from(n).is_ok()) && u32::try_from(self.rows).is_ok();
        if self.dim == 0 || self.chunk_rows == 0 || !addressable {
            return Err(BankError::Shape(*self));
        }
        Ok(())
    }
}

/// A segment's full identity, kept beside its data as `key.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    format: u32,
    pub(crate) key: SegmentKey,
    pub(crate) shape: Shape,
}

impl Identity {
    pub(crate) fn new(key: &SegmentKey, shape: Shape) -> Result<Self, BankError> {
        shape.check()?;
        Ok(Self { format: FORMAT, key: key.clone(), shape })
    }

    /// How the values are stored.
    pub(crate) fn precision(&self) -> Precision {
        self.key.precision
    }

    /// Size of the features on disk, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset(self.shape.rows)
    }

    /// Position of row number `row` in the data, in bytes.
    pub(crate) fn offset(&self, row: usize) -> u64 {
        (row * self.shape.dim * self.precision().bytes()) as u64
    }

    pub(crate) fn digest(&self) -> blake3::Hash {
        // The fields' order is that of their declaration, so equal identities have equal text.
        blake3::hash(&serde_json::to_vec(self).expect("an identity is plain data"))
    }

    /// Reads what `key.json` says; none if it says nothing sensible.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let identity: Self = serde_json::from_slice(text).ok()?;
        identity.shape.check().ok()?;
        Some(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(rows: usize, dim: usize, chunk_rows: usize) -> Shape {
        Shape { rows, dim, chunk_rows }
    }

    #[test]
    fn chunks_cover_every_row_once() {
        for (rows, chunk_rows) in [(0, 3), (1, 3), (3, 3), (10, 3), (10, 1), (10, 100)] {
            let shape = shape(rows, 2, chunk_rows);
            let covered: Vec<usize> = (0..shape.chunks()).flat_map(|chunk| shape.chunk(chunk)).collect();
            assert!(covered.into_iter().eq(0..rows));
        }
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let overflowing = [shape(usize::MAX, 2, 1), shape(1, usize::MAX / 4, 1), shape(1 << 33, 1, 1)];
        for bad in [shape(1, 0, 1), shape(1, 1, 0)].into_iter().chain(overflowing) {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(shape(0, 1, 1).check().is_ok());
    }

    #[test]
    fn every_part_of_the_identity_changes_the_digest() {
        let text = |s: &str| s.to_owned();
        let key = SegmentKey {
            dataset: text("d"),
            items: items_digest(&[1, 2]),
            backbone: text("b"),
            weights: text("w"),
            transform: text("t"),
            view: 0,
            precision: Precision::F32,
        };
        let others = [
            SegmentKey { dataset: text("x"), ..key.clone() },
            SegmentKey { items: items_digest(&[2, 1]), ..key.clone() },
            SegmentKey { backbone: text("x"), ..key.clone() },
            SegmentKey { weights: text("x"), ..key.clone() },
            SegmentKey { transform: text("x"), ..key.clone() },
            SegmentKey { view: 1, ..key.clone() },
            SegmentKey { precision: Precision::F16, ..key.clone() },
        ];
        let digest = |key: &SegmentKey, shape| Identity::new(key, shape).unwrap().digest();
        let base = shape(4, 3, 2);
        let mut digests = vec![digest(&key, base)];
        digests.extend(others.iter().map(|other| digest(other, base)));
        digests.extend([shape(5, 3, 2), shape(4, 2, 2), shape(4, 3, 1)].map(|other| digest(&key, other)));
        let distinct: std::collections::BTreeSet<_> = digests.iter().map(|d| *d.as_bytes()).collect();
        assert_eq!(distinct.len(), digests.len());
    }

    #[test]
    fn an_identity_reads_back_and_nonsense_does_not() {
        let key: SegmentKey = serde_json::from_str(
            r#"{"dataset":"d","items":"i","backbone":"b","weights":"w","transform":"t","view":3,"precision":"f32"}"#,
        )
        .unwrap();
        let identity = Identity::new(&key, shape(4, 3, 2)).unwrap();
        assert_eq!(Identity::parse(&serde_json::to_vec(&identity).unwrap()), Some(identity));
        assert_eq!(Identity::parse(b"{\"format\":1"), None);
    }
}
