//! Features with their augmented views, in one array or in files of their own.

use std::ops::Range;

use hashlab_data::{ByModality, DataError, Modality, StoredFeatures};

use super::{Files, same_items};
use crate::array::{self, Array};

/// The features of one modality.
pub(super) struct Stored {
    /// `(items, views, dim)`.
    pub(super) plain: Array,
    /// Augmented views of the training items, `(training items, dim)` each.
    views: Vec<Array>,
    /// The row of each item in `views`; of items that are not trained on, none.
    rows: Vec<Option<usize>>,
}

impl Stored {
    pub(super) fn new(plain: Array) -> Self {
        Self { plain, views: Vec::new(), rows: Vec::new() }
    }

    /// Adds values and shapes to a digest.
    pub(super) fn hash(&self, hasher: &mut blake3::Hasher) {
        self.plain.hash(hasher);
        self.views.iter().for_each(|view| view.hash(hasher));
    }
}

impl StoredFeatures for Stored {
    fn dim(&self) -> usize {
        self.plain.width()
    }

    fn views(&self) -> usize {
        self.plain.count() + self.views.len()
    }

    fn drawn(&self) -> Range<usize> {
        if self.views.is_empty() { 0..self.views() } else { self.plain.count()..self.views() }
    }

    fn read(&self, items: &[u32], view: usize, out: &mut [f32]) -> Result<(), DataError> {
        let stored = view.checked_sub(self.plain.count()).and_then(|view| self.views.get(view));
        for (&item, row) in items.iter().zip(out.chunks_exact_mut(self.dim())) {
            let item = item as usize;
            row.copy_from_slice(match stored {
                None => self.plain.row(item, view),
                Some(stored) => stored.row(self.row(item)?, 0),
            });
        }
        Ok(())
    }
}

impl Stored {
    fn row(&self, item: usize) -> Result<usize, DataError> {
        let row = self.rows.get(item).copied().flatten();
        row.ok_or_else(|| DataError::Invalid(format!("item {item} is not trained on, so that it has no views")))
    }
}

impl Files<'_> {
    /// Reads the views that lie in the folder as files of their own, with a row for every item of `train`.
    pub(super) fn read_views(&mut self, features: &mut ByModality<Stored>, train: &[u32]) -> Result<(), DataError> {
        for modality in Modality::ALL {
            let Some(stored) = features.get_mut(modality) else { continue };
            let prefixes: &[&str] = if modality == Modality::Image { &["image_", ""] } else { &["text_"] };
            loop {
                let number = stored.views.len();
                let names: Vec<String> =
                    prefixes.iter().map(|prefix| format!("{prefix}view_{number:03}.npy")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let Some(path) = self.find(None, &names)? else { break };
                let view = array::read(&path)?.features(&path)?;
                same_items(modality, view.rows(), train.len()).map_err(|_| {
                    DataError::Invalid(format!("{path} has {} rows for {} training items", view.rows(), train.len()))
                })?;
                if view.width() != stored.plain.width() || view.count() != 1 {
                    let expected = stored.plain.width();
                    return Err(DataError::Invalid(format!(
                        "{path} has rows of {}, the features of {expected}",
                        view.width()
                    )));
                }
                stored.views.push(view);
            }
            if !stored.views.is_empty() {
                stored.rows = vec![None; stored.plain.rows()];
                for (row, &item) in train.iter().enumerate() {
                    if let Some(place) = stored.rows.get_mut(item as usize) {
                        *place = Some(row);
                    }
                }
            }
        }
        Ok(())
    }
}
