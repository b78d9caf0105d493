//! Metrics against their definitions, and their invariances.

use crate::reference::{Problem, Side, assert_close, measured, reference};
use hashlab_eval::{Definition, EvalError, Options};
use hashlab_rng::stream;

fn options(map_at: Option<usize>, ranks: &[usize]) -> Options {
    Options { map_at, ranks: ranks.to_vec(), curves: true, ..Options::default() }
}

/// Ranks with relevance 1 0 | 1 1 | 0 | 0 1, bars between distances; items of one distance lie apart in the database.
fn hand_worked() -> Problem {
    let ranked = [(0, 1), (0, 2), (1, 1), (1, 1), (2, 2), (3, 2), (3, 1)];
    let in_database = [5, 2, 0, 6, 3, 1, 4].map(|rank: usize| ranked[rank]);
    let relaxed =
        in_database.iter().flat_map(|&(distance, _)| (0..4).map(move |bit| if bit < distance { -1. } else { 1. }));
    let database = Side { relaxed: relaxed.collect(), labels: in_database.map(|item| item.1).to_vec() };
    Problem { bits: 4, words: 1, query: Side { relaxed: vec![1.0; 4], labels: vec![1] }, database }
}

#[test]
fn hand_worked_ranking_with_ties() {
    let report = hand_worked().evaluate(&options(Some(4), &[1, 4, 7])).unwrap();
    let close = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
    close(report.scalar("map_at_k"), (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 3.0); // 0.805556
    close(report.scalar("map_at_k_min_divisor"), (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 4.0); // 0.604167
    close(report.scalar("map_all"), (1.0 + 2.0 / 3.0 + 3.0 / 4.0 + 4.0 / 7.0) / 4.0);
    // The ties with one relevant item of two: half at either rank.
    close(
        report.scalar("map_all_expected"),
        ((1.0 + 0.5) / 2.0 + 2.0 / 3.0 + 3.0 / 4.0 + (4.0 / 6.0 + 4.0 / 7.0) / 2.0) / 4.0,
    );
    close(report.scalar("precision_radius2"), 3.0 / 5.0);
    assert_eq!(report.curves()["precision_at"], [1.0, 0.75, 4.0 / 7.0]);
    assert_eq!(report.curves()["recall_at"], [0.25, 0.75, 1.0]);
    assert_eq!(report.curves()["radius_precision"], [1.0 / 2.0, 3.0 / 4.0, 3.0 / 5.0, 4.0 / 7.0, 4.0 / 7.0]);
    assert_eq!(report.curves()["radius_recall"], [0.25, 0.75, 0.75, 1.0, 1.0]);
}

#[test]
fn every_metric_equals_its_definition() {
    let mut seed = 0;
    for (bits, classes) in [(3, 2), (16, 10), (64, 5), (65, 70), (128, 3), (128, 81), (130, 130), (256, 7), (600, 300)]
    {
        for (queries, items) in [(1, 1), (5, 64), (37, 150)] {
            for map_at in [None, Some(1), Some(10), Some(items), Some(items + 7)] {
                seed += 1;
                let problem = Problem::random(seed, bits, classes, queries, items);
                let options = options(map_at, &[items, 1, 3, items + 100, 64]);
                let report = problem.evaluate(&options).unwrap();
                let case = format!("{bits} bits, {classes} classes, {queries} queries, {items} items, K {map_at:?}");
                assert_close(&measured(&report), &reference(&problem, &options), 1e-12, &case);
            }
        }
    }
}

#[test]
fn blocks_of_the_database_join() {
    let problem = Problem::random(7, 12, 6, 3, 2_500);
    let options = options(Some(100), &[1, 1024, 1025, 2_500]);
    let report = problem.evaluate(&options).unwrap();
    assert_close(&measured(&report), &reference(&problem, &options), 1e-11, "2,500 items");
}

#[test]
fn the_primary_metric_alone_has_the_bits_of_the_report() {
    for (seed, bits, classes, items) in [(1, 2, 3, 7), (2, 12, 6, 2_500), (3, 64, 70, 4_096), (4, 130, 2, 1_025)] {
        let problem = Problem::random(seed, bits, classes, 37, items);
        for k in [None, Some(1), Some(10), Some(1_000), Some(items - 1), Some(items), Some(items + 7)] {
            for definition in Definition::ALL {
                let report = problem.evaluate(&Options { definition, ..options(k, &[1]) }).unwrap();
                assert_eq!(report.primary(), report.scalar(definition.metric()));
                let alone = problem.map_at_k(definition, k).unwrap();
                assert_eq!(alone.to_bits(), report.primary().to_bits(), "{definition:?}, {items} items, K {k:?}");
            }
        }
    }
}

#[test]
fn expectation_is_the_mean_over_all_orders() {
    // Two bits give ties of several sizes among seven items.
    let problem = Problem::random(11, 2, 3, 4, 7);
    let orders = orders(7);
    let map_all = |order: &Vec<u32>| problem.reordered(order).evaluate(&Options::default()).unwrap().scalar("map_all");
    let mean = orders.iter().map(map_all).sum::<f64>() / orders.len() as f64;
    let expected = problem.evaluate(&Options::default()).unwrap().scalar("map_all_expected");
    assert_eq!(orders.len(), 5040);
    assert!((mean - expected).abs() < 1e-12, "mean {mean}, expected {expected}");
}

/// All orders of `0..n`.
fn orders(n: u32) -> Vec<Vec<u32>> {
    if n == 0 {
        return vec![vec![]];
    }
    let insert = |order: Vec<u32>| {
        (0..n as usize).map(move |at| {
            let mut longer = order.clone();
            longer.insert(at, n - 1);
            longer
        })
    };
    orders(n - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn expectation_and_radii_do_not_depend_on_the_databases_order() {
    let problem = Problem::random(5, 8, 4, 20, 300);
    let options = options(Some(50), &[10]);
    let before = problem.evaluate(&options).unwrap();
    let after = problem.reordered(&stream(5, "order", &[]).permutation(300)).evaluate(&options).unwrap();
    let expected = ["map_all_expected", "map_at_k_expected", "ndcg_at_k_expected"];
    for name in expected {
        assert!((before.scalar(name) - after.scalar(name)).abs() < 1e-12, "{name}");
    }
    for name in ["radius_precision", "radius_recall", "precision_at_expected", "recall_at_expected"] {
        assert_eq!(before.curves()[name], after.curves()[name], "{name}");
    }
    assert_ne!(before.scalar("map_all"), after.scalar("map_all"), "ties did change places");
}

#[test]
fn equal_bits_on_any_number_of_threads() {
    let problem = Problem::random(3, 16, 5, 101, 400);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measured(&problem.evaluate(&options(Some(20), &[1, 7, 400])).unwrap()))
    };
    let bits = |threads| -> Vec<u64> { on(threads).into_values().flatten().map(f64::to_bits).collect() };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn curves_are_measured_only_where_asked_for() {
    let report = Problem::random(1, 8, 3, 2, 9).evaluate(&Options { ranks: vec![1, 2], ..Options::default() }).unwrap();
    assert!(report.curves().is_empty());
}

#[test]
fn sides_that_do_not_fit_are_refused() {
    let good = Problem::random(2, 8, 3, 4, 6);
    let refused = |change: &dyn Fn(&mut Problem), ranks: &[usize]| {
        let mut problem = good.clone();
        change(&mut problem);
        problem.evaluate(&options(None, ranks)).unwrap_err()
    };
    let no_queries = |p: &mut Problem| p.query = Side { relaxed: vec![], labels: vec![] };
    assert_eq!(refused(&no_queries, &[]), EvalError::Empty { side: "query" });
    let no_items = |p: &mut Problem| p.database = Side { relaxed: vec![], labels: vec![] };
    assert_eq!(refused(&no_items, &[]), EvalError::Empty { side: "database" });
    let unlabeled = |p: &mut Problem| p.database.labels.truncate(5);
    assert_eq!(refused(&unlabeled, &[]), EvalError::Items { side: "database", codes: 6, labels: 5 });
    assert_eq!(refused(&|_| (), &[1, 0]), EvalError::Rank { position: 1 });
    assert_eq!(good.map_at_k(Definition::TopK, Some(0)), Err(EvalError::Depth));
    let message = refused(&unlabeled, &[]).to_string();
    assert_eq!(message, "the database has 6 codes but 5 label sets\nhelp: encode and label the same items");
}

#[test]
fn widths_that_differ_are_refused() {
    use hashlab_eval::{Codes, LabelSets, evaluate};
    let [short, long] = [8, 16].map(|bits| Codes::from_signs(&[1.0; 16], bits).unwrap());
    let labels = [1; 2];
    let [narrow, wide] = [1, 2].map(|words| LabelSets::new(&labels, words).unwrap());
    let one = LabelSets::new(&labels[..1], 1).unwrap();
    let bits = evaluate(&short, narrow, &long, one, &Options::default()).unwrap_err();
    assert_eq!(bits, EvalError::Width { what: "bits per code", query: 8, database: 16 });
    let words = evaluate(&long, one, &long, wide, &Options::default()).unwrap_err();
    assert_eq!(words, EvalError::Width { what: "words per label set", query: 1, database: 2 });
}

#[test]
fn average_precision_is_listed_in_the_order_of_queries() {
    let problem = Problem::random(4, 10, 6, 53, 200);
    let report = problem.evaluate(&options(Some(30), &[])).unwrap();
    assert_eq!(report.average_precision().len(), 53);
    let mean = report.average_precision().iter().map(|&ap| f64::from(ap)).sum::<f64>() / 53.0;
    assert!((mean - report.scalar("map_at_k")).abs() < 1e-6, "{mean} is not {}", report.scalar("map_at_k"));
    for (index, &ap) in report.average_precision().iter().enumerate() {
        let relaxed = problem.query.relaxed[index * 10..][..10].to_vec();
        let query = Side { relaxed, labels: problem.query.labels[index..=index].to_vec() };
        let alone = Problem { query, ..problem.clone() }.map_at_k(Definition::TopK, Some(30)).unwrap();
        assert_eq!(ap, alone as f32, "query {index}");
    }
}

#[test]
fn nearest_items_are_the_first_of_the_ranking() {
    use hashlab_eval::nearest;
    let problem = Problem::random(9, 6, 5, 4, 120);
    let [(query, query_labels), (database, labels)] = problem.sides().unwrap();
    for count in [1, 10, 120, 500] {
        let found = nearest(&query, query_labels, &database, labels, &[3, 0], count).unwrap();
        for (index, neighbors) in [3, 0].into_iter().zip(&found) {
            let got: Vec<(usize, bool)> = neighbors.iter().map(|n| (n.distance as usize, n.relevant)).collect();
            let ranked = problem.ranked(index).into_iter().map(|(distance, grade)| (distance, grade > 0));
            assert_eq!(got, ranked.take(count).collect::<Vec<_>>(), "query {index}, {count} items");
            assert!(neighbors.is_sorted_by_key(|n| (n.distance, n.position)));
        }
    }
}
