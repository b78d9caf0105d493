//! How many ranks of a ranking are measured.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Depth K of mAP@K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The whole ranking.
    All,
    /// The nearest K items.
    At(usize),
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::At(depth) => depth.fmt(f),
        }
    }
}

impl Serialize for Depth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::At(depth) => serializer.serialize_u64(*depth as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Depth {
    /// Reads a number or `"all"`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum NumberOrWord {
            Number(usize),
            Word(String),
        }
        match NumberOrWord::deserialize(deserializer)? {
            NumberOrWord::Number(depth) if depth > 0 => Ok(Self::At(depth)),
            NumberOrWord::Word(word) if word == "all" => Ok(Self::All),
            _ => Err(D::Error::custom("expected a rank, counted from 1, or \"all\"")),
        }
    }
}
