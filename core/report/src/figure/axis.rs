//! Scales and their ticks.

/// Maps values to positions.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// The values at both ends.
    range: (f64, f64),
    /// The positions at both ends.
    places: (f64, f64),
    log: bool,
    /// Values that are marked.
    pub(crate) ticks: Vec<f64>,
}

impl Axis {
    /// A linear axis over at least `low` to `high`, widened to round numbers.
    pub(crate) fn linear(low: f64, high: f64, places: (f64, f64), most_ticks: usize) -> Self {
        let high = if high > low { high } else { low + low.abs().max(1e-3) * 0.1 };
        let step = step((high - low) / most_ticks as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks: Vec<f64> = (first as i64..=last as i64).map(|i| i as f64 * step).collect();
        Self { range: (first * step, last * step), places, log: false, ticks }
    }

    /// A linear axis from `low` to `high`, marked at round numbers between.
    pub(crate) fn tight(low: f64, high: f64, places: (f64, f64), most_ticks: usize) -> Self {
        let mut axis = Self::linear(low, high, places, most_ticks);
        if high > low {
            let slack = 1e-9 * (high - low);
            axis.range = (low, high);
            axis.ticks.retain(|&tick| tick >= low - slack && tick <= high + slack);
        }
        axis
    }

    /// An axis on which factors are distances, marked at the given values. All are positive.
    pub(crate) fn log_at(ticks: Vec<f64>, places: (f64, f64)) -> Self {
        let low = ticks.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ticks.iter().copied().fold(0.0, f64::max);
        // A lone value stands in the middle.
        let range = if high > low { (low, high) } else { (low / 2.0, low * 2.0) };
        Self { range, places, log: true, ticks }
    }

    /// Moves both ends of the data inwards by `pad`.
    pub(crate) fn inset(mut self, pad: f64) -> Self {
        let sign = (self.places.1 - self.places.0).signum();
        self.places = (self.places.0 + sign * pad, self.places.1 - sign * pad);
        self
    }

    /// The position of a value.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let scaled = |v: f64| if self.log { v.ln() } else { v };
        let (low, high) = (scaled(self.range.0), scaled(self.range.1));
        let share = (scaled(value) - low) / (high - low);
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// A tick's text, with as many decimals as the ticks need.
    pub(crate) fn label(&self, tick: f64) -> String {
        let decimals = (0..7usize).find(|&d| self.ticks.iter().all(|t| (t - round(*t, d)).abs() < 1e-9)).unwrap_or(7);
        format!("{:.*}", decimals, tick + 0.0)
    }
}

fn round(value: f64, decimals: usize) -> f64 {
    let power = 10f64.powi(decimals as i32);
    (value * power).round() / power
}

/// The next step of 1, 2, 2.5 or 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= least * (1.0 - 1e-9)).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        for (low, high) in [(0.0, 1.0), (0.183, 0.671), (-3.2, 17.0), (0.5, 0.5), (0.0, 1e-5), (1e6, 3e6)] {
            let axis = Axis::linear(low, high, (0.0, 100.0), 5);
            assert!(axis.ticks.len() >= 2 && axis.ticks.len() <= 8, "{axis:?}");
            assert!(axis.ticks[0] <= low + 1e-12 && *axis.ticks.last().unwrap() >= high - 1e-12, "{axis:?}");
            assert!((0.0..=100.0).contains(&axis.place(low)), "{axis:?}");
        }
        assert_eq!(Axis::linear(0.0, 1.0, (0.0, 1.0), 5).range, (0.0, 1.0), "round bounds stay");
        let tight = Axis::tight(1.0, 60.0, (0.0, 59.0), 6);
        assert_eq!((tight.ticks, tight.places), (vec![10.0, 20.0, 30.0, 40.0, 50.0, 60.0], (0.0, 59.0)));
        let axis = Axis::linear(0.18, 0.67, (0.0, 1.0), 5);
        assert_eq!(
            axis.ticks.iter().map(|t| axis.label(*t)).collect::<Vec<_>>().join(" "),
            "0.1 0.2 0.3 0.4 0.5 0.6 0.7"
        );
    }

    #[test]
    fn factors_are_distances() {
        let axis = Axis::log_at(vec![16.0, 32.0, 64.0], (0.0, 100.0));
        assert_eq!([16.0, 32.0, 64.0].map(|bits| axis.place(bits).round()), [0.0, 50.0, 100.0]);
        assert_eq!(Axis::log_at(vec![48.0], (0.0, 100.0)).place(48.0).round(), 50.0);
    }
}
