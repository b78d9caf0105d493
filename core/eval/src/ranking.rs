//! Ranking by (distance, position): one counting sort per query.
//!
//! Metrics depend only on the ranks of relevant items, so a ranking is stored as one bit per rank and two counts per
//! distance.

use crate::scan::{self, BLOCK};
use crate::{Codes, LabelSets};

/// The items at one distance from the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// All of them.
    pub(crate) items: usize,
    /// The relevant ones.
    pub(crate) relevant: usize,
}

/// Ranks of the relevant items among the nearest items to one query.
#[derive(Debug)]
pub(crate) struct Ranking {
    items: usize,
    /// One group per distance, `0..=bits`.
    groups: Vec<Group>,
    /// Bit `r` says whether the item of rank `r`, counted from 0, is relevant.
    relevant: Vec<u64>,
    /// Relevant items before each word of `relevant`, and at last all of them.
    before: Vec<usize>,
}

impl Ranking {
    fn new(items: usize, bits: usize) -> Self {
        let words = items.div_ceil(64);
        Self { items, groups: vec![Group::default(); bits + 1], relevant: vec![0; words], before: vec![0; words + 1] }
    }

    /// Number of items ranked: all of the database, or as many of its nearest as were asked for.
    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// Number of relevant items.
    pub(crate) fn relevant(&self) -> usize {
        self.before.last().copied().unwrap_or(0)
    }

    /// The groups of equal distance, nearest first; the position in the slice is the distance.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Counts the relevant items among the first `depth`.
    pub(crate) fn hits_within(&self, depth: usize) -> usize {
        let depth = depth.min(self.items);
        let (word, rest) = (depth / 64, depth % 64);
        let partial = if rest == 0 { 0 } else { self.relevant[word] & ((1 << rest) - 1) };
        self.before[word] + partial.count_ones() as usize
    }

    /// The ranks of the relevant items, counted from 1, ascending.
    pub(crate) fn hits(&self) -> impl Iterator<Item = usize> {
        set_bits(&self.relevant).map(|at| at + 1)
    }

    /// Sets the bits of `sightings`, of which those in ranks beyond the last are left out. The groups have counted
    /// every item that has a rank; what they counted beyond is taken from them.
    fn place(&mut self, sightings: &[Sighting]) {
        let mut start = 0;
        let start_of = |group: &mut Group| {
            group.items = group.items.min(self.items - start);
            start += group.items;
            start - group.items
        };
        let starts: Vec<usize> = self.groups.iter_mut().map(start_of).collect();
        self.relevant.fill(0);
        for sighting in sightings {
            let group = &mut self.groups[sighting.distance as usize];
            if sighting.place < group.items {
                let rank = starts[sighting.distance as usize] + sighting.place;
                self.relevant[rank / 64] |= 1 << (rank % 64);
                group.relevant += 1;
            }
        }
        let mut hits = 0;
        for (before, word) in self.before.iter_mut().skip(1).zip(&self.relevant) {
            hits += word.count_ones() as usize;
            *before = hits;
        }
    }
}

/// The positions of the bits set in `words`, lowest first.
fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(at, &word)| set_bits_of(word).map(move |bit| at * 64 + bit))
}

/// The positions of the bits set in `word`, lowest first.
fn set_bits_of(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let lowest = word.trailing_zeros() as usize;
        word &= word - 1; // clears it
        Some(lowest)
    })
}

/// A relevant item found by the scan, before the sizes of the nearer groups are known.
#[derive(Clone, Copy, Debug, Default)]
struct Sighting {
    distance: u32,
    /// Number of items at the same distance and of smaller position.
    place: usize,
}

/// Counts an item, and notes it behind `found` others if it is relevant; returns how many that makes.
#[inline(always)]
fn note(distance: u32, relevant: bool, groups: &mut [Group], sightings: &mut [Sighting], found: usize) -> usize {
    let group = &mut groups[distance as usize];
    // Written always and kept if relevant: a branch here would be mispredicted every few items.
    sightings[found] = Sighting { distance, place: group.items };
    group.items += 1;
    found + usize::from(relevant)
}

/// Ranks one database for query after query, in the same memory.
pub(crate) struct Ranker<'a> {
    codes: &'a Codes,
    labels: LabelSets<'a>,
    sightings: Vec<Sighting>,
    ranking: Ranking,
}

impl<'a> Ranker<'a> {
    /// Prepares to rank the nearest `depth` items of a database of as many codes as label sets.
    pub(crate) fn new(codes: &'a Codes, labels: LabelSets<'a>, depth: usize) -> Self {
        Self { codes, labels, sightings: Vec::new(), ranking: Ranking::new(depth, codes.bits()) }
    }

    /// Ranks the nearest items for a query with the given code and labels, equally wide.
    pub(crate) fn rank(&mut self, code: &[u64], labels: &[u64]) -> &Ranking {
        let found = self.scan(code, labels);
        self.ranking.place(&self.sightings[..found]);
        &self.ranking
    }

    /// Counts the groups and notes the relevant items; returns how many there are. Items that cannot be among the
    /// nearest are neither counted nor noted.
    fn scan(&mut self, code: &[u64], labels: &[u64]) -> usize {
        let (mut distances, mut relevant, mut near) = ([0; BLOCK], [false; BLOCK], [0; BLOCK / 64]);
        let (mut found, mut limit) = (0, None);
        self.ranking.groups.fill(Group::default());
        let codes = self.codes.packed().chunks(BLOCK * self.codes.words());
        let sets = self.labels.packed().chunks(BLOCK * self.labels.words());
        for (codes, sets) in codes.zip(sets) {
            let items = codes.len() / self.codes.words();
            let (distances, relevant) = (&mut distances[..items], &mut relevant[..items]);
            scan::distances(code, codes, distances);
            scan::shares_label(labels, sets, relevant);
            self.sightings.resize(self.sightings.len().max(found + items), Sighting::default());
            let (groups, sightings) = (&mut self.ranking.groups[..], &mut self.sightings[..]);
            if let Some(limit) = limit {
                let near = &mut near[..items.div_ceil(64)];
                scan::nearer(distances, limit, near);
                for at in set_bits(near) {
                    found = note(distances[at], relevant[at], groups, sightings, found);
                }
            } else {
                for (&distance, &relevant) in distances.iter().zip(&*relevant) {
                    found = note(distance, relevant, groups, sightings, found);
                }
            }
            limit = self.limit();
        }
        found
    }

    /// The distance from which on no item can be among the nearest any more, where it is known: items of smaller
    /// distance, and those of the same distance that came before, already fill the ranks.
    fn limit(&self) -> Option<u32> {
        let mut items = 0;
        let full = self.ranking.groups.iter().position(|group| {
            items += group.items;
            items >= self.ranking.items
        });
        full.map(|distance| distance as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distances 0 0 1 2 1 0 0 from the query, relevance 1 0 1 1 0 0 1.
    fn ranked(depth: usize, check: impl FnOnce(&Ranking)) {
        let relaxed = [[1., 1.], [1., 1.], [1., -1.], [-1., -1.], [-1., 1.], [1., 1.], [1., 1.]];
        let codes = Codes::from_signs(relaxed.as_flattened(), 2).unwrap();
        let labels = [0b01, 0b10, 0b11, 0b01, 0b10, 0, 0b01];
        let mut ranker = Ranker::new(&codes, LabelSets::new(&labels, 1).unwrap(), depth);
        // A second ranking in the same memory must not remember the first.
        ranker.rank(&[0b00], &[0b10]);
        check(ranker.rank(&[0b11], &[0b01]));
    }

    #[test]
    fn ties_rank_by_position() {
        ranked(7, |ranking| {
            assert_eq!(ranking.hits().collect::<Vec<_>>(), [1, 4, 5, 7]);
            let counts: Vec<_> = ranking.groups().iter().map(|group| (group.items, group.relevant)).collect();
            assert_eq!(counts, [(4, 2), (2, 1), (1, 1)]);
        });
    }

    #[test]
    fn hits_are_counted_to_any_depth() {
        ranked(7, |ranking| {
            let within: Vec<usize> = (0..=9).map(|depth| ranking.hits_within(depth)).collect();
            assert_eq!(within, [0, 1, 1, 1, 2, 3, 3, 4, 4, 4]);
            assert_eq!((ranking.items(), ranking.relevant()), (7, 4));
        });
    }

    #[test]
    fn the_nearest_items_are_ranked_as_among_all() {
        for (depth, hits, groups) in [
            (1, &[1][..], [(1, 1), (0, 0), (0, 0)]),
            (4, &[1, 4], [(4, 2), (0, 0), (0, 0)]),
            (5, &[1, 4, 5], [(4, 2), (1, 1), (0, 0)]),
        ] {
            ranked(depth, |ranking| {
                assert_eq!(ranking.hits().collect::<Vec<_>>(), hits);
                let counts: Vec<_> = ranking.groups().iter().map(|group| (group.items, group.relevant)).collect();
                assert_eq!(counts, groups);
            });
        }
    }

    #[test]
    fn set_bits_reach_both_ends_of_a_word() {
        assert_eq!(set_bits(&[1 | 1 << 5 | 1 << 63, 0, 1]).collect::<Vec<_>>(), [0, 5, 63, 128]);
    }
}
