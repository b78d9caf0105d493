//! Metrics expected when the items at each distance stand in a random order.
//!
//! McSherry and Najork, "Computing information retrieval performance measures efficiently in the presence of tied
//! scores", ECIR 2008; He, Cakir, Bargal and Sclaroff, "Hashing as tie-aware learning to rank", CVPR 2018.

use crate::gains::Gains;
use crate::harmonic::Harmonic;
use crate::ranking::Group;

/// The items of a group that the top K holds, and what comes before the group.
struct Share {
    before: Group,
    group: Group,
    /// Ranks of the top K that fall to the group.
    taken: usize,
}

/// The groups that the top `depth` reaches into.
fn shares(groups: &[Group], depth: usize) -> impl Iterator<Item = Share> {
    let mut before = Group::default();
    let shares = groups.iter().map(move |&group| {
        let share = Share { before, group, taken: group.items.min(depth.saturating_sub(before.items)) };
        before = Group { items: before.items + group.items, relevant: before.relevant + group.relevant };
        share
    });
    shares.take_while(move |share| share.before.items < depth).filter(|share| share.group.relevant > 0)
}

/// Expects `Σ rel_r h(r)/r` down to rank `depth`.
pub(crate) fn precisions(groups: &[Group], depth: usize, harmonic: &Harmonic) -> f64 {
    shares(groups, depth).fold(0.0, |sum, share| sum + share.precisions(harmonic))
}

/// Expects the number of relevant items among the first `depth`.
pub(crate) fn hits(groups: &[Group], depth: usize) -> f64 {
    shares(groups, depth).map(|share| share.density() * share.taken as f64).fold(0.0, |sum, hits| sum + hits)
}

/// Expects the discounted cumulative gain down to rank `depth`, each relevant item with gain 1.
pub(crate) fn cumulative_gain(groups: &[Group], depth: usize, gains: &Gains) -> f64 {
    let of_share = |share: Share| {
        share.density() * (gains.best(share.before.items + share.taken) - gains.best(share.before.items))
    };
    shares(groups, depth).map(of_share).sum()
}

impl Share {
    /// The probability that a place of the group holds a relevant item.
    fn density(&self) -> f64 {
        self.group.relevant as f64 / self.group.items as f64
    }

    /// Expects the part of the sum of precisions that falls to the group's first `t` places, of `n`; `r` of its items are
    /// relevant, and `N` items precede it, `R` of them relevant.
    ///
    /// Place `i` holds a relevant item with probability `r/n`; given that, each of the `i − 1` places before it holds one
    /// of the others with probability `(r−1)/(n−1)`. So the expectation is
    /// `r/n · [(R+1) · Σ 1/(N+i) + (r−1)/(n−1) · Σ (i−1)/(N+i)]`, and `Σ (i−1)/(N+i) = t − (N+1) · Σ 1/(N+i)`.
    fn precisions(&self, harmonic: &Harmonic) -> f64 {
        let Self { before, group, taken } = self;
        let inverse = harmonic.between(before.items, before.items + taken);
        let others = if group.items == 1 { 0.0 } else { (group.relevant - 1) as f64 / (group.items - 1) as f64 };
        let shifted = *taken as f64 - (before.items + 1) as f64 * inverse;
        self.density() * ((before.relevant + 1) as f64 * inverse + others * shifted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums over the places of one group, without the closed form.
    fn summed(share: &Share) -> f64 {
        let Share { before, group, taken } = share;
        let (n, r) = (group.items as f64, group.relevant as f64);
        let others = if group.items == 1 { 0.0 } else { (r - 1.0) / (n - 1.0) };
        let place = |i: usize| (before.relevant as f64 + 1.0 + (i - 1) as f64 * others) / (before.items + i) as f64;
        (1..=*taken).map(|i| r / n * place(i)).sum()
    }

    #[test]
    fn closed_form_is_accurate_far_down_the_ranking() {
        let harmonic = Harmonic::to(60_000);
        for (seen, found, items, relevant, taken) in [
            (0, 0, 1, 1, 1),
            (0, 0, 7, 3, 7),
            (0, 0, 700, 30, 500),
            (10, 10, 5, 5, 2),
            (63, 4, 3, 2, 3),
            (49_998, 0, 2, 2, 2),
            (49_000, 3, 40, 2, 40),
            (20_000, 900, 9_000, 4_000, 8_999),
        ] {
            let (before, group) = (Group { items: seen, relevant: found }, Group { items, relevant });
            let share = Share { before, group, taken };
            let (closed, direct) = (share.precisions(&harmonic), summed(&share));
            assert!((closed / direct - 1.0).abs() < 1e-10, "{before:?} {group:?}: {closed} and {direct}");
        }
    }
}
