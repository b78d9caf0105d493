//! Estimates of the time left, from the jobs that are done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The durations of finished jobs, by kind. Stages are separate from runs, whose durations are unrelated.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// Count and sum in seconds.
    by_kind: BTreeMap<(bool, Arc<str>), (usize, f64)>,
}

impl Durations {
    pub(super) fn add(&mut self, stage: bool, kind: &Arc<str>, took: Duration) {
        let (count, sum) = self.by_kind.entry((stage, Arc::clone(kind))).or_default();
        *count += 1;
        *sum += took.as_secs_f64();
    }

    /// Estimates the seconds that a job of `kind` takes: the mean of its kind; `None` before one is done. A fit of
    /// milliseconds says nothing about a training of hours, so other kinds do not count.
    pub(super) fn estimate(&self, stage: bool, kind: &Arc<str>) -> Option<f64> {
        let (count, sum) = self.by_kind.get(&(stage, Arc::clone(kind)))?;
        Some(sum / *count as f64)
    }
}

/// Jobs of similar duration and size: their number, the seconds that each still needs, the slots that each takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) jobs: usize,
    pub(super) seconds: f64,
    pub(super) slots: usize,
}

/// Estimates the seconds until the last job ends: at least those of the longest, at least an equal share of the total.
pub(super) fn makespan(loads: &[Load], capacity: usize) -> f64 {
    let longest = loads.iter().map(|load| load.seconds).fold(0.0, f64::max);
    let total: f64 = loads.iter().map(|load| load.seconds * (load.jobs * load.slots) as f64).sum();
    longest.max(total / capacity as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_kept_apart() {
        let mut durations = Durations::default();
        let [itq, nsh, csq] = ["itq", "nsh", "csq"].map(Arc::from);
        assert_eq!(durations.estimate(false, &itq), None);
        durations.add(false, &itq, Duration::from_secs(1));
        durations.add(false, &nsh, Duration::from_secs(20));
        durations.add(false, &nsh, Duration::from_secs(30));
        durations.add(true, &"features".into(), Duration::from_secs(1000));
        assert_eq!(durations.estimate(false, &itq), Some(1.0));
        assert_eq!(durations.estimate(false, &nsh), Some(25.0));
        assert_eq!(durations.estimate(false, &csq), None);
    }

    #[test]
    fn the_longest_job_bounds_the_makespan() {
        let loads = |seconds: &[f64]| -> Vec<Load> {
            seconds.iter().map(|seconds| Load { jobs: 1, seconds: *seconds, slots: 1 }).collect()
        };
        assert_eq!(makespan(&loads(&[10.0, 1.0, 1.0]), 2), 10.0);
        assert_eq!(makespan(&loads(&[10.0, 10.0, 10.0, 10.0]), 2), 20.0);
        assert_eq!(makespan(&[Load { jobs: 3, seconds: 5.0, slots: 2 }], 2), 15.0);
        assert_eq!(makespan(&[], 2), 0.0);
    }
}
