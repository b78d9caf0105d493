//! Modalities that methods need, and the forms in which data sets hold them.

use std::fmt;

use serde::Serialize;

use crate::Modality;

/// The modalities that a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// One modality, the one of the experiment.
    Any,
    /// These modalities; a code is computed from the item's features of one of them.
    Separate(&'static [Modality]),
    /// These modalities; a code may be computed from the item's features of all of them.
    Fused(&'static [Modality]),
}

impl Needs {
    /// Whether an item's code may depend on its features of another modality.
    pub fn fused(self) -> bool {
        matches!(self, Self::Fused(_))
    }

    /// The modalities, if they are fixed.
    pub fn fixed(self) -> Option<&'static [Modality]> {
        match self {
            Self::Any => None,
            Self::Separate(modalities) | Self::Fused(modalities) => Some(modalities),
        }
    }
}

/// The form in which a data set holds the items of a modality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataKind {
    /// Pictures, which an encoder turns into features.
    Pixels,
    /// Texts, which an encoder turns into features.
    Texts,
    /// Features, which are used unchanged.
    Features,
}

impl fmt::Display for DataKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pixels => "pixels",
            Self::Texts => "texts",
            Self::Features => "features",
        })
    }
}
