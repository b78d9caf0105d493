//! Facts about a data set, for people.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::split::Sizes;
use crate::{DataDirs, DataError, Dataset, Entry, Info, Protocol};

/// What can be said of a registered data set.
#[derive(Debug)]
pub struct Description {
    /// What it declares: title, source, licence, citation, protocols.
    pub info: Info,
    /// Every setting with its default.
    pub defaults: Map<String, Value>,
    /// What every setting means.
    pub docs: BTreeMap<String, String>,
    /// What was found, or why it cannot be used here.
    pub contents: Result<Contents, DataError>,
}

/// What an opened data set holds.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Number of items.
    pub items: usize,
    /// Number of classes.
    pub classes: usize,
    /// Mean number of classes of an item; 1 where every item has one label.
    pub labels_per_item: f64,
    /// Files that it was read from; empty where items are generated.
    pub found_at: Vec<PathBuf>,
    /// Every protocol with the sizes of its roles (the same for every `split_seed`).
    pub protocols: Vec<(Protocol, Sizes)>,
}

impl Entry {
    /// Opens the data set with `settings` and counts what it holds. Reads labels, not images.
    pub fn describe(&self, settings: &Map<String, Value>, dirs: &DataDirs) -> Description {
        let contents = self.open(settings, dirs).and_then(|dataset| contents(self.info(), &*dataset));
        Description { info: *self.info(), defaults: self.defaults(), docs: self.docs(), contents }
    }
}

fn contents(info: &Info, dataset: &dyn Dataset) -> Result<Contents, DataError> {
    let sizes = |protocol: &Protocol| Ok((*protocol, dataset.split(protocol.name, 0)?.sizes()));
    let labels = dataset.labels();
    let set: u32 = (0..labels.len()).flat_map(|item| labels.item(item)).map(|word| word.count_ones()).sum();
    Ok(Contents {
        items: dataset.len(),
        classes: labels.classes(),
        labels_per_item: f64::from(set) / dataset.len().max(1) as f64,
        found_at: dataset.found_at(),
        protocols: info.protocols.iter().map(sizes).collect::<Result<_, DataError>>()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;

    #[test]
    fn counts_items_labels_and_roles() {
        let description = Entry::of::<Fake>().describe(&Map::new(), &DataDirs(vec![]));
        assert_eq!((description.info.name, description.docs.len()), ("fake", 2));
        let contents = description.contents.unwrap();
        assert_eq!((contents.items, contents.classes, contents.labels_per_item), (40, 2, 1.5));
        let (protocol, sizes) = &contents.protocols[0];
        assert_eq!((protocol.name, sizes.query, sizes.train, sizes.validation_query), ("fake", 10, 27, 3));
    }

    #[test]
    fn a_data_set_that_cannot_be_opened_is_still_described() {
        let settings = json!({"items": 0}).as_object().unwrap().clone();
        let description = Entry::of::<Fake>().describe(&settings, &DataDirs(vec![]));
        assert_eq!(description.info.name, "fake");
        assert!(description.contents.is_err());
    }
}
