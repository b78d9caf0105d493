//! Options and results of an evaluation.

use std::collections::BTreeMap;

use crate::average_precision::{Scores, ratio};
use crate::curves::{Curves, precision_within};
use crate::ranking::Ranking;
use crate::weights::Weights;

/// Hamming radius of papers' precision within a ball.
const RADIUS: usize = 2;

/// Options of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Depth K of `map_at_k` and `ndcg_at_k`; `None`, or more than the database holds, is the whole ranking.
    pub map_at: Option<usize>,
    /// Ranks of the precision and recall curves, from 1. A rank beyond the database counts the whole database.
    pub ranks: Vec<usize>,
    /// Whether to measure the curves.
    pub curves: bool,
}

/// Means over all queries, as fractions. Curves are empty unless [`Options::curves`] is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// mAP@K: each query's AP divided by its relevant items in the top K; a query without any counts 0.
    /// The definition of CIBHash, DeepHash-pytorch, UCMFH and the NSH family.
    pub map_at_k: f64,
    /// The same, averaged over the queries with a relevant item in the top K alone (HashNet's PyTorch code).
    pub map_at_k_hit_queries: f64,
    /// mAP@K with AP divided by min(K, the query's relevant items): a missed relevant item costs.
    pub map_at_k_min_divisor: f64,
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
    /// Average precision of each query, in their order; [`map_at_k`](Self::map_at_k) is its mean.
    pub average_precision: Vec<f32>,
    /// Ranks N of the curves.
    pub ranks: Vec<usize>,
    /// Precision of the first N items, per rank.
    pub precision_at: Vec<f64>,
    /// Recall of the first N items, per rank; a query without relevant items counts 0.
    pub recall_at: Vec<f64>,
    /// Precision within radius `0..=bits`, over the queries with anything in that ball; 0 where none has.
    pub radius_precision: Vec<f64>,
    /// Recall within radius `0..=bits`; a query without relevant items counts 0.
    pub radius_recall: Vec<f64>,
    /// Number of queries with anything within radius `0..=bits`.
    pub radius_nonempty: Vec<usize>,
}

impl Report {
    /// The scalars by name.
    pub fn scalars(&self) -> BTreeMap<String, f64> {
        named([
            ("map_at_k", self.map_at_k),
            ("map_at_k_hit_queries", self.map_at_k_hit_queries),
            ("map_at_k_min_divisor", self.map_at_k_min_divisor),
            ("map_all", self.map_all),
            ("map_all_expected", self.map_all_expected),
            ("ndcg_at_k", self.ndcg_at_k),
            ("precision_radius2", self.precision_radius2),
            ("queries_without_hit", self.queries_without_hit as f64),
        ])
    }

    /// The curves and their ranks by name; empty unless [`Options::curves`] is set.
    pub fn curves(&self) -> BTreeMap<String, Vec<f64>> {
        if self.radius_precision.is_empty() {
            return BTreeMap::new();
        }
        let counts = |counts: &[usize]| counts.iter().map(|&count| count as f64).collect();
        named([
            ("ranks", counts(&self.ranks)),
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
    ranks: &'a [usize],
    average_precision: Vec<f32>,
    scores: Scores,
    precision_radius2: f64,
    curves: Option<Curves>,
}

impl<'a> Totals<'a> {
    /// Makes sums over no queries.
    pub(crate) fn zero(bits: usize, options: &'a Options) -> Self {
        let curves = options.curves.then(|| Curves::zero(options.ranks.len(), bits + 1));
        Self {
            ranks: &options.ranks,
            average_precision: Vec::new(),
            scores: Scores::default(),
            precision_radius2: 0.0,
            curves,
        }
    }

    /// Adds one query.
    pub(crate) fn add(&mut self, ranking: &Ranking, weights: &Weights) {
        let scores = Scores::of(ranking, weights);
        self.average_precision.push(scores.ap_at_k as f32);
        self.scores += scores;
        self.precision_radius2 += precision_within(ranking, RADIUS);
        if let Some(curves) = &mut self.curves {
            curves.add(ranking, self.ranks);
        }
    }

    /// Adds the queries that follow.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.average_precision.extend(&other.average_precision);
        self.scores += other.scores;
        self.precision_radius2 += other.precision_radius2;
        if let (Some(curves), Some(more)) = (&mut self.curves, &other.curves) {
            curves.merge(more);
        }
    }

    /// Takes the means.
    pub(crate) fn report(self) -> Report {
        let (queries, scores) = (self.average_precision.len(), self.scores);
        let ranks = if self.curves.is_some() { self.ranks.to_vec() } else { Vec::new() };
        let curves = self.curves.unwrap_or_else(|| Curves::zero(0, 0));
        let mean = |sum| ratio(sum, queries);
        let means = |sums: Vec<f64>| sums.into_iter().map(mean).collect();
        let over_nonempty = |(&sum, &nonempty)| ratio(sum, nonempty);
        Report {
            map_at_k: mean(scores.ap_at_k),
            map_at_k_hit_queries: ratio(scores.ap_at_k, queries - scores.without_hit),
            map_at_k_min_divisor: mean(scores.ap_at_k_min_divisor),
            map_all: mean(scores.ap_all),
            map_all_expected: mean(scores.ap_all_expected),
            ndcg_at_k: mean(scores.ndcg_at_k),
            precision_radius2: mean(self.precision_radius2),
            queries_without_hit: scores.without_hit,
            average_precision: self.average_precision,
            ranks,
            precision_at: means(curves.precision_at),
            recall_at: means(curves.recall_at),
            radius_precision: curves.radius_precision.iter().zip(&curves.radius_nonempty).map(over_nonempty).collect(),
            radius_recall: means(curves.radius_recall),
            radius_nonempty: curves.radius_nonempty,
        }
    }
}
