//! How long it will still take, judged by the jobs that are done.

use std::collections::BTreeMap;
use std::time::Duration;

/// The durations of finished jobs, by kind.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// Count and sum in seconds.
    by_kind: BTreeMap<String, (usize, f64)>,
}

impl Durations {
    pub(super) fn add(&mut self, kind: &str, took: Duration) {
        let (count, sum) = self.by_kind.entry(kind.to_owned()).or_default();
        *count += 1;
        *sum += took.as_secs_f64();
    }

    /// Estimates the seconds that a job of `kind` takes: the mean of its kind, or of all. `None` if none is done.
    pub(super) fn estimate(&self, kind: &str) -> Option<f64> {
        let all = || self.by_kind.values().fold((0, 0.0), |(n, sum), (m, more)| (n + m, sum + more));
        let (count, sum) = self.by_kind.get(kind).copied().unwrap_or_else(all);
        (count > 0).then(|| sum / count as f64)
    }
}

/// Estimates the seconds until the last job ends, from the seconds that each still needs: no less than the longest,
/// no less than an equal share.
pub(super) fn makespan(left: &[f64], parallel: usize) -> f64 {
    let longest = left.iter().copied().fold(0.0, f64::max);
    longest.max(left.iter().sum::<f64>() / parallel as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_kept_apart_and_unknown_ones_take_the_mean() {
        let mut durations = Durations::default();
        assert_eq!(durations.estimate("itq"), None);
        durations.add("itq", Duration::from_secs(1));
        durations.add("nsh", Duration::from_secs(20));
        durations.add("nsh", Duration::from_secs(30));
        assert_eq!(durations.estimate("itq"), Some(1.0));
        assert_eq!(durations.estimate("nsh"), Some(25.0));
        assert_eq!(durations.estimate("csq"), Some(17.0));
    }

    #[test]
    fn the_longest_job_bounds_the_makespan() {
        assert_eq!(makespan(&[10.0, 1.0, 1.0], 2), 10.0);
        assert_eq!(makespan(&[10.0, 10.0, 10.0, 10.0], 2), 20.0);
        assert_eq!(makespan(&[], 2), 0.0);
    }
}
