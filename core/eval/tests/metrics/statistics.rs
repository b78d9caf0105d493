//! Comparisons over seeds against scipy's values.

use hashlab_eval::{Paired, holm};

use crate::case::each;

#[test]
fn paired_tests_and_their_adjustment_equal_those_of_scipy() {
    each("statistics", |case| {
        let seeds = case.columns("first");
        let (first, second) = (case.values("first"), case.values("second"));
        let pairs: Vec<(f64, f64)> = first.into_iter().zip(second).collect();
        let found: Vec<Paired> = pairs.chunks(seeds).map(|pairs| Paired::of(pairs).unwrap()).collect();
        let p: Vec<f64> = found.iter().map(|paired| paired.p.unwrap()).collect();
        let close = |name: &str, got: Vec<f64>| {
            for (got, expected) in got.iter().zip(case.values(name)) {
                assert!((got - expected).abs() < 1e-9, "{} {name}: {got}, expected {expected}", case.name());
            }
        };
        close("mean", found.iter().map(|paired| paired.mean).collect());
        close("low", found.iter().map(|paired| paired.interval.unwrap().low).collect());
        close("high", found.iter().map(|paired| paired.interval.unwrap().high).collect());
        // The t value is the effect size times the root of n, and scipy's mean is the effect times the deviation.
        for (pairs, paired) in pairs.chunks(seeds).zip(&found) {
            let differences: Vec<f64> = pairs.iter().map(|(first, second)| first - second).collect();
            let squares: f64 = differences.iter().map(|difference| (difference - paired.mean).powi(2)).sum();
            let deviation = (squares / (seeds - 1) as f64).sqrt();
            assert!((paired.effect.unwrap() * deviation - paired.mean).abs() < 1e-12);
        }
        close("holm", holm(&p));
        close("p", p);
    });
}

#[test]
fn few_pairs_and_equal_differences_are_not_tested() {
    assert_eq!(Paired::of(&[]), None);
    let one = Paired::of(&[(0.5, 0.25)]).unwrap();
    assert_eq!((one.n, one.mean, one.interval, one.p), (1, 0.25, None, None));
    let two = Paired::of(&[(0.5, 0.4), (0.6, 0.4)]).unwrap();
    assert!(two.interval.is_some() && two.p.is_none());
    let equal = Paired::of(&[(0.5, 0.4), (0.6, 0.5), (0.7, 0.6)]).unwrap();
    assert!((equal.mean - 0.1).abs() < 1e-12 && equal.interval.is_none() && equal.p.is_none());
}
