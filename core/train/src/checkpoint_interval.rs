//! The time between two checkpoints.

use std::time::Duration;

/// Time that a hard kill can cost, unless 5 % of the training are less.
const EVERY: Duration = Duration::from_secs(10);

/// Inverse of the share of the time that writing checkpoints of large networks may take, or that a hard kill may cost.
const SHARE: u32 = 20;

/// The time between two checkpoints, the last of which took `saving`, in a training with an expected duration `total`;
/// `None` if that is not known yet.
///
/// It is 10 s; longer if writing is slow, so that it takes at most 5 % of the time; but never longer than 5 % of the
/// training, so that a kill costs no more than 10 s or that.
pub(crate) fn checkpoint_interval(saving: Duration, total: Option<Duration>) -> Duration {
    let longest = total.map_or(EVERY, |total| total / SHARE);
    EVERY.max((saving * SHARE).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_costs_ten_seconds_or_a_twentieth() {
        let seconds = |saving: f64, total: u64| {
            let total = (total > 0).then(|| Duration::from_secs(total));
            checkpoint_interval(Duration::from_secs_f64(saving), total).as_secs_f64()
        };
        assert_eq!(seconds(0.01, 0), 10.0, "nothing is known");
        assert_eq!(seconds(0.01, 100_000), 10.0, "writing is quick");
        assert_eq!(seconds(2.0, 100_000), 40.0, "a twentieth of the time goes into writing");
        assert_eq!(seconds(2.0, 100), 10.0, "of a short training, 40 s would be too much to lose");
        assert_eq!(seconds(30.0, 6_000), 300.0);
        for saving in [0.0, 0.4, 3.0, 60.0] {
            for total in [1, 100, 250, 4_000, 1_000_000] {
                assert!(seconds(saving, total) <= f64::max(10.0, total as f64 / 20.0), "{saving} {total}");
            }
        }
    }
}
