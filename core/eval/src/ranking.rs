//! Ranking by (distance, position), without a sort: distances are small integers.
//!
//! Metrics depend only on the ranks of relevant items and on the sizes of groups at equal distance.

use crate::scan::{Found, Sighting};

/// The items at one distance from the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// All of them.
    pub(crate) items: usize,
    /// The relevant ones.
    pub(crate) relevant: usize,
}

/// Ranks of the items relevant to one query.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    items: usize,
    relevant: usize,
    /// One group per distance, nearest first.
    groups: Vec<Group>,
    /// Ranks of relevant items, counted from 1, ascending.
    hits: Vec<u32>,
    /// Grade of each hit; empty where all are 1.
    grades: Vec<u16>,
    places: Vec<Place>,
}

/// Where the items at one distance go.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The rank of the first.
    first: u32,
    /// The index of the next relevant one among all.
    hit: u32,
}

impl Ranking {
    /// Number of items ranked: all of the database.
    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// Number of relevant items.
    pub(crate) fn relevant(&self) -> usize {
        self.relevant
    }

    /// The groups of equal distance, nearest first; the position in the slice is the distance if that is an integer.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The ranks of the relevant items, counted from 1, ascending.
    pub(crate) fn hits(&self) -> &[u32] {
        &self.hits
    }

    /// Grades of the hits; `None` where all are 1.
    pub(crate) fn grades(&self) -> Option<&[u16]> {
        (!self.grades.is_empty()).then_some(&self.grades)
    }

    /// Counts the relevant items among the first `depth`.
    pub(crate) fn hits_within(&self, depth: usize) -> usize {
        self.hits.partition_point(|&rank| rank as usize <= depth)
    }

    /// Ranks what scans of the whole database found of a query, by codes of `bits` bits. Of the relevant items, those beyond
    /// the group that holds rank `depth` are counted but get no rank.
    pub(crate) fn fill(&mut self, found: &Found, bits: usize, graded: bool, depth: usize) {
        self.groups.clear();
        self.groups.extend(found.counts(bits).map(|(items, relevant)| Group { items, relevant }));
        let sightings = found.sightings();
        self.relevant = sightings.len();
        let ranked = self.start_groups(depth);
        self.hits.resize(ranked, 0);
        self.grades.resize(if graded { ranked } else { 0 }, 0);
        let (places, hits) = (&mut self.places[..], &mut self.hits[..]);
        if graded {
            let grades = &mut self.grades[..];
            in_rank_order(sightings, places, |at, rank, grade| {
                if let (Some(hit), Some(of_hit)) = (hits.get_mut(at), grades.get_mut(at)) {
                    (*hit, *of_hit) = (rank, grade);
                }
            });
        } else {
            in_rank_order(sightings, places, |at, rank, _| hits.get_mut(at).into_iter().for_each(|hit| *hit = rank));
        }
    }

    /// Finds where each group starts; returns how many relevant items the groups down to rank `depth` hold.
    fn start_groups(&mut self, depth: usize) -> usize {
        let (mut items, mut hits, mut ranked) = (0, 0, 0);
        self.places.clear();
        for group in &self.groups {
            self.places.push(Place { first: items as u32 + 1, hit: hits as u32 });
            if items < depth {
                ranked = hits + group.relevant;
            }
            items += group.items;
            hits += group.relevant;
        }
        self.items = items;
        ranked
    }

    /// Ranks items that are sorted already: for each, nearest first, whether it is farther than the one before and its
    /// grade.
    pub(crate) fn fill_sorted(&mut self, sorted: impl Iterator<Item = (bool, u16)>) {
        self.groups.clear();
        self.hits.clear();
        self.grades.clear();
        self.items = 0;
        for (farther, grade) in sorted {
            self.items += 1;
            if farther || self.groups.is_empty() {
                self.groups.push(Group::default());
            }
            let group = self.groups.last_mut().expect("one was pushed");
            group.items += 1;
            if grade > 0 {
                group.relevant += 1;
                self.hits.push(self.items as u32);
                self.grades.push(grade);
            }
        }
        self.relevant = self.hits.len();
    }
}

/// Hands on the index of each sighting among the relevant items in rank order, its rank and its grade.
#[inline(always)]
fn in_rank_order(sightings: &[Sighting], places: &mut [Place], mut write: impl FnMut(usize, u32, u16)) {
    for sighting in sightings {
        let Place { first, hit } = &mut places[sighting.distance()];
        write(*hit as usize, *first + sighting.place() as u32, sighting.grade());
        *hit += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{BLOCK, Grading, Relevance};

    /// Distances 0 0 1 2 1 0 0 from the query, relevance 1 0 1 1 0 0 1.
    fn ranked(depth: usize) -> Ranking {
        let codes = [0b11, 0b11, 0b01, 0b00, 0b10, 0b11, 0b11];
        let items = [0b01, 0b10, 0b11, 0b01, 0b10, 0, 0b01];
        let mut ranking = Ranking::default();
        // A second ranking in the same memory must not remember the first.
        for (code, labels) in [(0b00, 0b10), (0b11, 0b01)] {
            let mut found = Found::nothing(2);
            let mut block = [Sighting::first(0); BLOCK];
            let places: Vec<u16> = (0..7).filter(|&place| items[usize::from(place)] & labels != 0).collect();
            let grading = Grading::Shared { query: &[labels], items: &items };
            found.scan(&[code], &codes, Relevance { places: &places, grading }, &mut block);
            ranking.fill(&found, 2, false, depth);
        }
        ranking
    }

    #[test]
    fn ties_rank_by_position() {
        let ranking = ranked(7);
        assert_eq!(ranking.hits(), [1, 4, 5, 7]);
        let counts: Vec<_> = ranking.groups().iter().map(|group| (group.items, group.relevant)).collect();
        assert_eq!(counts, [(4, 2), (2, 1), (1, 1)]);
    }

    #[test]
    fn hits_are_counted_to_any_depth() {
        let ranking = ranked(7);
        let within: Vec<usize> = (0..=9).map(|depth| ranking.hits_within(depth)).collect();
        assert_eq!(within, [0, 1, 1, 1, 2, 3, 3, 4, 4, 4]);
        assert_eq!((ranking.items(), ranking.relevant()), (7, 4));
    }

    #[test]
    fn the_nearest_items_are_ranked_as_among_all() {
        for (depth, hits) in [(1, &[1, 4][..]), (4, &[1, 4]), (5, &[1, 4, 5])] {
            let ranking = ranked(depth);
            assert_eq!((ranking.hits(), ranking.relevant(), ranking.items()), (hits, 4, 7));
        }
    }

    #[test]
    fn sorted_items_rank_alike() {
        let mut sorted = Ranking::default();
        let items = [(false, 1), (false, 0), (false, 0), (false, 1), (true, 1), (false, 0), (true, 1)];
        sorted.fill_sorted(items.into_iter());
        let scanned = ranked(7);
        assert_eq!((sorted.hits(), sorted.groups()), (scanned.hits(), scanned.groups()));
    }
}
