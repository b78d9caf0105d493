//! Average precision, by the definitions in use.
//!
//! With `rel_r` the relevance of rank `r` and `h(r)` the relevant items up to it, all are parts of the sum
//! `Σ rel_r h(r)/r` and differ in where it ends and in what it is divided by.

use std::ops::Range;

use pulp::NullaryFnOnce;

use crate::Definition;
use crate::ranking::Ranking;
use crate::search::Summary;

/// The sums of precisions at the ranks of relevant items: down to rank K, over the first K relevant items, over all.
pub(crate) struct PrecisionSums {
    pub(crate) top_k: f64,
    pub(crate) first_k: f64,
    pub(crate) all: f64,
}

impl PrecisionSums {
    /// Sums over a whole ranking.
    pub(crate) fn of(ranking: &Ranking, depth: usize) -> Self {
        let (top, first, relevant) = (ranking.hits_within(depth), ranking.relevant().min(depth), ranking.relevant());
        let top_k = precisions(ranking.hits(), 0..top, 0.0);
        let farther = precisions(ranking.hits(), top..first, 0.0);
        let all = top_k + precisions(ranking.hits(), first..relevant, farther);
        Self { top_k, first_k: top_k + farther, all }
    }
}

/// The average precision of each query by one definition; NaN if the query does not enter the mean.
pub(crate) struct Primary {
    pub(crate) definition: Definition,
    /// The depth K.
    pub(crate) depth: usize,
    /// Items of the database.
    pub(crate) items: usize,
}

impl Summary for Primary {
    type Sum = Vec<f64>;

    fn deepest(&self) -> usize {
        if self.definition == Definition::FirstK { self.items } else { self.depth }
    }

    fn zero(&self) -> Self::Sum {
        Vec::new()
    }

    fn add(&self, values: &mut Self::Sum, ranking: &Ranking) {
        let (hits, relevant) = (ranking.hits_within(self.depth), ranking.relevant());
        let top = precisions(ranking.hits(), 0..hits, 0.0);
        values.push(match self.definition {
            Definition::TopK => ratio(top, hits),
            Definition::HitQueries if hits == 0 => f64::NAN,
            Definition::HitQueries => ratio(top, hits),
            Definition::MinDivisor => ratio(top, relevant.min(self.depth)),
            Definition::AllRelevant => ratio(top, relevant),
            Definition::FirstK => {
                let first = relevant.min(self.depth);
                ratio(top + precisions(ranking.hits(), hits..first, 0.0), first)
            }
        });
    }

    fn merge(&self, values: &mut Self::Sum, following: Self::Sum) {
        values.extend(following);
    }
}

/// Adds the precisions at some hits' ranks to `sum`, one after the other: the result depends on the order.
fn precisions(ranks: &[u32], hits: Range<usize>, sum: f64) -> f64 {
    hashlab_simd::arch().dispatch(Precisions { ranks: &ranks[hits.clone()], before: hits.start, sum })
}

struct Precisions<'a> {
    ranks: &'a [u32],
    /// Relevant items before the first.
    before: usize,
    sum: f64,
}

impl NullaryFnOnce for Precisions<'_> {
    type Output = f64;

    /// Divides several at once before it adds them.
    #[inline(always)]
    fn call(self) -> f64 {
        const TOGETHER: usize = 16;
        let mut quotients = [0.0; TOGETHER];
        let (mut hit, mut sum) = (self.before as i32, self.sum);
        for ranks in self.ranks.chunks(TOGETHER) {
            for (quotient, &rank) in quotients.iter_mut().zip(ranks) {
                hit += 1;
                // Ranks are below 2³¹; before AVX-512, x86 converts vectors of signed integers alone.
                *quotient = f64::from(hit) / f64::from(rank as i32);
            }
            sum = quotients[..ranks.len()].iter().fold(sum, |sum, quotient| sum + quotient);
        }
        sum
    }
}

/// Divides by a count; nothing found in nothing is 0, not NaN.
pub(crate) fn ratio(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_of_any_length_are_summed() {
        for hits in 0..40u32 {
            let ranks: Vec<u32> = (0..hits).map(|hit| 3 * hit + 2).collect();
            let one_by_one =
                ranks.iter().zip(1..).fold(0.0, |sum, (&rank, hit)| sum + f64::from(hit) / f64::from(rank));
            assert_eq!(precisions(&ranks, 0..ranks.len(), 0.0), one_by_one);
            let third = precisions(&ranks, 0..ranks.len() / 3, 0.0);
            assert_eq!(precisions(&ranks, ranks.len() / 3..ranks.len(), third), one_by_one);
        }
    }
}
