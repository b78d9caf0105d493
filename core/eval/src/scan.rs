//! The inner loop: one query against a block of the database.
//!
//! Of every item the loop needs its distance to the query, its place among the items at that distance, and whether it
//! is relevant. It counts the items of each distance, and writes a *sighting* of each relevant item: distance, grade and
//! place in one word. The counter of a distance holds the next sighting there, so that an item costs two loads, two
//! stores and no branch.

use pulp::{Arch, NullaryFnOnce};

/// Most items scanned at a time.
pub(crate) const BLOCK: usize = 1024;

/// Bits of a sighting that hold the place: more items than any memory.
const PLACE_BITS: u32 = 35;
/// Bits of a sighting that hold the grade.
const GRADE_BITS: u32 = 16;
/// The highest grade that a sighting can hold.
pub(crate) const HIGHEST_GRADE: u64 = (1 << GRADE_BITS) - 1;

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
}

/// The length of a list of counters for codes of `bits` bits: enough for every index of a byte.
pub(crate) fn counters(bits: usize) -> usize {
    (bits + 1).max(256)
}

/// Relevance of the items of a block to a query.
#[derive(Clone, Copy)]
pub(crate) enum Relevance<'a> {
    /// The labels of the query and those of the items; the grade is the number that is shared.
    Labels {
        /// Labels of the query.
        query: &'a [u64],
        /// Labels of the items, item after item.
        items: &'a [u64],
    },
    /// The grade of each item.
    Grades(&'a [u8]),
}

/// A query and a block of the database.
pub(crate) struct Block<'a> {
    /// The query's code.
    pub(crate) code: &'a [u64],
    /// Codes of at most [`BLOCK`] items, item after item.
    pub(crate) codes: &'a [u64],
    /// Their relevance.
    pub(crate) relevance: Relevance<'a>,
    /// Whether sightings need grades.
    pub(crate) graded: bool,
}

/// Counts the items in `next`, which holds the next sighting of each distance, and writes the sightings of relevant items
/// to `out`; returns how many there are.
pub(crate) fn scan(block: &Block<'_>, next: &mut [Sighting], out: &mut [Sighting; BLOCK]) -> usize {
    Arch::new().dispatch(Scan { block, next, out })
}

// A closure would say the same in less. But the compiler need not inline a closure, and one that it does not inline is
// compiled for the oldest of processors.
struct Scan<'a> {
    block: &'a Block<'a>,
    next: &'a mut [Sighting],
    out: &'a mut [Sighting; BLOCK],
}

impl NullaryFnOnce for Scan<'_> {
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        if self.block.graded { self.by_width::<true>() } else { self.by_width::<false>() }
    }
}

impl Scan<'_> {
    /// Short codes and labels are compared in the loop itself, others in loops of their own before it.
    #[inline(always)]
    fn by_width<const GRADED: bool>(self) -> usize {
        let Self { block: &Block { code, codes, relevance, .. }, next, out } = self;
        match (code, relevance) {
            (&[a], Relevance::Labels { query: &[l], items }) => {
                let items = codes.iter().zip(items);
                let items = items.map(|(c, s)| ((a ^ c).count_ones(), grade::<GRADED, 1>([l & s])));
                note::<GRADED>(items, next, out)
            }
            (&[a], Relevance::Labels { query: &[l, m], items }) => {
                let items = codes.iter().zip(items.as_chunks().0);
                let items = items.map(|(c, [s, t])| ((a ^ c).count_ones(), grade::<GRADED, 2>([l & s, m & t])));
                note::<GRADED>(items, next, out)
            }
            (&[a, b], Relevance::Labels { query: &[l], items }) => {
                let items = codes.as_chunks().0.iter().zip(items);
                let distance = |&[c, d]: &[u64; 2]| (a ^ c).count_ones() + (b ^ d).count_ones();
                note::<GRADED>(items.map(|(code, s)| (distance(code), grade::<GRADED, 1>([l & s]))), next, out)
            }
            (&[a, b], Relevance::Labels { query: &[l, m], items }) => {
                let items = codes.as_chunks().0.iter().zip(items.as_chunks().0);
                let distance = |&[c, d]: &[u64; 2]| (a ^ c).count_ones() + (b ^ d).count_ones();
                let grade = |&[s, t]: &[u64; 2]| grade::<GRADED, 2>([l & s, m & t]);
                note::<GRADED>(items.map(|(code, labels)| (distance(code), grade(labels))), next, out)
            }
            _ => {
                let (mut distances, mut grades) = ([0; BLOCK], [0; BLOCK]);
                let distances = &mut distances[..codes.len() / code.len()];
                measure(code, codes, distances);
                weigh(relevance, &mut grades);
                let items = distances.iter().zip(&grades);
                note_far::<GRADED>(items.map(|(&distance, &grade)| (distance, u64::from(grade))), next, out)
            }
        }
    }
}

/// The grade of an item whose labels intersect the query's in `shared`; 1 for any where grades are not needed.
#[inline(always)]
fn grade<const GRADED: bool, const WORDS: usize>(shared: [u64; WORDS]) -> u64 {
    if GRADED {
        shared.iter().map(|word| u64::from(word.count_ones())).sum()
    } else {
        u64::from(shared.iter().fold(0, |all, word| all | word) != 0)
    }
}

/// Notes items whose distances a byte holds.
#[inline(always)]
fn note<const GRADED: bool>(
    items: impl Iterator<Item = (u32, u64)>,
    next: &mut [Sighting],
    out: &mut [Sighting; BLOCK],
) -> usize {
    let next = next.first_chunk_mut::<256>().expect("there are counters for every byte");
    let mut found = 0;
    for (distance, grade) in items {
        let counter = &mut next[usize::from(distance as u8)];
        found += write::<GRADED>(counter, grade, &mut out[found % BLOCK]);
    }
    found
}

/// Notes items at any distance.
#[inline(always)]
fn note_far<const GRADED: bool>(
    items: impl Iterator<Item = (u32, u64)>,
    next: &mut [Sighting],
    out: &mut [Sighting; BLOCK],
) -> usize {
    let mut found = 0;
    for (distance, grade) in items {
        found += write::<GRADED>(&mut next[distance as usize], grade, &mut out[found % BLOCK]);
    }
    found
}

/// Counts an item and writes its sighting, which the next one overwrites unless this one is relevant: a branch would be
/// mispredicted every few items.
#[inline(always)]
fn write<const GRADED: bool>(counter: &mut Sighting, grade: u64, out: &mut Sighting) -> usize {
    let sighting = counter.0;
    counter.0 = sighting + 1;
    out.0 = if GRADED { sighting | grade << PLACE_BITS } else { sighting };
    usize::from(grade != 0)
}

/// Writes the Hamming distance of `code` to each of `codes`.
#[inline(always)]
fn measure(code: &[u64], codes: &[u64], out: &mut [u32]) {
    let items = out.iter_mut().zip(codes.chunks_exact(code.len()));
    for (out, item) in items {
        *out = code.iter().zip(item).map(|(a, b)| (a ^ b).count_ones()).sum();
    }
}

/// Writes the grade of each item.
#[inline(always)]
fn weigh(relevance: Relevance<'_>, out: &mut [u16; BLOCK]) {
    match relevance {
        Relevance::Labels { query, items } => {
            for (out, set) in out.iter_mut().zip(items.chunks_exact(query.len())) {
                let shared: u32 = query.iter().zip(set).map(|(a, b)| (a & b).count_ones()).sum();
                *out = u64::from(shared).min(HIGHEST_GRADE) as u16;
            }
        }
        Relevance::Grades(grades) => {
            for (out, &grade) in out.iter_mut().zip(grades) {
                *out = u16::from(grade);
            }
        }
    }
}
