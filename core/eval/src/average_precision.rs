//! Average precision, by the definitions in use, and normalized discounted cumulative gain.
//!
//! With `rel_r` the relevance of rank `r` and `h(r)` the relevant items up to it, all share the sum
//! `Σ_{r<=K} rel_r h(r)/r` and differ in what it is divided by.

use std::ops::AddAssign;

use crate::ranking::{Group, Ranking};
use crate::weights::{Gains, Harmonic, Weights};

/// One query's scores, or their sums over queries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    /// Divided by the relevant items in the top K; 0 if there are none.
    pub(crate) ap_at_k: f64,
    /// Divided by the smaller of K and all relevant items.
    pub(crate) ap_at_k_min_divisor: f64,
    /// Over the whole ranking.
    pub(crate) ap_all: f64,
    /// Over the whole ranking, expected when each group of equal distance stands in a random order.
    pub(crate) ap_all_expected: f64,
    /// Gain 1 per relevant item in the top K, discounted by log2(r + 1), against the best ranking's.
    pub(crate) ndcg_at_k: f64,
    /// Queries without a relevant item in the top K.
    pub(crate) without_hit: usize,
}

impl Scores {
    /// Scores one ranking.
    pub(crate) fn of(ranking: &Ranking, weights: &Weights) -> Self {
        let (depth, relevant) = (weights.depth, ranking.relevant());
        let hits = ranking.hits_within(depth);
        let mut precisions = precisions(ranking);
        let top: f64 = precisions.by_ref().take(hits).sum();
        let all = top + precisions.sum::<f64>();
        Self {
            ap_at_k: ratio(top, hits),
            ap_at_k_min_divisor: ratio(top, relevant.min(depth)),
            ap_all: ratio(all, relevant),
            ap_all_expected: ratio(expected_precisions(ranking.groups(), &weights.harmonic), relevant),
            ndcg_at_k: ndcg(ranking, hits, &weights.gains),
            without_hit: usize::from(hits == 0),
        }
    }
}

impl AddAssign for Scores {
    fn add_assign(&mut self, other: Self) {
        self.ap_at_k += other.ap_at_k;
        self.ap_at_k_min_divisor += other.ap_at_k_min_divisor;
        self.ap_all += other.ap_all;
        self.ap_all_expected += other.ap_all_expected;
        self.ndcg_at_k += other.ndcg_at_k;
        self.without_hit += other.without_hit;
    }
}

/// One query's `ap_at_k`, for which the nearest `depth` items need be ranked and no others.
pub(crate) fn average_precision(ranking: &Ranking, depth: usize) -> f64 {
    let hits = ranking.hits_within(depth);
    let top: f64 = precisions(ranking).take(hits).sum();
    ratio(top, hits)
}

/// The precision at the rank of each relevant item, nearest first.
fn precisions(ranking: &Ranking) -> impl Iterator<Item = f64> {
    ranking.hits().zip(1usize..).map(|(rank, hits)| hits as f64 / rank as f64)
}

/// Divides by a count; nothing found in nothing is 0, not NaN.
pub(crate) fn ratio(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// Expects `Σ rel_r h(r)/r` over all orders within the groups.
fn expected_precisions(groups: &[Group], harmonic: &Harmonic) -> f64 {
    let mut before = Group::default();
    let mut sum = 0.0;
    for group in groups {
        sum += expected_in_group(before, *group, harmonic);
        before = Group { items: before.items + group.items, relevant: before.relevant + group.relevant };
    }
    sum
}

/// Expects the part of the sum that falls to one group of `n` items, `r` of them relevant, that follows `N` items,
/// `R` of them relevant.
///
/// The group's place `i` holds a relevant item with probability `r/n`; given that, each of the `i − 1` places before
/// it holds one of the others with probability `(r−1)/(n−1)`. So the expectation is
/// `r/n · [(R+1) · Σ 1/(N+i) + (r−1)/(n−1) · Σ (i−1)/(N+i)]`, and `Σ (i−1)/(N+i) = n − (N+1) · Σ 1/(N+i)`.
fn expected_in_group(before: Group, group: Group, harmonic: &Harmonic) -> f64 {
    if group.relevant == 0 {
        return 0.0;
    }
    let (n, r) = (group.items as f64, group.relevant as f64);
    let inverse = harmonic.between(before.items, before.items + group.items);
    let others = if group.items == 1 { 0.0 } else { (r - 1.0) / (n - 1.0) };
    let shifted = n - (before.items + 1) as f64 * inverse;
    r / n * ((before.relevant + 1) as f64 * inverse + others * shifted)
}

/// The discounted gain of the first `hits` relevant items against that of the best ranking to the same depth.
fn ndcg(ranking: &Ranking, hits: usize, gains: &Gains) -> f64 {
    if hits == 0 {
        return 0.0;
    }
    let gain: f64 = ranking.hits().take(hits).map(|rank| gains.at(rank)).sum();
    gain / gains.best(ranking.relevant())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums over the places of one group, without the closed form.
    fn summed(before: Group, group: Group) -> f64 {
        let (n, r) = (group.items as f64, group.relevant as f64);
        let others = if group.items == 1 { 0.0 } else { (r - 1.0) / (n - 1.0) };
        let place = |i: usize| (before.relevant as f64 + 1.0 + (i - 1) as f64 * others) / (before.items + i) as f64;
        (1..=group.items).map(|i| r / n * place(i)).sum()
    }

    #[test]
    fn closed_form_is_accurate_far_down_the_ranking() {
        let harmonic = Harmonic::to(60_000);
        for (seen, found, items, relevant) in [
            (0, 0, 1, 1),
            (0, 0, 7, 3),
            (10, 10, 5, 5),
            (49_998, 0, 2, 2),
            (49_000, 3, 40, 2),
            (20_000, 900, 9_000, 4_000),
        ] {
            let (before, group) = (Group { items: seen, relevant: found }, Group { items, relevant });
            let (closed, direct) = (expected_in_group(before, group, &harmonic), summed(before, group));
            assert!((closed / direct - 1.0).abs() < 1e-10, "{before:?} {group:?}: {closed} and {direct}");
        }
    }
}
