//! Summary of an opened data set, for listings.

use std::path::PathBuf;

use crate::split::Sizes;
use crate::{DataError, Dataset, Protocol};

/// Counts of an opened data set.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Number of items.
    pub items: usize,
    /// Number of classes.
    pub classes: usize,
    /// Mean number of classes of an item; 1 if every item has one label.
    pub labels_per_item: f64,
    /// Files that it was read from; empty if items are generated.
    pub found_at: Vec<PathBuf>,
    /// Every protocol with the sizes of its roles (the same for every `split_seed`).
    pub protocols: Vec<(Protocol, Sizes)>,
}

impl Contents {
    /// Counts the contents of `dataset`. Reads labels, not images.
    ///
    /// # Errors
    /// If a protocol does not fit the items.
    pub fn of(dataset: &dyn Dataset) -> Result<Self, DataError> {
        let sizes = |protocol: &Protocol| Ok((protocol.clone(), dataset.split(&protocol.name, 0)?.sizes()));
        let labels = dataset.labels();
        let set: u32 = (0..labels.len()).flat_map(|item| labels.item(item)).map(|word| word.count_ones()).sum();
        Ok(Self {
            items: dataset.len(),
            classes: labels.classes(),
            labels_per_item: f64::from(set) / dataset.len().max(1) as f64,
            found_at: dataset.found_at(),
            protocols: dataset.info().protocols.iter().map(sizes).collect::<Result<_, DataError>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use hashlab_settings::Settings;

    use super::*;
    use crate::fake::Fake;
    use crate::{DataDirs, DatasetEntry};

    #[test]
    fn counts_items_labels_and_roles() {
        let dataset = DatasetEntry::of::<Fake>().open(&Settings::new(), &DataDirs::of(vec![])).unwrap();
        let contents = Contents::of(&*dataset).unwrap();
        assert_eq!((contents.items, contents.classes, contents.labels_per_item), (40, 2, 1.5));
        let (protocol, sizes) = &contents.protocols[0];
        assert_eq!((protocol.name.as_str(), sizes.query, sizes.train, sizes.validation_query), ("fake", 10, 27, 3));
    }
}
