//! What the items of a run's best and worst queries look like, kept with the run, so that a page needs no data set.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hashlab_data::{Dataset, ItemData, Modality};
use hashlab_image::thumbnail;
use hashlab_store::{Neighbors, QueryResults, ShownItem, ShownItems};

/// Longer side of a picture in pixels.
const SIDE: usize = 64;

/// Characters of a text that are kept.
const CHARACTERS: usize = 160;

/// Collects pictures and captions of the queries that a page shows, and of what they found. An item that cannot be read
/// is left out, with a warning: the run has its result without it.
pub(crate) fn shown_items(dataset: &dyn Dataset, queries: &QueryResults) -> ShownItems {
    let mut wanted: BTreeMap<Modality, BTreeSet<u32>> = BTreeMap::new();
    for (task, queries) in &queries.tasks {
        let first = |all: &'_ [Neighbors]| all.iter().take(ShownItems::QUERIES).cloned().collect::<Vec<_>>();
        for found in first(&queries.best).iter().chain(&first(&queries.worst)) {
            wanted.entry(task.query).or_default().insert(found.query);
            wanted.entry(task.database).or_default().extend(&found.items);
        }
    }
    let of_modality = |(modality, items): (Modality, BTreeSet<u32>)| {
        let shown = items.into_iter().filter_map(|item| {
            let shown = shown_item(dataset, modality, item);
            shown.inspect_err(|error| tracing::warn!("item {item} has no picture in reports: {error}")).ok()
        });
        (modality, shown.collect())
    };
    ShownItems { items: wanted.into_iter().map(of_modality).collect() }
}

fn shown_item(dataset: &dyn Dataset, modality: Modality, item: u32) -> anyhow::Result<(u32, ShownItem)> {
    let index = item as usize;
    let (jpeg, text) = match dataset.data(modality) {
        Some(ItemData::Images(images)) => (Some(STANDARD.encode(thumbnail(&images.image(index)?, SIDE)?)), None),
        Some(ItemData::Texts(texts)) => (None, Some(texts.text(index, 0)?.chars().take(CHARACTERS).collect())),
        _ => (None, None),
    };
    let name = |class: usize| dataset.info().classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
    let labels = dataset.labels().classes_of(index).into_iter().map(name).collect();
    Ok((item, ShownItem { jpeg, text, labels }))
}
