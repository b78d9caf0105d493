//! Which items of a database have a label, one bit an item.
//!
//! A query with several labels is relevant to the items that have one of them: 64 items take one word per label, and no
//! label is compared for single pairs of query and item. The bitmaps are made once for all queries. They are the database's
//! label sets, transposed, and no larger but for the last block.

use std::ops::Range;

use rayon::prelude::*;

use crate::LabelSets;
use crate::scan::BLOCK;

/// Items of a word.
pub(crate) const WORD: usize = 64;

/// The bitmaps of a database in blocks of items.
pub(crate) struct Bitmaps {
    /// Labels that have a bitmap: those up to the highest of any item.
    labels: usize,
    /// Words of a label in a block.
    words: usize,
    /// Block after block: label after label.
    bits: Vec<u64>,
}

impl Bitmaps {
    /// Makes the bitmaps of blocks of `block` items, which whole words hold.
    pub(crate) fn of(sets: LabelSets<'_>, block: usize) -> Self {
        let labels = (0..sets.len()).into_par_iter().filter_map(|item| sets.labels(item).last()).max();
        let (labels, words) = (labels.map_or(0, |highest| highest + 1), block / WORD);
        let mut bits = vec![0; sets.len().div_ceil(block) * labels * words];
        bits.par_chunks_mut((labels * words).max(1)).enumerate().for_each(|(index, bits)| {
            let items = index * block..sets.len().min((index + 1) * block);
            fill(bits, words, sets, items);
        });
        Self { labels, words, bits }
    }

    /// Lists the places of a block's items that have one of some labels, ascending.
    pub(crate) fn places<'p>(
        &self,
        block: usize,
        labels: impl Iterator<Item = usize>,
        places: &'p mut [u16; BLOCK],
    ) -> &'p [u16] {
        let mut marked = [0; BLOCK / WORD];
        for label in labels.filter(|&label| label < self.labels) {
            let bits = &self.bits[(block * self.labels + label) * self.words..][..self.words];
            marked.iter_mut().zip(bits).for_each(|(marked, bits)| *marked |= bits);
        }
        let mut found = 0;
        for (word, mut rest) in marked.into_iter().enumerate() {
            while rest != 0 {
                places[found % BLOCK] = (word * WORD) as u16 + rest.trailing_zeros() as u16;
                rest &= rest - 1;
                found += 1;
            }
        }
        &places[..found]
    }
}

/// Marks the labels of a block's items, in bitmaps of `words` words.
fn fill(bits: &mut [u64], words: usize, sets: LabelSets<'_>, items: Range<usize>) {
    for (place, item) in items.enumerate() {
        for label in sets.labels(item) {
            bits[label * words + place / WORD] |= 1 << (place % WORD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_marks_its_items_by_block() {
        let packed: Vec<u64> = (0..200u64).flat_map(|item| [1 << (item % 3), item % 2]).collect();
        let bitmaps = Bitmaps::of(LabelSets::new(&packed, 2).unwrap(), 128);
        let listed = |block: usize, labels: &[usize]| {
            let mut places = [0; BLOCK];
            let places = bitmaps.places(block, labels.iter().copied(), &mut places);
            places.iter().map(|&place| block * 128 + usize::from(place)).collect::<Vec<_>>()
        };
        let expected = |range: Range<usize>, has: fn(&usize) -> bool| range.filter(has).collect::<Vec<_>>();
        assert_eq!(listed(0, &[1]), expected(0..128, |item| item % 3 == 1));
        assert_eq!(listed(1, &[64]), expected(128..200, |item| item % 2 == 1), "the last block is shorter");
        assert_eq!(listed(1, &[0, 64]), expected(128..200, |item| item % 3 == 0 || item % 2 == 1));
        assert_eq!(listed(0, &[2, 65, 127]), listed(0, &[2]), "labels that no item has");
    }

    #[test]
    fn items_may_have_no_labels() {
        let bitmaps = Bitmaps::of(LabelSets::new(&[0, 0], 1).unwrap(), 64);
        assert!(bitmaps.places(0, [0, 63].into_iter(), &mut [0; BLOCK]).is_empty());
    }
}
