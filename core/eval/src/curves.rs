//! Precision and recall, by rank and by Hamming radius.

use crate::average_precision::ratio;
use crate::ranking::Ranking;

/// Curves summed over queries.
#[derive(Clone, Debug)]
pub(crate) struct Curves {
    /// Per rank of [`Options::ranks`](crate::Options).
    pub(crate) precision_at: Vec<f64>,
    pub(crate) recall_at: Vec<f64>,
    /// Per radius, `0..=bits`; only over queries whose ball is not empty.
    pub(crate) radius_precision: Vec<f64>,
    pub(crate) radius_recall: Vec<f64>,
    /// Queries whose ball is not empty, per radius.
    pub(crate) radius_nonempty: Vec<usize>,
}

impl Curves {
    /// Makes sums over no queries, for `ranks` ranks and `radii` radii.
    pub(crate) fn zero(ranks: usize, radii: usize) -> Self {
        let (by_rank, by_radius) = (vec![0.0; ranks], vec![0.0; radii]);
        Self {
            precision_at: by_rank.clone(),
            recall_at: by_rank,
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
            (&mut self.radius_precision, &other.radius_precision),
            (&mut self.radius_recall, &other.radius_recall),
        ] {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.radius_nonempty.iter_mut().zip(&other.radius_nonempty).for_each(|(sum, more)| *sum += more);
    }

    fn add_ranks(&mut self, ranking: &Ranking, ranks: &[usize]) {
        for (at, &rank) in ranks.iter().enumerate() {
            let hits = ranking.hits_within(rank);
            self.precision_at[at] += ratio(hits as f64, rank.min(ranking.items()));
            self.recall_at[at] += ratio(hits as f64, ranking.relevant());
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
}

/// The share of relevant items among those within `radius` of the query; 0 if there are none.
pub(crate) fn precision_within(ranking: &Ranking, radius: usize) -> f64 {
    let ball = ranking.groups().iter().take(radius + 1);
    let (items, hits) = ball.fold((0, 0), |(items, hits), group| (items + group.items, hits + group.relevant));
    ratio(hits as f64, items)
}
