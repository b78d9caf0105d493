//! Bootstrap intervals of means over queries.

use hashlab_rng::stream;
use rayon::prelude::*;

use crate::report::mean;

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The interval that holds the mean of a metric with a confidence of 95 %, by the percentile bootstrap (Efron, 1979): the
/// 2.5 % and 97.5 % quantiles of the means of `samples` resamples of the queries, drawn with replacement.
///
/// `values` are a metric's, as [`Report::queries`](crate::Report::queries) has them. Resample `b` comes from the stream
/// `("bootstrap", b)` under `seed` and is the same for every metric. The interval speaks of other queries, not of other
/// trainings. Runs on the current rayon pool, with equal bits for any number of threads.
///
/// ```
/// let values: Vec<f64> = (0..1000).map(|i| f64::from(i) / 999.0).collect();
/// let interval = hashlab_eval::bootstrap(&values, 2000, 0);
/// // The standard error of the mean of 1000 uniform numbers is 0.0091.
/// assert!((interval.low - 0.482).abs() < 0.002 && (interval.high - 0.518).abs() < 0.002, "{interval:?}");
/// ```
///
/// # Panics
/// If there are no values or no samples.
pub fn bootstrap(values: &[f64], samples: usize, seed: u64) -> Interval {
    assert!(!values.is_empty() && samples > 0, "a bootstrap resamples something");
    let resampled = |sample: usize| {
        let mut draws = stream(seed, "bootstrap", &[sample as u64]);
        mean((0..values.len()).map(|_| values[draws.below(values.len())]))
    };
    let mut means: Vec<f64> = (0..samples).into_par_iter().map(resampled).collect();
    means.sort_by(f64::total_cmp);
    Interval { low: quantile(&means, 0.025), high: quantile(&means, 0.975) }
}

/// The quantile of sorted values, between neighbors by linear interpolation, as numpy's default has it.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbors() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert_eq!([0.0, 0.25, 0.3, 0.975, 1.0].map(|q| quantile(&sorted, q)), [1.0, 2.0, 2.4, 15.2, 16.0]);
    }

    #[test]
    fn an_interval_depends_on_the_seed_alone() {
        let values: Vec<f64> = (0..57).map(|i| f64::from(i * i % 11)).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bootstrap(&values, 300, 5))
        };
        assert_eq!(on(1), on(3));
        assert_ne!(on(1), bootstrap(&values, 300, 6));
    }

    #[test]
    fn queries_that_do_not_count_change_no_mean() {
        let interval = bootstrap(&[0.5, f64::NAN, 0.5, 0.5], 100, 0);
        assert_eq!((interval.low, interval.high), (0.5, 0.5));
    }
}
