//! Options and results of an evaluation.

use std::collections::BTreeMap;

use crate::average_precision::{PrecisionSums, ratio};
use crate::curves::{Curves, precision_within};
use crate::gains::{Gains, average_gain};
use crate::harmonic::Harmonic;
use crate::metrics::{COUNT, Definition, MetricInfo, RADIUS, WITHOUT_HIT, known_metrics};
use crate::ranking::Ranking;
use crate::search::{GROUP, Summary};
use crate::{EvalError, expectation};

/// Options of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Depth K of every metric at K; `None`, or more than the database holds, is the whole ranking.
    pub map_at: Option<usize>,
    /// The definition of mAP@K that [`Report::primary`] and [`Report::average_precision`] follow. All are measured.
    pub definition: Definition,
    /// Hamming radius of the precision within a ball.
    pub radius: usize,
    /// Ranks of the precision and recall curves, from 1. A rank beyond the database counts the whole database.
    pub ranks: Vec<usize>,
    /// Whether to measure the curves.
    pub curves: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { map_at: None, definition: Definition::default(), radius: RADIUS, ranks: Vec::new(), curves: false }
    }
}

impl Options {
    /// The depth K in a database of `items`.
    pub(crate) fn depth(&self, items: usize) -> Result<usize, EvalError> {
        if let Some(position) = self.ranks.iter().position(|&rank| rank == 0) {
            return Err(EvalError::Rank { position });
        }
        depth(self.map_at, items)
    }
}

/// The depth K of an mAP: all of the database where none is given.
pub(crate) fn depth(map_at: Option<usize>, items: usize) -> Result<usize, EvalError> {
    if map_at == Some(0) { Err(EvalError::Depth) } else { Ok(map_at.map_or(items, |depth| depth.min(items))) }
}

/// Values of one query, in the order of [`known_metrics`]; NaN where the query does not enter the mean.
type Values = [f64; COUNT];

/// Choice of metrics.
pub(crate) struct Measure<'a> {
    options: &'a Options,
    bits: usize,
    items: usize,
    /// The depth K.
    depth: usize,
    gains: Gains,
    harmonic: Harmonic,
}

impl<'a> Measure<'a> {
    /// Prepares to measure rankings of `items` items by codes of `bits` bits; 0 if the distance is no integer, so
    /// that there are no radii.
    pub(crate) fn new(options: &'a Options, items: usize, bits: usize) -> Result<Self, EvalError> {
        let depth = options.depth(items)?;
        Ok(Self { options, bits, items, depth, gains: Gains::to(depth), harmonic: Harmonic::to(items) })
    }

    /// Measures one ranking.
    fn values(&self, ranking: &Ranking) -> Values {
        let (depth, relevant, groups) = (self.depth, ranking.relevant(), ranking.groups());
        let hits = ranking.hits_within(depth);
        let sums = PrecisionSums::of(ranking, depth);
        let at_k = ratio(sums.top_k, hits);
        let best = self.gains.best(relevant);
        let expected_gain = expectation::cumulative_gain(groups, depth, &self.gains);
        [
            at_k,
            if hits == 0 { f64::NAN } else { at_k },
            ratio(sums.top_k, relevant.min(depth)),
            ratio(sums.top_k, relevant),
            ratio(sums.first_k, relevant.min(depth)),
            ratio(expectation::precisions(groups, depth, &self.harmonic), relevant.min(depth)),
            ratio(sums.all, relevant),
            ratio(expectation::precisions(groups, ranking.items(), &self.harmonic), relevant),
            self.gains.ndcg(ranking, hits),
            if relevant == 0 { 0.0 } else { expected_gain / best },
            self.gains.graded_ndcg(ranking, hits),
            average_gain(ranking, hits, depth),
            precision_within(ranking, self.options.radius),
            f64::from(u8::from(hits == 0)),
        ]
    }

    /// Takes the means.
    pub(crate) fn report(&self, totals: Totals) -> Report {
        let Totals { values, curves } = totals;
        let measured = known_metrics().iter().enumerate().filter(|(_, metric)| self.bits > 0 || !metric.is_of_radius());
        let of_metric = |(at, metric): (usize, &MetricInfo)| {
            (metric.name_at(self.options.radius), values.iter().map(|query| query[at]).collect())
        };
        let queries: BTreeMap<String, Vec<f64>> = measured.map(of_metric).collect();
        Report {
            primary: self.options.definition.metric(),
            curves: curves.map_or_else(BTreeMap::new, |curves| curves.means(&self.options.ranks, values.len())),
            queries,
        }
    }
}

/// Sums over queries, from which a report's means are taken.
pub(crate) struct Totals {
    values: Vec<Values>,
    curves: Option<Curves>,
}

impl Summary for Measure<'_> {
    type Sum = Totals;

    fn deepest(&self) -> usize {
        self.items
    }

    fn zero(&self) -> Totals {
        let radii = if self.bits == 0 { 0 } else { self.bits + 1 };
        let curves = self.options.curves.then(|| Curves::zero(self.options.ranks.len(), radii));
        Totals { values: Vec::new(), curves }
    }

    fn add(&self, totals: &mut Totals, ranking: &Ranking) {
        totals.values.push(self.values(ranking));
        if let Some(curves) = &mut totals.curves {
            curves.add(ranking, &self.options.ranks);
        }
    }

    fn merge(&self, totals: &mut Totals, following: Totals) {
        totals.values.extend(following.values);
        if let (Some(curves), Some(more)) = (&mut totals.curves, &following.curves) {
            curves.merge(more);
        }
    }
}

/// Metrics by name, see [`known_metrics`]: of every query, and their means.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    primary: &'static str,
    queries: BTreeMap<String, Vec<f64>>,
    curves: BTreeMap<String, Vec<f64>>,
}

impl Report {
    /// Means over the queries by name; of `queries_without_hit`, the number.
    pub fn scalars(&self) -> BTreeMap<String, f64> {
        self.queries.iter().map(|(name, values)| (name.clone(), summary(name, values))).collect()
    }

    /// The mean of a metric.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn scalar(&self, name: &str) -> f64 {
        summary(name, &self.queries[name])
    }

    /// mAP@K by [`Options::definition`].
    pub fn primary(&self) -> f64 {
        self.scalar(self.primary)
    }

    /// The average precision of each query by [`Options::definition`], in their order; 0 for a query that does not enter the
    /// mean.
    pub fn average_precision(&self) -> Vec<f32> {
        self.queries[self.primary].iter().map(|&value| if value.is_nan() { 0.0 } else { value as f32 }).collect()
    }

    /// Values of each query by the metric's name, in the order of the queries; NaN for a query that does not enter the mean.
    pub fn queries(&self) -> &BTreeMap<String, Vec<f64>> {
        &self.queries
    }

    /// The curves by name; empty unless [`Options::curves`] is set.
    ///
    /// - `precision_at`, `recall_at` over `ranks`, ties by position, and `precision_at_expected`, `recall_at_expected` in
    ///   expectation over ties; a query without relevant items has recall 0.
    /// - `radius_precision` over Hamming radii `0..=bits`: mean over the `radius_nonempty` queries with an item in that
    ///   ball, 0 where there are none. `radius_recall`: mean over all queries.
    pub fn curves(&self) -> &BTreeMap<String, Vec<f64>> {
        &self.curves
    }
}

/// The mean of a metric over the queries that enter it; a count's sum.
pub(crate) fn summary(name: &str, values: &[f64]) -> f64 {
    if name == WITHOUT_HIT { values.iter().sum() } else { mean(values.iter().copied()) }
}

/// The mean of those values that are numbers; 0 if none is. Values are added by [`GROUP`], as the sums of curves are.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut group, mut count) = (0.0, 0.0, 0);
    for (at, value) in values.enumerate() {
        if at % GROUP == 0 {
            sum += std::mem::take(&mut group);
        }
        if !value.is_nan() {
            group += value;
            count += 1;
        }
    }
    ratio(sum + group, count)
}
