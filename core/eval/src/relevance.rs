//! Relevance: shared labels, or grades for every query and item.

use std::ops::Range;

use crate::EvalError;

/// One set of class labels per item, packed into `words` words per item, row by row. Two items are relevant to each
/// other if they share at least one label; the number that they share is the grade.
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
        self.items(index..index + 1)
    }

    /// Those of the first `count` items.
    pub(crate) fn first(&self, count: usize) -> Self {
        Self { words: self.words, packed: self.items(0..count) }
    }

    /// The packed labels of some items, item after item.
    pub(crate) fn items(&self, items: Range<usize>) -> &'a [u64] {
        &self.packed[items.start * self.words..items.end * self.words]
    }

    /// The labels of item `index`, ascending.
    pub(crate) fn labels(&self, index: usize) -> impl Iterator<Item = usize> {
        let of_word = |(at, &word): (usize, &u64)| {
            let some = |rest: u64| (rest != 0).then_some(rest);
            let rests = std::iter::successors(some(word), move |rest| some(rest & (rest - 1)));
            rests.map(move |rest| at * 64 + rest.trailing_zeros() as usize)
        };
        self.item(index).iter().enumerate().flat_map(of_word)
    }
}

/// The number of labels that two sets share.
#[inline(always)]
pub(crate) fn shared(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a & b).count_ones()).sum()
}

/// Relevance grade of each of `items` database items to each query; 0 is irrelevant. Row = query.
#[derive(Clone, Copy, Debug)]
pub struct Grades<'a> {
    items: usize,
    grades: &'a [u8],
}

impl<'a> Grades<'a> {
    /// Borrows grades of shape `(queries, items)`.
    ///
    /// # Errors
    /// If the array ends within a query, or there are no items.
    pub fn new(grades: &'a [u8], items: usize) -> Result<Self, EvalError> {
        if items == 0 || !grades.len().is_multiple_of(items) {
            return Err(EvalError::GradeRows { len: grades.len(), items });
        }
        Ok(Self { items, grades })
    }

    /// Number of queries.
    pub fn queries(&self) -> usize {
        self.grades.len() / self.items
    }

    /// Number of database items.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Grades of all items for a query.
    pub(crate) fn of_query(&self, query: usize) -> &'a [u8] {
        &self.grades[query * self.items..(query + 1) * self.items]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_sets_are_refused() {
        assert_eq!(LabelSets::new(&[1, 2, 3], 2).unwrap_err(), EvalError::LabelWords { len: 3, words: 2 });
        assert_eq!(LabelSets::new(&[], 0).unwrap_err(), EvalError::LabelWords { len: 0, words: 0 });
        assert_eq!(Grades::new(&[1, 2, 3], 2).unwrap_err(), EvalError::GradeRows { len: 3, items: 2 });
        let sets = LabelSets::new(&[1, 2, 3, 4], 2).unwrap();
        assert_eq!((sets.len(), sets.item(1)), (2, &[3, 4][..]));
        assert_eq!(sets.labels(1).collect::<Vec<_>>(), [0, 1, 66]);
    }
}
