//! Exact search: the distance of every code to the query's, and a selection without a sort.

use hashlab_eval::Codes;
use pulp::NullaryFnOnce;

/// An item that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Hamming distance to the query.
    pub distance: u32,
    /// Position of the item.
    pub item: usize,
}

/// The items nearest to a code, at most `top`, ascending by (distance, position).
///
/// # Panics
/// If the code has another number of words than those of the items.
pub fn nearest(codes: &Codes, query: &[u64], top: usize) -> Vec<Hit> {
    let mut distances = vec![0u16; codes.len()];
    let mut counts = vec![0usize; 64 * query.len() + 1];
    hashlab_simd::arch().dispatch(Measure { codes, query, distances: &mut distances });
    distances.iter().for_each(|&distance| counts[usize::from(distance)] += 1);
    let Some(farthest) = farthest(&counts, top) else { return Vec::new() };
    let mut hits: Vec<Hit> = distances
        .iter()
        .enumerate()
        .filter(|(_, distance)| usize::from(**distance) <= farthest)
        .map(|(item, &distance)| Hit { distance: u32::from(distance), item })
        .collect();
    hits.sort_unstable();
    hits.truncate(top);
    hits
}

/// The smallest distance within which there are `top` items, or all; `None` if nothing is asked for, or there is none.
fn farthest(counts: &[usize], top: usize) -> Option<usize> {
    let all: usize = counts.iter().sum();
    let wanted = top.min(all);
    let mut within = 0;
    counts.iter().position(|count| {
        within += count;
        wanted > 0 && within >= wanted
    })
}

/// The distances of a pass. A closure would say the same in less, but need not be inlined, and would then be compiled
/// without the processor's population count.
struct Measure<'a> {
    codes: &'a Codes,
    query: &'a [u64],
    distances: &'a mut [u16],
}

impl NullaryFnOnce for Measure<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { codes, query, distances } = self;
        let words = codes.packed();
        match *query {
            [word] if words.len() == distances.len() => {
                words.iter().zip(distances).for_each(|(code, out)| *out = (word ^ code).count_ones() as u16);
            }
            _ => words.chunks_exact(query.len()).zip(distances).for_each(|(code, out)| {
                *out = code.iter().zip(query).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() as u16;
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hits_are_the_first_of_a_sort(
            values in prop::collection::vec(-1.0f32..1.0, 0..200),
            bits in prop::sample::select(vec![1usize, 3, 64, 70]),
            top in 0usize..60,
        ) {
            let items = values.len() / bits;
            let codes = Codes::from_signs(&values[..items * bits], bits).unwrap();
            let query = Codes::from_signs(&vec![1.0; bits], bits).unwrap();
            let mut all: Vec<Hit> =
                (0..items).map(|item| Hit { distance: codes.hamming(item, &query, 0), item }).collect();
            all.sort();
            all.truncate(top);
            prop_assert_eq!(nearest(&codes, query.item(0), top), all);
        }
    }
}
