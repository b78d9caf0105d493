//! Tables that depend on the size of the database alone; computed once for all queries.

/// Tables for rankings of one size to one depth.
pub(crate) struct Weights {
    /// The depth K.
    pub(crate) depth: usize,
    pub(crate) harmonic: Harmonic,
    pub(crate) gains: Gains,
}

impl Weights {
    /// Computes the tables for rankings of `items` items, of which the first `depth` count.
    pub(crate) fn new(items: usize, depth: usize) -> Self {
        Self { depth, harmonic: Harmonic::to(items), gains: Gains::to(depth) }
    }
}

/// Harmonic numbers, each as a sum and its rounding error.
///
/// The closed form for ties takes small differences of them and multiplies these by ranks: the plain sums would
/// leave six digits of the expectation of two items at rank 50,000.
pub(crate) struct Harmonic(Vec<(f64, f64)>);

impl Harmonic {
    /// Computes the harmonic numbers 0 to `n`.
    pub(crate) fn to(n: usize) -> Self {
        let (mut sum, mut lost) = (0.0, 0.0);
        let mut table = vec![(sum, lost)];
        table.extend((1..=n).map(|i| {
            let term = 1.0 / i as f64;
            let next: f64 = sum + term;
            // Knuth's two-sum: the exact error of the addition.
            let added = next - sum;
            lost += (sum - (next - added)) + (term - added);
            sum = next;
            (sum, lost)
        }));
        Self(table)
    }

    /// Returns `1/(from+1) + … + 1/to`.
    pub(crate) fn between(&self, from: usize, to: usize) -> f64 {
        let (low, high) = (self.0[from], self.0[to]);
        (high.0 - low.0) + (high.1 - low.1)
    }
}

/// Discounted gains of relevant items, by rank.
pub(crate) struct Gains {
    /// `1/log2(r + 1)` for ranks `r` from 1.
    gains: Vec<f64>,
    /// The sum of the first gains, from that of none.
    sums: Vec<f64>,
}

impl Gains {
    /// Computes the gains of ranks 1 to `depth`.
    fn to(depth: usize) -> Self {
        let gains: Vec<f64> = (1..=depth).map(|rank| 1.0 / (rank as f64 + 1.0).log2()).collect();
        let mut sums = vec![0.0];
        sums.extend(gains.iter().scan(0.0, |sum, gain| {
            *sum += gain;
            Some(*sum)
        }));
        Self { gains, sums }
    }

    /// The gain of a relevant item at `rank`, counted from 1, within the depth.
    pub(crate) fn at(&self, rank: usize) -> f64 {
        self.gains[rank - 1]
    }

    /// The gain of the best ranking of `relevant` relevant items, to the depth.
    pub(crate) fn best(&self, relevant: usize) -> f64 {
        self.sums[relevant.min(self.gains.len())]
    }
}
