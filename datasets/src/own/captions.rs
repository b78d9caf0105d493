//! Captions of items.

use super::strings::{Lists, Strings};

/// One or more captions per item.
#[derive(Default)]
pub(crate) struct Captions {
    texts: Strings,
    /// Numbers of an item's texts.
    items: Lists<u32>,
}

impl Captions {
    /// Appends an item's captions; empty ones are none.
    pub(crate) fn push<'a>(&mut self, captions: impl IntoIterator<Item = &'a str>) {
        let first = self.texts.len() as u32;
        for text in captions.into_iter().map(str::trim).filter(|text| !text.is_empty()) {
            self.texts.push(text);
        }
        self.items.push(first..self.texts.len() as u32);
    }

    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Number of captions of item `index`.
    pub(crate) fn count(&self, index: usize) -> usize {
        self.items.get(index).len()
    }

    /// Caption number `caption` of item `index`.
    pub(crate) fn get(&self, index: usize, caption: usize) -> &str {
        self.texts.get(self.items.get(index)[caption] as usize)
    }
}
