//! An invented data set of images.

use std::path::PathBuf;

use hashlab_data::{
    ByModality, DataError, DataKind, Dataset, DatasetInfo, Images, ItemData, Labels, Modality, Protocol, Rgb, Roles,
    Split,
};

/// Plain squares with a brightness per class.
pub(crate) struct Squares {
    info: DatasetInfo,
    labels: Labels,
}

pub(crate) const ITEMS: usize = 60;

impl Squares {
    pub(crate) fn new() -> Self {
        let modalities = ByModality::one(Modality::Image, DataKind::Pixels);
        Self { info: info(modalities), labels: Labels::single(2, (0..ITEMS).map(|item| item % 2)) }
    }
}

/// Facts about a data set of these tests.
pub(crate) fn info(modalities: ByModality<DataKind>) -> DatasetInfo {
    let protocols = vec![Protocol::new("only", "10 queries, the others are trained on and searched", None)];
    DatasetInfo { identity: "v1".into(), modalities, classes: Vec::new(), protocols }
}

/// The split of every data set of these tests: 10 queries, 45 training items, 5 validation queries.
pub(crate) fn split(split_seed: u64) -> Result<Split, DataError> {
    let items: Vec<u32> = (0..ITEMS as u32).collect();
    let (query, rest) = items.split_at(10);
    let roles = Roles { train: rest.to_vec(), validation_query: None, query: query.to_vec(), database: rest.to_vec() };
    roles.into_split(ITEMS, split_seed)
}

impl Images for Squares {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        let value = if index.is_multiple_of(2) { 40 } else { 200 } + index as u8 / 2;
        Ok(Rgb { width: 8, height: 8, pixels: vec![value; 8 * 8 * 3] })
    }
}

impl Dataset for Squares {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        (modality == Modality::Image).then_some(ItemData::Images(self))
    }
    fn digest(&self) -> Result<&str, DataError> {
        Ok("squares")
    }
    fn split(&self, _: &str, split_seed: u64) -> Result<Split, DataError> {
        split(split_seed)
    }
    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
