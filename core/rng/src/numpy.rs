//! numpy's legacy generator, to reproduce the splits of published code.

use rand_mt::Mt;

/// The shuffling part of `numpy.random.RandomState(seed)`.
pub struct LegacyRandomState(Mt);

impl LegacyRandomState {
    /// Seeds the generator as `numpy.random.seed(seed)` does.
    pub fn new(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    /// Shuffles as `numpy.random.shuffle` does on a one-dimensional array.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.interval(i as u32) as usize);
        }
    }

    /// Draws the same order as `numpy.random.permutation(n)`.
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        self.shuffle(&mut order);
        order
    }

    /// Draws from `0..=max` by masked rejection of 32-bit outputs (numpy's `random_interval`).
    fn interval(&mut self, max: u32) -> u32 {
        let mask = u32::MAX >> max.leading_zeros();
        loop {
            let value = self.0.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first draws of `numpy.random.seed(0); numpy.random.permutation(5000)` (numpy 2.4.6).
    #[test]
    fn permutation_equals_numpys() {
        let order = LegacyRandomState::new(0).permutation(5000);
        assert_eq!(&order[..5], &[398, 3833, 4836, 4572, 636]);
        assert_eq!(order[..500].iter().sum::<u32>(), 1_272_556);
    }
}
