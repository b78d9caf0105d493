//! Files of a run for pages: pictures of items, and statistics of its codes.

use std::collections::BTreeMap;

use hashlab_data::{ByModality, Task};
use serde::{Deserialize, Serialize};

/// Thumbnails and captions of the items of the best and the worst queries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownItems {
    /// By item index.
    pub items: ByModality<BTreeMap<u32, ShownItem>>,
}

/// Thumbnail, caption and labels of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownItem {
    /// A small JPEG in base64; `None` for other items than images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jpeg: Option<String>,
    /// A caption; `None` for other items than texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Names of its classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl ShownItems {
    /// Number of the best and of the worst queries that are shown.
    pub const QUERIES: usize = 4;
}

/// Statistics of single bits and of distances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeProfile {
    /// Bits of the codes of all items.
    pub bits: ByModality<BitProfile>,
    /// Distances between queries and the database.
    pub distances: BTreeMap<Task, DistanceProfile>,
}

/// Statistics of single bits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitProfile {
    /// Fraction of codes in which a bit is 1, by bit.
    pub ones: Vec<f64>,
    /// Pairs of bits by the magnitude of their correlation, in bins of equal width from 0 to 1. Constant bits have
    /// none.
    pub correlations: Vec<u64>,
    /// The mean magnitude of the correlation; 0 without pairs.
    pub mean_correlation: f64,
    /// The largest magnitude.
    pub largest_correlation: f64,
    /// Digest of the packed codes of all items, in their order. Older runs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Correlation of each bit with the bits before it, in hundredths, bit after bit: 1 with 0, 2 with 0, 2 with 1 … A pair
    /// with a constant bit has none. Empty for codes longer than [`BitProfile::MOST_PAIRED`], and in older runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Option<i8>>,
}

impl BitProfile {
    /// The longest codes whose pairs of bits are kept: a figure of more bits shows none of them.
    pub const MOST_PAIRED: usize = 128;
}

/// Pairs of a query and a database item by their Hamming distance, `0..=bits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistanceProfile {
    /// Number of queries: the first of the split.
    pub queries: usize,
    /// Pairs that share a label.
    pub relevant: Vec<u64>,
    /// Pairs that share no label.
    pub others: Vec<u64>,
}
