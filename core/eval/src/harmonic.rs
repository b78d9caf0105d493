//! Harmonic numbers, for the closed form of expectations over ties.

/// Ranks from one stored number to the next.
const STRIDE: usize = 16;

/// A harmonic number: its rounded sum, and what rounding lost.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    sum: f64,
    lost: f64,
}

impl Number {
    /// The next number, `1/rank` more.
    fn next(self, rank: usize) -> Self {
        let term = 1.0 / rank as f64;
        let sum = self.sum + term;
        // Knuth's two-sum: the exact error of the addition.
        let added = sum - self.sum;
        Self { sum, lost: self.lost + ((self.sum - (sum - added)) + (term - added)) }
    }
}

/// Harmonic numbers, each as a sum and its rounding error.
///
/// The closed form for ties takes small differences of them and multiplies these by ranks: the plain sums would
/// leave six digits of the expectation of two items at rank 50,000. Every 16th is stored, computed once for all queries,
/// and those between are added up again from there, so that a database of any size needs a byte per item.
pub(crate) struct Harmonic(Vec<Number>);

impl Harmonic {
    /// Computes the harmonic numbers 0 to `n`.
    pub(crate) fn to(n: usize) -> Self {
        let mut numbers = Vec::with_capacity(n / STRIDE + 1);
        let mut number = Number::default();
        for at in 0..=n {
            if at > 0 {
                number = number.next(at);
            }
            if at % STRIDE == 0 {
                numbers.push(number);
            }
        }
        Self(numbers)
    }

    fn at(&self, n: usize) -> Number {
        let stored = n / STRIDE;
        (stored * STRIDE + 1..=n).fold(self.0[stored], Number::next)
    }

    /// Returns `1/(from+1) + … + 1/to`.
    pub(crate) fn between(&self, from: usize, to: usize) -> f64 {
        let (low, high) = (self.at(from), self.at(to));
        (high.sum - low.sum) + (high.lost - low.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_equal_their_terms() {
        let harmonic = Harmonic::to(90_000);
        for (from, to) in
            [(0, 0), (0, 1), (0, 64), (15, 16), (63, 200), (64, 65), (100, 100), (1_000, 1_001), (5, 90_000)]
        {
            let summed: f64 = (from + 1..=to).rev().map(|i| 1.0 / i as f64).sum();
            let got = harmonic.between(from, to);
            assert!((got - summed).abs() <= 1e-14 * summed, "{from}..{to}: {got} and {summed}");
        }
    }
}
