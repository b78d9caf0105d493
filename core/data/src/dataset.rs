//! What a data set declares and what an opened one gives.

use std::path::PathBuf;

use serde::Serialize;

use crate::{DataError, Labels, Rgb, Split};

/// What a data set holds, for people and for checks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Info {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// One line: what it holds.
    pub title: &'static str,
    /// Where it comes from and how to get it.
    pub source: &'static str,
    /// Licence or terms, as its authors state them.
    pub licence: &'static str,
    /// How to cite it.
    pub citation: &'static str,
    /// Identity of the content, part of a run's identity: raised or changed when items or labels change.
    pub identity: &'static str,
    /// Names of the classes, where they are fixed.
    pub classes: &'static [&'static str],
    /// Whether items have captions beside their images.
    pub captions: bool,
    /// Split recipes; the first is the default.
    pub protocols: &'static [Protocol],
}

impl Info {
    /// Finds a protocol by name.
    ///
    /// # Errors
    /// [`DataError::Invalid`], with the known names, if there is none of that name.
    pub fn protocol(&self, name: &str) -> Result<&'static Protocol, DataError> {
        self.protocols.iter().find(|protocol| protocol.name == name).ok_or_else(|| {
            let known: Vec<_> = self.protocols.iter().map(|protocol| protocol.name).collect();
            DataError::Invalid(format!(
                "data set `{}` has no protocol `{name}`\nhelp: known: {}",
                self.name,
                known.join(", ")
            ))
        })
    }
}

/// A named split recipe.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Protocol {
    /// Name, e.g. `cifar10-1`.
    pub name: &'static str,
    /// One line: sizes of query, train and database, and the source of the recipe.
    pub description: &'static str,
    /// The depth K of mAP@K that papers use with it; 0 is the whole ranking.
    pub map_at: usize,
}

/// Items with images, labels and perhaps captions. Indices run over all items of all parts of the original.
///
/// Opening, [`labels`](Dataset::labels) and [`split`](Dataset::split) are cheap: a run that finds its features in a
/// bank never decodes an image.
pub trait Dataset: Send + Sync {
    /// Number of items.
    fn len(&self) -> usize;
    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The image of item `index`, decoded.
    ///
    /// # Errors
    /// If the stored images are damaged, or are not those that the data set's identity promises.
    fn image(&self, index: usize) -> Result<Rgb, DataError>;
    /// The caption of item `index`, where the data set has captions.
    fn caption(&self, index: usize) -> Option<String>;
    /// The labels of all items.
    fn labels(&self) -> &Labels;
    /// Digest (hexadecimal blake3) over all decoded pixels and labels, in item order; independent of the file format.
    /// Reads and verifies every image on first use.
    ///
    /// # Errors
    /// As [`Dataset::image`].
    fn digest(&self) -> Result<&str, DataError>;
    /// Splits the items by a protocol of this data set.
    ///
    /// # Errors
    /// If the protocol is unknown or does not fit the items.
    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError>;
    /// Files or folders that the items were read from; empty where they are generated.
    fn found_at(&self) -> Vec<PathBuf>;
}
