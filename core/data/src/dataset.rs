//! Interface of an opened data set.

use std::ops::Range;
use std::path::PathBuf;

use hashlab_image::Rgb;
use serde::Serialize;

use crate::{ByModality, DataError, DataKind, Labels, Modality, Split};

/// Facts about a data set with its settings.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetInfo {
    /// Identity of the content, part of a run's identity: a version, raised when items or labels change, or a digest.
    pub identity: String,
    /// Modalities of the items, and the form of each.
    pub modalities: ByModality<DataKind>,
    /// Names of the classes, if known.
    pub classes: Vec<String>,
    /// Split recipes; the first is the default.
    pub protocols: Vec<Protocol>,
}

impl DatasetInfo {
    /// Finds a protocol by name.
    ///
    /// # Errors
    /// [`DataError::Invalid`], with the known names, if there is none of that name.
    pub fn protocol(&self, name: &str) -> Result<&Protocol, DataError> {
        self.protocols.iter().find(|protocol| protocol.name == name).ok_or_else(|| {
            let known: Vec<_> = self.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
            DataError::Invalid(format!("there is no protocol `{name}`\nhelp: known: {}", known.join(", ")))
        })
    }
}

/// A named split recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protocol {
    /// Name, e.g. `cifar10-1`.
    pub name: String,
    /// Description, one line: sizes of query, train and database, and the source of the recipe.
    pub description: String,
    /// The depth K of mAP@K that papers use with it; `None` is the whole ranking.
    pub map_at: Option<usize>,
}

impl Protocol {
    /// A recipe with its depth.
    pub fn new(name: &str, description: &str, map_at: Option<usize>) -> Self {
        Self { name: name.to_owned(), description: description.to_owned(), map_at }
    }
}

/// Items with labels and one or more modalities. Indices run over all items of all parts of the original.
///
/// Opening, [`labels`](Dataset::labels) and [`split`](Dataset::split) are cheap: a run that finds its features in the
/// cache never decodes an image.
pub trait Dataset: Send + Sync {
    /// Facts about the data set.
    fn info(&self) -> &DatasetInfo;

    /// Number of items.
    fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels of all items.
    fn labels(&self) -> &Labels;

    /// The items' data of a modality; `None` if they have none.
    fn data(&self, modality: Modality) -> Option<ItemData<'_>>;

    /// Digest (hexadecimal blake3) over all content and labels, in item order; independent of the file format. Reads
    /// and verifies everything on first use.
    ///
    /// # Errors
    /// If stored items are damaged, or do not match the identity.
    fn digest(&self) -> Result<&str, DataError>;

    /// Splits the items by a protocol of this data set.
    ///
    /// # Errors
    /// If the protocol is unknown or does not fit the items.
    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError>;

    /// Files or folders that the items were read from; empty if they are generated.
    fn found_at(&self) -> Vec<PathBuf>;

    /// Findings in a user's own files, a line each: counts of items, classes and captions, and of what was left out.
    fn findings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Those of the findings that a plan warns of: items that are left out, labels that are none.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The items' data of one modality.
#[derive(Clone, Copy)]
pub enum ItemData<'a> {
    /// Images.
    Images(&'a dyn Images),
    /// Texts.
    Texts(&'a dyn Texts),
    /// Feature vectors.
    Features(&'a dyn StoredFeatures),
}

impl ItemData<'_> {
    /// The form of the data.
    pub fn kind(&self) -> DataKind {
        match self {
            Self::Images(_) => DataKind::Pixels,
            Self::Texts(_) => DataKind::Texts,
            Self::Features(_) => DataKind::Features,
        }
    }
}

/// Images by item.
pub trait Images: Send + Sync {
    /// The decoded image of item `index`.
    ///
    /// # Errors
    /// If it is damaged, or does not match the data set's identity.
    fn image(&self, index: usize) -> Result<Rgb, DataError>;

    /// The bytes of the file that item `index` is decoded from; `None` if images are not files.
    ///
    /// # Errors
    /// If it cannot be read.
    fn encoded(&self, _index: usize) -> Result<Option<Vec<u8>>, DataError> {
        Ok(None)
    }
}

/// Texts by item.
pub trait Texts: Send + Sync {
    /// Captions of an item, the same number for all; they are its views.
    fn captions(&self) -> usize {
        1
    }

    /// Caption number `caption` of item `index`.
    ///
    /// # Errors
    /// If it cannot be read.
    fn text(&self, index: usize, caption: usize) -> Result<String, DataError>;
}

/// Feature vectors by item.
pub trait StoredFeatures: Send + Sync {
    /// Length of a vector.
    fn dim(&self) -> usize;

    /// Views of an item, the same number for all; the first is the one without augmentation.
    fn views(&self) -> usize {
        1
    }

    /// The views that a training step draws from if its method learns from augmented views.
    fn drawn(&self) -> Range<usize> {
        0..self.views()
    }

    /// Reads a view of `items` into `out`, `(items, dim)`, row-major.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&self, items: &[u32], view: usize, out: &mut [f32]) -> Result<(), DataError>;
}
