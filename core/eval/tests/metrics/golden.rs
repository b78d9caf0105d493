//! Metrics against reference values.

use hashlab_eval::{Codes, LabelSets, Logits, Options, evaluate_asymmetric};

use crate::case::{Case, each};
use crate::reference::{Metrics, Problem, Side, assert_close, measured};

/// Keys of a case's expected values, each with the report's name of it.
const EXPECTED: [(&str, &str); 11] = [
    ("map_all_expected", "map_all_expected"),
    ("map_at_k", "map_at_k"),
    ("map_at_k_skip_empty", "map_at_k_hit_queries"),
    ("map_at_k_total", "map_at_k_min_divisor"),
    ("ndcg_at_k", "ndcg_at_k"),
    ("precision_at", "precision_at"),
    ("precision_radius2", "precision_radius2"),
    ("radius_nonempty", "radius_nonempty"),
    ("radius_precision", "radius_precision"),
    ("radius_recall", "radius_recall"),
    ("recall_at", "recall_at"),
];

#[test]
fn metrics_equal_the_reference_values() {
    each("metrics", |case| {
        let map_at = Some(case.ranks("k")[0]).filter(|&k| k > 0);
        let options = Options { map_at, ranks: case.ranks("grid"), curves: true, ..Options::default() };
        let mut got = measured(&problem(case).evaluate(&options).unwrap());
        got.retain(|name, _| EXPECTED.iter().any(|(_, expected)| expected == name));
        let expected: Metrics = EXPECTED.iter().map(|&(key, name)| (name.to_owned(), case.values(key))).collect();
        assert_close(&got, &expected, 1e-10, &case.name());
    });
}

#[test]
fn expectations_over_ties_equal_those_of_an_independent_library() {
    each("ties", |case| {
        for (at, rank) in case.ranks("ranks").into_iter().enumerate() {
            let options = Options { map_at: Some(rank), ranks: vec![rank], curves: true, ..Options::default() };
            let report = problem(case).evaluate(&options).unwrap();
            let expected = |name: &str| case.values(&format!("{name}_expected"))[at];
            let close = |name: &str, got: f64, expected: f64| {
                assert!((got - expected).abs() < 1e-12, "{} {name}@{rank}: {got}, expected {expected}", case.name());
            };
            close("ndcg", report.scalar("ndcg_at_k_expected"), expected("ndcg"));
            close("precision", report.curves()["precision_at_expected"][0], expected("precision"));
            close("recall", report.curves()["recall_at_expected"][0], expected("recall"));
            // The library divides by all relevant items.
            let divided: f64 = (0..report.queries()["map_at_k"].len())
                .map(|query| report.queries()["map_at_k_expected"][query] * divisors(case, query, rank))
                .sum();
            close("map", divided / report.queries()["map_at_k"].len() as f64, expected("map"));
        }
    });
}

/// What min(K, relevant items) makes of a division by all relevant items, for one query.
fn divisors(case: &Case<'_>, query: usize, rank: usize) -> f64 {
    let problem = problem(case);
    let relevant = problem.ranked(query).iter().filter(|item| item.1 > 0).count();
    if relevant == 0 { 0.0 } else { rank.min(relevant) as f64 / relevant as f64 }
}

#[test]
fn asymmetric_distances_and_their_map_equal_the_reference_values() {
    each("asymmetric", |case| {
        let bits = case.columns("query_logits");
        let signs: Vec<f32> = case.singles("database_bits").iter().map(|bit| 2.0 * bit - 1.0).collect();
        let codes = Codes::from_signs(&signs, bits).unwrap();
        let values = case.singles("query_logits");
        let logits = Logits::new(&values, bits).unwrap();
        let got = (0..logits.len()).flat_map(|query| logits.distances(query, &codes));
        for (got, expected) in got.zip(case.values("distance")) {
            assert!((got - expected).abs() < 1e-5, "{}: distance {got}, expected {expected}", case.name());
        }
        let words = case.columns("query_labels").div_ceil(64);
        let [query_labels, labels] = ["query_labels", "database_labels"].map(|name| case.labels(name));
        let sets = |labels| LabelSets::new(labels, words).unwrap();
        let options = Options { map_at: Some(case.ranks("k")[0]).filter(|&k| k > 0), ..Options::default() };
        let report = evaluate_asymmetric(logits, sets(&query_labels), &codes, sets(&labels), &options).unwrap();
        let (got, expected) = (report.scalar("map_at_k"), case.values("map_at_k")[0]);
        assert!((got - expected).abs() < 1e-10, "{}: {got}, expected {expected}", case.name());
        assert!(!report.scalars().contains_key("precision_radius2"), "distances are no integers");
    });
}

/// The codes and labels of a case.
fn problem(case: &Case<'_>) -> Problem {
    let side = |name: &str| Side {
        relaxed: case.singles(&format!("{name}_codes")),
        labels: case.labels(&format!("{name}_labels")),
    };
    Problem {
        bits: case.columns("query_codes"),
        words: case.columns("query_labels").div_ceil(64),
        query: side("query"),
        database: side("database"),
    }
}
