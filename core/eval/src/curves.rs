//! Precision and recall, by rank and by Hamming radius.

use std::collections::BTreeMap;

use crate::average_precision::ratio;
use crate::expectation;
use crate::ranking::Ranking;

/// Curves summed over queries.
#[derive(Clone, Debug)]
pub(crate) struct Curves {
    /// Per rank of [`Options::ranks`](crate::Options).
    precision_at: Vec<f64>,
    recall_at: Vec<f64>,
    precision_at_expected: Vec<f64>,
    recall_at_expected: Vec<f64>,
    /// Per radius, `0..=bits`; only over queries whose ball is not empty.
    radius_precision: Vec<f64>,
    radius_recall: Vec<f64>,
    /// Queries whose ball is not empty, per radius.
    radius_nonempty: Vec<usize>,
}

impl Curves {
    /// Makes sums over no queries, for `ranks` ranks and `radii` radii.
    pub(crate) fn zero(ranks: usize, radii: usize) -> Self {
        let (by_rank, by_radius) = (vec![0.0; ranks], vec![0.0; radii]);
        Self {
            precision_at: by_rank.clone(),
            recall_at: by_rank.clone(),
            precision_at_expected: by_rank.clone(),
            recall_at_expected: by_rank,
            radius_precision: by_radius.clone(),
            radius_recall: by_radius,
            radius_nonempty: vec![0; radii],
        }
    }

    /// Adds one query's curves.
    pub(crate) fn add(&mut self, ranking: &Ranking, ranks: &[usize]) {
        self.add_ranks(ranking, ranks);
        self.add_radii(ranking);
    }

    /// Adds other queries' curves.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sums, more) in [
            (&mut self.precision_at, &other.precision_at),
            (&mut self.recall_at, &other.recall_at),
            (&mut self.precision_at_expected, &other.precision_at_expected),
            (&mut self.recall_at_expected, &other.recall_at_expected),
            (&mut self.radius_precision, &other.radius_precision),
            (&mut self.radius_recall, &other.radius_recall),
        ] {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.radius_nonempty.iter_mut().zip(&other.radius_nonempty).for_each(|(sum, more)| *sum += more);
    }

    fn add_ranks(&mut self, ranking: &Ranking, ranks: &[usize]) {
        for (at, &rank) in ranks.iter().enumerate() {
            let (hits, items) = (ranking.hits_within(rank) as f64, rank.min(ranking.items()));
            let expected = expectation::hits(ranking.groups(), rank);
            self.precision_at[at] += ratio(hits, items);
            self.recall_at[at] += ratio(hits, ranking.relevant());
            self.precision_at_expected[at] += ratio(expected, items);
            self.recall_at_expected[at] += ratio(expected, ranking.relevant());
        }
    }

    fn add_radii(&mut self, ranking: &Ranking) {
        let (mut items, mut hits) = (0, 0);
        for (radius, group) in ranking.groups().iter().enumerate().take(self.radius_nonempty.len()) {
            items += group.items;
            hits += group.relevant;
            self.radius_nonempty[radius] += usize::from(items > 0);
            self.radius_precision[radius] += ratio(hits as f64, items);
            self.radius_recall[radius] += ratio(hits as f64, ranking.relevant());
        }
    }

    /// The means over `queries` by name, with the ranks.
    pub(crate) fn means(self, ranks: &[usize], queries: usize) -> BTreeMap<String, Vec<f64>> {
        let mean = |sums: Vec<f64>| sums.into_iter().map(|sum| ratio(sum, queries)).collect();
        let counts = |counts: &[usize]| counts.iter().map(|&count| count as f64).collect();
        let nonempty = self.radius_precision.iter().zip(&self.radius_nonempty);
        let mut curves = vec![
            ("ranks", counts(ranks)),
            ("precision_at", mean(self.precision_at)),
            ("recall_at", mean(self.recall_at)),
            ("precision_at_expected", mean(self.precision_at_expected)),
            ("recall_at_expected", mean(self.recall_at_expected)),
        ];
        if !self.radius_nonempty.is_empty() {
            curves.push(("radius_precision", nonempty.map(|(&sum, &count)| ratio(sum, count)).collect()));
            curves.push(("radius_nonempty", counts(&self.radius_nonempty)));
            curves.push(("radius_recall", mean(self.radius_recall)));
        }
        curves.into_iter().map(|(name, values)| (name.to_owned(), values)).collect()
    }
}

/// The share of relevant items among those within `radius` of the query; 0 if there are none.
pub(crate) fn precision_within(ranking: &Ranking, radius: usize) -> f64 {
    let ball = ranking.groups().iter().take(radius + 1);
    let (items, hits) = ball.fold((0, 0), |(items, hits), group| (items + group.items, hits + group.relevant));
    ratio(hits as f64, items)
}
