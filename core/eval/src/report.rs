//! What an evaluation is asked for and what it finds.

use std::collections::BTreeMap;

use crate::average_precision::{Scores, ratio};
use crate::curves::{Curves, precision_within};
use crate::ranking::Ranking;
use crate::weights::Weights;

/// The radius of the ball that papers report precision within, in bits.
const RADIUS: usize = 2;

/// What to measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The depth K of `map_at_k` and `ndcg_at_k`; 0, or more than the database holds, is the whole ranking.
    pub map_at: usize,
    /// Depths of the precision and recall curves, from 1. A depth beyond the database counts what there is.
    pub grid: Vec<usize>,
    /// Whether to measure the curves.
    pub curves: bool,
}

/// What was found: means over all queries, as fractions. Curves are empty unless they were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// mAP@K: each query's AP divided by its relevant items in the top K; a query without any counts 0.
    /// The definition of CIBHash, DeepHash-pytorch, UCMFH and the NSH family.
    pub map_at_k: f64,
    /// The same, with queries without a relevant item in the top K left out (HashNet's PyTorch code).
    pub map_at_k_skip_empty: f64,
    /// mAP@K with AP divided by the smaller of K and all the query's relevant items, so that finding few costs.
    pub map_at_k_total: f64,
    /// mAP over the whole ranking, ties ranked by position in the database.
    pub map_all: f64,
    /// mAP over the whole ranking, expected when ties stand in a random order: free of the database's order.
    pub map_all_expected: f64,
    /// NDCG@K with gain 1 per relevant item and discount log2(rank + 1).
    pub ndcg_at_k: f64,
    /// Precision within Hamming radius 2; a query with nothing in that ball counts 0.
    pub precision_radius2: f64,
    /// Number of queries without a relevant item in the top K.
    pub queries_without_hit: usize,
    /// The grid of depths N.
    pub grid: Vec<usize>,
    /// Precision of the first N items, per depth of the grid.
    pub precision_at: Vec<f64>,
    /// Recall of the first N items, per depth of the grid; a query without relevant items counts 0.
    pub recall_at: Vec<f64>,
    /// Precision within radius `0..=bits`, over the queries with anything in that ball; 0 where none has.
    pub radius_precision: Vec<f64>,
    /// Recall within radius `0..=bits`; a query without relevant items counts 0.
    pub radius_recall: Vec<f64>,
    /// Number of queries with anything within radius `0..=bits`.
    pub radius_nonempty: Vec<usize>,
}

impl Report {
    /// Names the scalars.
    pub fn scalars(&self) -> BTreeMap<String, f64> {
        named([
            ("map_at_k", self.map_at_k),
            ("map_at_k_skip_empty", self.map_at_k_skip_empty),
            ("map_at_k_total", self.map_at_k_total),
            ("map_all", self.map_all),
            ("map_all_expected", self.map_all_expected),
            ("ndcg_at_k", self.ndcg_at_k),
            ("precision_radius2", self.precision_radius2),
            ("queries_without_hit", self.queries_without_hit as f64),
        ])
    }

    /// Names the curves and the grid; holds nothing unless curves were asked for.
    pub fn curves(&self) -> BTreeMap<String, Vec<f64>> {
        if self.radius_precision.is_empty() {
            return BTreeMap::new();
        }
        let counts = |counts: &[usize]| counts.iter().map(|&count| count as f64).collect();
        named([
            ("grid", counts(&self.grid)),
            ("precision_at", self.precision_at.clone()),
            ("recall_at", self.recall_at.clone()),
            ("radius_precision", self.radius_precision.clone()),
            ("radius_recall", self.radius_recall.clone()),
            ("radius_nonempty", counts(&self.radius_nonempty)),
        ])
    }
}

fn named<V, const N: usize>(pairs: [(&str, V); N]) -> BTreeMap<String, V> {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Sums over queries, from which the report's means are taken.
#[derive(Clone, Debug)]
pub(crate) struct Totals<'a> {
    grid: &'a [usize],
    queries: usize,
    scores: Scores,
    precision_radius2: f64,
    curves: Option<Curves>,
}

impl<'a> Totals<'a> {
    /// Makes sums over no queries.
    pub(crate) fn zero(bits: usize, options: &'a Options) -> Self {
        let curves = options.curves.then(|| Curves::zero(options.grid.len(), bits + 1));
        Self { grid: &options.grid, queries: 0, scores: Scores::default(), precision_radius2: 0.0, curves }
    }

    /// Adds one query.
    pub(crate) fn add(&mut self, ranking: &Ranking, weights: &Weights) {
        self.queries += 1;
        self.scores += Scores::of(ranking, weights);
        self.precision_radius2 += precision_within(ranking, RADIUS);
        if let Some(curves) = &mut self.curves {
            curves.add(ranking, self.grid);
        }
    }

    /// Adds other queries.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.queries += other.queries;
        self.scores += other.scores;
        self.precision_radius2 += other.precision_radius2;
        if let (Some(curves), Some(more)) = (&mut self.curves, &other.curves) {
            curves.merge(more);
        }
    }

    /// Takes the means.
    pub(crate) fn report(self) -> Report {
        let (queries, scores) = (self.queries, self.scores);
        let grid = if self.curves.is_some() { self.grid.to_vec() } else { Vec::new() };
        let curves = self.curves.unwrap_or_else(|| Curves::zero(0, 0));
        let mean = |sum| ratio(sum, queries);
        let means = |sums: Vec<f64>| sums.into_iter().map(mean).collect();
        let over_nonempty = |(&sum, &nonempty)| ratio(sum, nonempty);
        Report {
            map_at_k: mean(scores.ap_at_k),
            map_at_k_skip_empty: ratio(scores.ap_at_k, queries - scores.without_hit),
            map_at_k_total: mean(scores.ap_at_k_total),
            map_all: mean(scores.ap_all),
            map_all_expected: mean(scores.ap_all_expected),
            ndcg_at_k: mean(scores.ndcg_at_k),
            precision_radius2: mean(self.precision_radius2),
            queries_without_hit: scores.without_hit,
            grid,
            precision_at: means(curves.precision_at),
            recall_at: means(curves.recall_at),
            radius_precision: curves.radius_precision.iter().zip(&curves.radius_nonempty).map(over_nonempty).collect(),
            radius_recall: means(curves.radius_recall),
            radius_nonempty: curves.radius_nonempty,
        }
    }
}
