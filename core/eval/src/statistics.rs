//! Comparison of two methods over seeds, and of many at once.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::Interval;

/// Pairs from which on a test is made: with two, its single degree of freedom says nothing.
const LEAST_PAIRS: usize = 3;

/// The differences between two methods under the same seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Number of pairs.
    pub n: usize,
    /// Mean difference, first less second.
    pub mean: f64,
    /// Effect size: the mean by the sample deviation of the differences (Cohen's d of paired samples); none for a single
    /// pair, or where all differences are equal.
    pub effect: Option<f64>,
    /// Interval of 95 % by Student's t distribution; none for a single pair, or where all differences are equal.
    pub interval: Option<Interval>,
    /// Two-sided p value of the paired t test; none below three pairs, or where all differences are equal.
    pub p: Option<f64>,
}

impl Paired {
    /// Compares the values of two methods, `(first, second)` per seed; `None` of no pairs.
    ///
    /// The test assumes that differences are normally distributed; with a few seeds that cannot be checked.
    ///
    /// ```
    /// let paired = hashlab_eval::Paired::of(&[(0.51, 0.48), (0.53, 0.49), (0.50, 0.48)]).unwrap();
    /// assert!((paired.mean - 0.03).abs() < 1e-12 && paired.p.unwrap() < 0.05);
    /// ```
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let n = pairs.len();
        let differences: Vec<f64> = pairs.iter().map(|(first, second)| first - second).collect();
        let mean = differences.iter().sum::<f64>() / n as f64;
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let deviation = if n < 2 { 0.0 } else { (squares / (n - 1) as f64).sqrt() };
        // What rounding leaves of equal differences is no deviation.
        let effect = (deviation > 1e-12).then_some(mean / deviation);
        let interval = effect.and_then(|_| student_interval(mean, deviation, n));
        let p = effect.filter(|_| n >= LEAST_PAIRS).and_then(|effect| {
            let t = effect * (n as f64).sqrt();
            Some((2.0 * student(n)?.cdf(-t.abs())).min(1.0))
        });
        (n > 0).then_some(Self { n, mean, effect, interval, p })
    }
}

/// The interval that holds a mean with a confidence of 95 %, by Student's t distribution, from the sample deviation of `n`
/// values; `None` for fewer than two.
///
/// ```
/// let interval = hashlab_eval::student_interval(0.5, 0.01, 5).unwrap();
/// assert!((interval.high - 0.5124).abs() < 1e-4); // t is 2.776, the standard error 0.0045
/// ```
pub fn student_interval(mean: f64, deviation: f64, n: usize) -> Option<Interval> {
    let half = student(n)?.inverse_cdf(0.975) * deviation / (n as f64).sqrt();
    Some(Interval { low: mean - half, high: mean + half })
}

/// The distribution of the t value of `n` values.
fn student(n: usize) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, n.checked_sub(1)? as f64).ok()
}

/// Adjusts p values for their number (Holm, "A simple sequentially rejective multiple test procedure", 1979): the chance of
/// any false rejection among all stays below the level at which adjusted values are read.
///
/// ```
/// assert_eq!(hashlab_eval::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max(p[index] * (p.len() - rank) as f64).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}
