//! A data set made up for the purpose.

use std::path::PathBuf;

use hashlab_data::{DataError, Dataset, Labels, Rgb, Roles, Split};

/// Plain squares whose brightness tells the class.
pub(crate) struct Squares(Labels);

pub(crate) const ITEMS: usize = 60;

impl Squares {
    pub(crate) fn new() -> Self {
        Self(Labels::single(2, (0..ITEMS).map(|item| item % 2)))
    }
}

impl Dataset for Squares {
    fn len(&self) -> usize {
        ITEMS
    }
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        let value = if index.is_multiple_of(2) { 40 } else { 200 } + index as u8 / 2;
        Ok(Rgb { width: 8, height: 8, pixels: vec![value; 8 * 8 * 3] })
    }
    fn caption(&self, _: usize) -> Option<String> {
        None
    }
    fn labels(&self) -> &Labels {
        &self.0
    }
    fn digest(&self) -> Result<&str, DataError> {
        Ok("squares")
    }
    fn split(&self, _: &str, split_seed: u64) -> Result<Split, DataError> {
        let items: Vec<u32> = (0..ITEMS as u32).collect();
        let (query, rest) = items.split_at(10);
        let roles =
            Roles { train: rest.to_vec(), validation_query: None, query: query.to_vec(), database: rest.to_vec() };
        roles.into_split(ITEMS, split_seed)
    }
    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
