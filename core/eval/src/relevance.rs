//! Relevance: two items are relevant to each other if they share at least one label.

use crate::EvalError;

/// One set of class labels per item, packed into `words` words per item, row by row.
#[derive(Clone, Copy, Debug)]
pub struct LabelSets<'a> {
    words: usize,
    packed: &'a [u64],
}

impl<'a> LabelSets<'a> {
    /// Borrows packed label sets of shape `(n, words)`.
    ///
    /// # Errors
    /// If the array ends within an item, or an item has no words.
    pub fn new(packed: &'a [u64], words: usize) -> Result<Self, EvalError> {
        if words == 0 || !packed.len().is_multiple_of(words) {
            return Err(EvalError::LabelWords { len: packed.len(), words });
        }
        Ok(Self { words, packed })
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.packed.len() / self.words
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Words per item.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The packed labels of item `index`.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn item(&self, index: usize) -> &'a [u64] {
        &self.packed[index * self.words..(index + 1) * self.words]
    }

    /// All sets, item after item.
    pub(crate) fn packed(&self) -> &'a [u64] {
        self.packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_sets_are_refused() {
        assert_eq!(LabelSets::new(&[1, 2, 3], 2).unwrap_err(), EvalError::LabelWords { len: 3, words: 2 });
        assert_eq!(LabelSets::new(&[], 0).unwrap_err(), EvalError::LabelWords { len: 0, words: 0 });
        let sets = LabelSets::new(&[1, 2, 3, 4], 2).unwrap();
        assert_eq!((sets.len(), sets.item(1)), (2, &[3, 4][..]));
    }
}
