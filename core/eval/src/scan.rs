//! The inner loops: one query against a block of the database.
//!
//! Of every item they need its distance to the query, its place among the items at that distance, and whether it is
//! relevant. They count the items of each distance, and write *sightings* of items: distance, grade and place in one word.
//! The counter of a distance holds the next sighting there, so that an item costs two loads, two stores and no branch.
//! All items are sighted; the relevant ones are listed beforehand, and their sightings are graded and kept.

use pulp::NullaryFnOnce;

use crate::relevance::shared;

/// Most items scanned at a time.
pub(crate) const BLOCK: usize = 1024;

/// Bits of a sighting that hold the place: more items than any memory.
const PLACE_BITS: u32 = 35;
/// Bits of a sighting that hold the grade.
const GRADE_BITS: u32 = 16;
/// The highest grade that a sighting can hold.
pub(crate) const HIGHEST_GRADE: u32 = (1 << GRADE_BITS) - 1;

/// A relevant item: its distance, its grade (0 where all relevant items are alike), and the number of items before it
/// at the same distance.
#[derive(Clone, Copy)]
pub(crate) struct Sighting(u64);

impl Sighting {
    /// The first item at a distance, not yet graded.
    pub(crate) fn first(distance: usize) -> Self {
        Self((distance as u64) << (PLACE_BITS + GRADE_BITS))
    }

    pub(crate) fn distance(self) -> usize {
        (self.0 >> (PLACE_BITS + GRADE_BITS)) as usize
    }

    pub(crate) fn grade(self) -> u16 {
        (self.0 >> PLACE_BITS) as u16
    }

    pub(crate) fn place(self) -> usize {
        (self.0 & ((1 << PLACE_BITS) - 1)) as usize
    }

    #[inline(always)]
    fn graded(self, grade: u32) -> Self {
        Self(self.0 | u64::from(grade) << PLACE_BITS)
    }

    /// Takes the sighting from a counter, and counts on.
    #[inline(always)]
    fn take(&mut self) -> Self {
        let sighting = *self;
        self.0 += 1;
        sighting
    }
}

/// Sightings of the items of a block.
pub(crate) type BlockSightings = [Sighting; BLOCK];

/// What scans found of one query.
pub(crate) struct Found {
    /// The next sighting of each distance.
    next: Vec<Sighting>,
    /// Relevant items at each distance.
    relevant: Vec<u32>,
    /// Sightings of the relevant items, by position.
    sightings: Vec<Sighting>,
}

impl Found {
    /// Makes room for codes of `bits` bits: there are counters for every index of a byte.
    pub(crate) fn nothing(bits: usize) -> Self {
        let counters = (bits + 1).max(256);
        let next = (0..counters).map(Sighting::first).collect();
        Self { next, relevant: vec![0; counters], sightings: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.next.iter_mut().enumerate().for_each(|(distance, next)| *next = Sighting::first(distance));
        self.relevant.fill(0);
        self.sightings.clear();
    }

    /// For distances `0..=bits`: the number of items, and of the relevant ones.
    pub(crate) fn counts(&self, bits: usize) -> impl Iterator<Item = (usize, usize)> {
        let items = self.next[..=bits].iter().map(|next| next.place());
        items.zip(self.relevant.iter().map(|&relevant| relevant as usize))
    }

    /// Sightings of the relevant items, by position.
    pub(crate) fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// Adds a block of at most [`BLOCK`] items. What `block` holds before does not matter.
    pub(crate) fn scan(&mut self, code: &[u64], codes: &[u64], relevance: Relevance<'_>, block: &mut BlockSightings) {
        hashlab_simd::arch().dispatch(Sight { code, codes, next: &mut self.next, out: block });
        let Relevance { places, grading } = relevance;
        match grading {
            Grading::Alike => (),
            Grading::Shared { query, items } => hashlab_simd::arch().dispatch(Grade { query, items, places, block }),
            Grading::Given(grades) => grade(places, block, |place| grades[place].into()),
        }
        self.keep(places.iter().map(|&place| block[usize::from(place) % BLOCK]));
    }

    fn keep(&mut self, sightings: impl ExactSizeIterator<Item = Sighting>) {
        let counted = |sighting: Sighting| {
            self.relevant[sighting.distance()] += 1;
            sighting
        };
        self.sightings.extend(sightings.map(counted));
    }
}

/// The items of a block that are relevant to a query.
#[derive(Clone, Copy)]
pub(crate) struct Relevance<'a> {
    /// Their places in the block, ascending.
    pub(crate) places: &'a [u16],
    pub(crate) grading: Grading<'a>,
}

/// Where the grades of a block's relevant items come from.
#[derive(Clone, Copy)]
pub(crate) enum Grading<'a> {
    /// They are alike.
    Alike,
    /// The labels of the query and those of the items; the grade is the number that is shared.
    Shared {
        /// Labels of the query.
        query: &'a [u64],
        /// Labels of the items, item after item.
        items: &'a [u64],
    },
    /// The grade of each item.
    Given(&'a [u8]),
}

// Closures would say the same in less. But the compiler need not inline a closure, and one that it does not inline is
// compiled for the oldest of processors.

/// Counts the items of a block by distance, and writes the sighting of each.
struct Sight<'a> {
    code: &'a [u64],
    codes: &'a [u64],
    next: &'a mut [Sighting],
    out: &'a mut BlockSightings,
}

impl NullaryFnOnce for Sight<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { code, codes, next, out } = self;
        match *code {
            [a] => place(codes.iter().map(|b| (a ^ b).count_ones()), next, out),
            [a, b] => place(codes.as_chunks().0.iter().map(|code| two_words([a, b], code)), next, out),
            _ => {
                let mut distances = [0; BLOCK];
                for (&distance, out) in measure(code, codes, &mut distances).iter().zip(out) {
                    *out = next[distance as usize].take();
                }
            }
        }
    }
}

/// Places items whose distances a byte holds.
#[inline(always)]
fn place(distances: impl Iterator<Item = u32>, next: &mut [Sighting], out: &mut BlockSightings) {
    let next = of_bytes(next);
    for (distance, out) in distances.zip(out) {
        *out = next[usize::from(distance as u8)].take();
    }
}

/// Grades the sightings of relevant items by the number of labels that they share with a query.
struct Grade<'a> {
    /// Labels of the query.
    query: &'a [u64],
    /// Labels of the items, item after item.
    items: &'a [u64],
    places: &'a [u16],
    block: &'a mut BlockSightings,
}

impl NullaryFnOnce for Grade<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { query, items, places, block } = self;
        match *query {
            [a] => grade(places, block, |place| (a & items[place]).count_ones()),
            [a, b] => {
                let items = items.as_chunks::<2>().0;
                grade(places, block, |place| (a & items[place][0]).count_ones() + (b & items[place][1]).count_ones());
            }
            _ => {
                let labels = |place: usize| &items[place * query.len()..][..query.len()];
                grade(places, block, |place| shared(query, labels(place)).min(HIGHEST_GRADE));
            }
        }
    }
}

/// Grades the sightings at some places.
#[inline(always)]
fn grade(places: &[u16], block: &mut BlockSightings, grade: impl Fn(usize) -> u32) {
    for place in places.iter().map(|&place| usize::from(place)) {
        let sighting = &mut block[place % BLOCK];
        *sighting = sighting.graded(grade(place));
    }
}

/// The counters of distances that a byte holds.
#[inline(always)]
fn of_bytes(next: &mut [Sighting]) -> &mut [Sighting; 256] {
    next.first_chunk_mut().expect("there are counters for every byte")
}

/// The distance of codes of two words.
#[inline(always)]
fn two_words([a, b]: [u64; 2], [c, d]: &[u64; 2]) -> u32 {
    (a ^ c).count_ones() + (b ^ d).count_ones()
}

/// Writes the Hamming distance of `code` to each of `codes`.
#[inline(always)]
fn measure<'o>(code: &[u64], codes: &[u64], out: &'o mut [u32; BLOCK]) -> &'o [u32] {
    let out = &mut out[..codes.len() / code.len()];
    let items = out.iter_mut().zip(codes.chunks_exact(code.len()));
    for (out, item) in items {
        *out = code.iter().zip(item).map(|(a, b)| (a ^ b).count_ones()).sum();
    }
    out
}
