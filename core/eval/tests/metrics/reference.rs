//! A tiny retrieval problem, and every metric computed directly from its definition.

use std::collections::BTreeMap;

use hashlab_eval::{Codes, Definition, EvalError, LabelSets, Options, Report, evaluate, map_at_k};
use hashlab_rng::{Stream, stream};

/// Values by the metric's name; a scalar is one value.
pub(crate) type Metrics = BTreeMap<String, Vec<f64>>;

/// Distance and grade of every item, nearest first; relevant is what has a grade above 0.
type Ranked = [(usize, usize)];
type Score<'a> = &'a dyn Fn(&Ranked) -> f64;
type ScoreAt<'a> = &'a dyn Fn(&Ranked, usize) -> f64;

/// One side: relaxed codes row by row, and packed label sets.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) relaxed: Vec<f32>,
    pub(crate) labels: Vec<u64>,
}

/// Queries and a database.
#[derive(Clone)]
pub(crate) struct Problem {
    pub(crate) bits: usize,
    pub(crate) words: usize,
    pub(crate) query: Side,
    pub(crate) database: Side,
}

impl Problem {
    /// Draws a problem whose label sets hold each of `classes` classes with a probability of 1 in 4, perhaps none.
    pub(crate) fn random(seed: u64, bits: usize, classes: usize, queries: usize, items: usize) -> Self {
        let words = classes.div_ceil(64);
        let mut rng = stream(seed, "problem", &[]);
        let query = Side::random(&mut rng, bits, classes, queries);
        let database = Side::random(&mut rng, bits, classes, items);
        Self { bits, words, query, database }
    }

    /// The problem with the database in another order.
    pub(crate) fn reordered(&self, order: &[u32]) -> Self {
        let Side { relaxed, labels } = &self.database;
        let relaxed = order.iter().flat_map(|&i| &relaxed[i as usize * self.bits..][..self.bits]).copied().collect();
        let labels = order.iter().flat_map(|&i| &labels[i as usize * self.words..][..self.words]).copied().collect();
        Self { database: Side { relaxed, labels }, ..self.clone() }
    }

    pub(crate) fn items(&self) -> usize {
        self.database.relaxed.len() / self.bits
    }

    pub(crate) fn evaluate(&self, options: &Options) -> Result<Report, EvalError> {
        let [(query, query_labels), (database, labels)] = self.sides()?;
        evaluate(&query, query_labels, &database, labels, options)
    }

    pub(crate) fn map_at_k(&self, definition: Definition, k: Option<usize>) -> Result<f64, EvalError> {
        let [(query, query_labels), (database, labels)] = self.sides()?;
        map_at_k(&query, query_labels, &database, labels, definition, k)
    }

    /// Codes and labels of the query and of the database.
    pub(crate) fn sides(&self) -> Result<[(Codes, LabelSets<'_>); 2], EvalError> {
        let side = |side: &'_ Side| Codes::from_signs(&side.relaxed, self.bits);
        let labels = |side| LabelSets::new(side, self.words);
        Ok([(side(&self.query)?, labels(&self.query.labels)?), (side(&self.database)?, labels(&self.database.labels)?)])
    }

    /// Distance and grade of every item, ranked for one query.
    pub(crate) fn ranked(&self, query: usize) -> Vec<(usize, usize)> {
        let row = |side: &Side, i: usize| side.relaxed[i * self.bits..][..self.bits].to_vec();
        let labels = |side: &Side, i: usize| side.labels[i * self.words..][..self.words].to_vec();
        let code = row(&self.query, query);
        let wanted = labels(&self.query, query);
        let mut items: Vec<(usize, usize)> = (0..self.items())
            .map(|i| {
                let differ = code.iter().zip(row(&self.database, i)).filter(|(a, b)| (**a >= 0.0) != (*b >= 0.0));
                let shared = wanted.iter().zip(labels(&self.database, i)).map(|(a, b)| (a & b).count_ones());
                (differ.count(), shared.sum::<u32>() as usize)
            })
            .collect();
        items.sort_by_key(|&(distance, _)| distance);
        items
    }
}

impl Side {
    fn random(rng: &mut Stream, bits: usize, classes: usize, items: usize) -> Self {
        let relaxed = (0..items * bits).map(|_| rng.normal() as f32).collect();
        let mut labels = vec![0; items * classes.div_ceil(64)];
        for (item, set) in labels.chunks_mut(classes.div_ceil(64)).enumerate() {
            // Item 0 has no label: as a query it has no relevant item.
            for class in (0..classes).filter(|_| item > 0 && rng.bernoulli(0.25)) {
                set[class / 64] |= 1 << (class % 64);
            }
        }
        Self { relaxed, labels }
    }
}

/// Every metric by name, from whole rankings and the definitions.
pub(crate) fn reference(problem: &Problem, options: &Options) -> Metrics {
    let rankings: Vec<_> = (0..problem.query.relaxed.len() / problem.bits).map(|q| problem.ranked(q)).collect();
    let items = problem.items();
    let depth = options.map_at.unwrap_or(items);
    let over = |score: Score<'_>| rankings.iter().map(|r| score(r)).collect::<Vec<f64>>();
    let mean = |score: Score<'_>| average(&over(score));
    let ball = |ranking: &Ranked, radius| ranking.iter().filter(|item| item.0 <= radius).count();
    let found = |ranking: &Ranked| hits(ranking, depth) > 0;

    let mut metrics = BTreeMap::from(
        [
            ("map_at_k", mean(&|r| share(precisions(r, depth), hits(r, depth)))),
            ("map_at_k_min_divisor", mean(&|r| share(precisions(r, depth), depth.min(hits(r, items))))),
            ("map_at_k_all_relevant", mean(&|r| share(precisions(r, depth), hits(r, items)))),
            ("map_first_k", mean(&|r| first_k(r, depth))),
            (
                "map_at_k_expected",
                mean(&|r| share(expected_precisions(r, depth.min(items)), depth.min(hits(r, items)))),
            ),
            ("map_all", mean(&|r| share(precisions(r, items), hits(r, items)))),
            ("map_all_expected", mean(&|r| share(expected_precisions(r, items), hits(r, items)))),
            ("ndcg_at_k", mean(&|r| share_of(gain(r, depth, binary), best_gain(r, depth, binary)))),
            ("ndcg_at_k_expected", mean(&|r| share_of(expected_gain(r, depth), best_gain(r, depth, binary)))),
            ("ndcg_at_k_graded", mean(&|r| share_of(gain(r, depth, worth), best_gain(r, depth, worth)))),
            ("acg_at_k", mean(&|r| share(r.iter().take(depth).map(|item| item.1 as f64).sum(), depth.min(items)))),
            ("precision_radius2", mean(&|r| share(hits(r, ball(r, 2)) as f64, ball(r, 2)))),
            ("queries_without_hit", rankings.iter().filter(|r| !found(r)).count() as f64),
        ]
        .map(|(name, value)| (name.to_owned(), vec![value])),
    );
    let successful: Vec<f64> =
        rankings.iter().filter(|r| found(r)).map(|r| share(precisions(r, depth), hits(r, depth))).collect();
    metrics.insert("map_at_k_hit_queries".into(), vec![average(&successful)]);

    let by_rank = |score: ScoreAt<'_>| -> Vec<f64> { options.ranks.iter().map(|&n| mean(&|r| score(r, n))).collect() };
    metrics.insert("ranks".into(), options.ranks.iter().map(|&n| n as f64).collect());
    metrics.insert("precision_at".into(), by_rank(&|r, n| share(hits(r, n) as f64, n.min(items))));
    metrics.insert("recall_at".into(), by_rank(&|r, n| share(hits(r, n) as f64, hits(r, items))));

    metrics.insert("precision_at_expected".into(), by_rank(&|r, n| share(expected_hits(r, n), n.min(items))));
    metrics.insert("recall_at_expected".into(), by_rank(&|r, n| share(expected_hits(r, n), hits(r, items))));

    let radii = 0..=problem.bits;
    let nonempty = |radius| rankings.iter().filter(move |r| ball(r, radius) > 0);
    let precision = |radius| {
        average(&nonempty(radius).map(|r| share(hits(r, ball(r, radius)) as f64, ball(r, radius))).collect::<Vec<_>>())
    };
    metrics.insert("radius_precision".into(), radii.clone().map(precision).collect());
    let recall = |radius| mean(&|r| share(hits(r, ball(r, radius)) as f64, hits(r, items)));
    metrics.insert("radius_recall".into(), radii.clone().map(recall).collect());
    metrics.insert("radius_nonempty".into(), radii.map(|radius| nonempty(radius).count() as f64).collect());
    metrics
}

/// The report's scalars and curves in one map.
pub(crate) fn measured(report: &Report) -> Metrics {
    let scalars = report.scalars().into_iter().map(|(name, value)| (name, vec![value]));
    scalars.chain(report.curves().clone()).collect()
}

/// Fails unless both hold the same names and values to within `tolerance`.
pub(crate) fn assert_close(got: &Metrics, expected: &Metrics, tolerance: f64, case: &str) {
    assert!(got.keys().eq(expected.keys()), "{case}: {:?} and {:?}", got.keys(), expected.keys());
    for (name, expected) in expected {
        let got = &got[name];
        assert_eq!(got.len(), expected.len(), "{case}: {name}");
        for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
            assert!((got - expected).abs() <= tolerance, "{case}: {name}[{at}] is {got}, expected {expected}");
        }
    }
}

fn average(values: &[f64]) -> f64 {
    share(values.iter().sum(), values.len())
}

fn share(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

fn hits(ranking: &Ranked, depth: usize) -> usize {
    ranking.iter().take(depth).filter(|item| item.1 > 0).count()
}

fn precisions(ranking: &Ranked, depth: usize) -> f64 {
    let relevant = (1..=depth.min(ranking.len())).filter(|&rank| ranking[rank - 1].1 > 0);
    relevant.map(|rank| hits(ranking, rank) as f64 / rank as f64).sum()
}

/// The mean precision at the first `depth` relevant items of the whole ranking.
fn first_k(ranking: &Ranked, depth: usize) -> f64 {
    let ranks = (1..=ranking.len()).filter(|&rank| ranking[rank - 1].1 > 0).take(depth);
    average(&ranks.map(|rank| hits(ranking, rank) as f64 / rank as f64).collect::<Vec<_>>())
}

/// Sums over the ranks to `depth` the chance of a relevant item there times the precision expected then.
fn expected_precisions(ranking: &Ranked, depth: usize) -> f64 {
    let expected_at = |rank: usize| {
        let (n, r) = tied(ranking, rank);
        let start = ranking.iter().take_while(|item| item.0 < ranking[rank].0).count();
        let others = if r < 2 { 0.0 } else { (rank - start) as f64 * (r - 1) as f64 / (n - 1) as f64 };
        r as f64 / n as f64 * (hits(ranking, start) as f64 + others + 1.0) / (rank + 1) as f64
    };
    (0..depth).map(expected_at).sum()
}

/// All and the relevant items at the distance of an item.
fn tied(ranking: &Ranked, rank: usize) -> (usize, usize) {
    let same = ranking.iter().filter(|item| item.0 == ranking[rank].0);
    (same.clone().count(), same.filter(|item| item.1 > 0).count())
}

/// Sums over the ranks to `depth` the chance of a relevant item there.
fn expected_hits(ranking: &Ranked, depth: usize) -> f64 {
    (0..depth.min(ranking.len())).map(|rank| chance(ranking, rank)).sum()
}

fn expected_gain(ranking: &Ranked, depth: usize) -> f64 {
    (0..depth.min(ranking.len())).map(|rank| chance(ranking, rank) * discount(rank)).sum()
}

fn chance(ranking: &Ranked, rank: usize) -> f64 {
    let (n, r) = tied(ranking, rank);
    r as f64 / n as f64
}

fn discount(rank: usize) -> f64 {
    1.0 / ((rank + 2) as f64).log2()
}

fn binary(grade: usize) -> f64 {
    if grade > 0 { 1.0 } else { 0.0 }
}

fn worth(grade: usize) -> f64 {
    (grade as f64).exp2() - 1.0
}

fn gain(ranking: &Ranked, depth: usize, worth: fn(usize) -> f64) -> f64 {
    ranking.iter().take(depth).enumerate().map(|(rank, item)| worth(item.1) * discount(rank)).sum()
}

fn best_gain(ranking: &Ranked, depth: usize, worth: fn(usize) -> f64) -> f64 {
    let mut best = ranking.to_vec();
    best.sort_by_key(|item| std::cmp::Reverse(item.1));
    gain(&best, depth, worth)
}

fn share_of(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}
