//! Which items of a database have a label, block by block.
//!
//! A query with a single label is relevant to the items on that label's list. The list is made once for all queries, so
//! that no label is compared for single pairs of query and item.

use std::ops::Range;

use rayon::prelude::*;

use crate::LabelSets;

/// The lists of a database.
pub(crate) struct Lists(Vec<BlockLists>);

/// The lists of a block.
struct BlockLists {
    /// By label: where its list starts; then the end of the last.
    starts: Vec<u32>,
    /// The lists, label after label: places in the block, ascending.
    places: Vec<u16>,
}

impl Lists {
    /// Lists the items of each label in blocks of `block` items.
    pub(crate) fn of(sets: LabelSets<'_>, block: usize) -> Self {
        let blocks = 0..sets.len().div_ceil(block);
        let items = |index: usize| index * block..sets.len().min((index + 1) * block);
        Self(blocks.into_par_iter().map(|index| BlockLists::of(sets, items(index))).collect())
    }

    /// Places of the items with a label in a block.
    pub(crate) fn places(&self, block: usize, label: usize) -> &[u16] {
        let BlockLists { starts, places } = &self.0[block];
        &places[starts[label] as usize..starts[label + 1] as usize]
    }
}

impl BlockLists {
    fn of(sets: LabelSets<'_>, items: Range<usize>) -> Self {
        let mut starts = vec![0u32; 64 * sets.words() + 1];
        items.clone().flat_map(|item| sets.labels(item)).for_each(|label| starts[label + 1] += 1);
        (1..starts.len()).for_each(|label| starts[label] += starts[label - 1]);
        let mut next = starts.clone();
        let mut places = vec![0; starts[starts.len() - 1] as usize];
        for (place, item) in items.enumerate() {
            for label in sets.labels(item) {
                places[next[label] as usize] = place as u16;
                next[label] += 1;
            }
        }
        Self { starts, places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_lists_its_items_by_block() {
        let packed: Vec<u64> = (0..10u64).flat_map(|item| [1 << (item % 3) | 1 << 63, item % 2]).collect();
        let sets = LabelSets::new(&packed, 2).unwrap();
        let lists = Lists::of(sets, 4);
        assert_eq!([0, 1, 2].map(|block| lists.places(block, 0)), [&[0, 3][..], &[2], &[1]]);
        assert_eq!(lists.places(1, 63), [0, 1, 2, 3]);
        assert_eq!(lists.places(2, 64), [1], "the last block is shorter");
        assert!(lists.places(0, 127).is_empty());
    }
}
