//! The time between two checkpoints.

use std::time::Duration;

/// What a hard kill can cost, unless that is little beside the whole training.
const EVERY: Duration = Duration::from_secs(10);

/// One part in so many of the time may go into checkpoints of large networks, or be lost with a hard kill.
const SHARE: u32 = 20;

/// The time between two checkpoints, of which the last took `saving`, in a training that is expected to take `total`; absent
/// before anything is known.
///
/// It is 10 s. Where writing takes long, it is longer, so that at most 5 % of the time go into it; yet never longer than
/// 5 % of the training, so that a kill costs no more than 10 s or that.
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
