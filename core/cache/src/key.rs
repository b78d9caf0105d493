//! Identity of a feature file.

use serde::{Deserialize, Serialize};

use crate::{CacheDtype, CacheError, Shape};

/// Version of the stored format, part of every identity, so that files of another version are never read.
const FORMAT: u32 = 1;

/// Identity of a feature file: everything that its features depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureKey {
    /// Digest of the data set's decoded content.
    pub dataset: String,
    /// Digest of the list of items, in row order: [`items_digest`].
    pub items: String,
    /// Encoder, with its revision and the layer up to which it is frozen, e.g. `vgg16/1 fc6`.
    pub encoder: String,
    /// Digest of the encoder's weights.
    pub weights: String,
    /// Identity of the transform, with its settings.
    pub transform: String,
    /// Number of the draw of a random transform; 0 for a fixed one.
    pub view: u32,
    /// Type of the stored features.
    pub dtype: CacheDtype,
}

/// Digests a list of items (hexadecimal blake3), for [`FeatureKey::items`].
pub fn items_digest(items: &[u32]) -> String {
    let mut hasher = blake3::Hasher::new();
    for item in items {
        hasher.update(&item.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Full identity of a feature file, stored beside its data as `key.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    format: u32,
    pub(crate) key: FeatureKey,
    pub(crate) shape: Shape,
}

impl Identity {
    pub(crate) fn new(key: &FeatureKey, shape: Shape) -> Result<Self, CacheError> {
        if !shape.is_addressable() {
            return Err(CacheError::Shape(shape));
        }
        Ok(Self { format: FORMAT, key: key.clone(), shape })
    }

    /// Type of the stored values.
    pub(crate) fn dtype(&self) -> CacheDtype {
        self.key.dtype
    }

    /// Size of the features on disk, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset(self.shape.rows)
    }

    /// Position of row number `row` in the data, in bytes.
    pub(crate) fn offset(&self, row: usize) -> u64 {
        (row * self.shape.dim * self.dtype().bytes()) as u64
    }

    pub(crate) fn digest(&self) -> blake3::Hash {
        // The fields' order is that of their declaration, so equal identities have equal text.
        blake3::hash(&serde_json::to_vec(self).expect("an identity is plain data"))
    }

    /// Parses `key.json`; `None` if it is malformed.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let identity: Self = serde_json::from_slice(text).ok()?;
        identity.shape.is_addressable().then_some(())?;
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
            assert!(!bad.is_addressable(), "{bad:?}");
        }
        assert!(shape(0, 1, 1).is_addressable());
    }

    #[test]
    fn every_part_of_the_identity_changes_the_digest() {
        let text = |s: &str| s.to_owned();
        let key = FeatureKey {
            dataset: text("d"),
            items: items_digest(&[1, 2]),
            encoder: text("b"),
            weights: text("w"),
            transform: text("t"),
            view: 0,
            dtype: CacheDtype::F32,
        };
        let others = [
            FeatureKey { dataset: text("x"), ..key.clone() },
            FeatureKey { items: items_digest(&[2, 1]), ..key.clone() },
            FeatureKey { encoder: text("x"), ..key.clone() },
            FeatureKey { weights: text("x"), ..key.clone() },
            FeatureKey { transform: text("x"), ..key.clone() },
            FeatureKey { view: 1, ..key.clone() },
            FeatureKey { dtype: CacheDtype::F16, ..key.clone() },
        ];
        let digest = |key: &FeatureKey, shape| Identity::new(key, shape).unwrap().digest();
        let base = shape(4, 3, 2);
        let mut digests = vec![digest(&key, base)];
        digests.extend(others.iter().map(|other| digest(other, base)));
        digests.extend([shape(5, 3, 2), shape(4, 2, 2), shape(4, 3, 1)].map(|other| digest(&key, other)));
        let distinct: std::collections::BTreeSet<_> = digests.iter().map(|d| *d.as_bytes()).collect();
        assert_eq!(distinct.len(), digests.len());
    }

    #[test]
    fn an_identity_reads_back_and_nonsense_does_not() {
        let key: FeatureKey = serde_json::from_str(
            r#"{"dataset":"d","items":"i","encoder":"b","weights":"w","transform":"t","view":3,"dtype":"f32"}"#,
        )
        .unwrap();
        let identity = Identity::new(&key, shape(4, 3, 2)).unwrap();
        assert_eq!(Identity::parse(&serde_json::to_vec(&identity).unwrap()), Some(identity));
        assert_eq!(Identity::parse(b"{\"format\":1"), None);
    }
}
