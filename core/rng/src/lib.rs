//! Seeded random streams: the only source of randomness in hashlab.
//!
//! A stream is named by a seed, a purpose and indices (item, epoch, step …), and depends on nothing else, so results do
//! not change with threads, batch order or a restart.
//!
//! ```
//! use hashlab_rng::stream;
//!
//! let mut views = stream(0, "view", &[17, 3]); // item 17, view 3
//! let mut again = stream(0, "view", &[17, 3]);
//! assert_eq!(views.uniform(), again.uniform());
//! ```
#![allow(clippy::disallowed_methods, reason = "this crate is where the generators live")]

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng, TryRng};
use rand_distr::Distribution;

pub mod numpy;

/// A seeded stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

/// Opens the stream for `purpose` (such as `"init/head.weight"` or `"batch-order"`) and `indices` under `seed`.
///
/// Equal arguments give equal streams; different ones give independent streams.
pub fn stream(seed: u64, purpose: &str, indices: &[u64]) -> Stream {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    for index in indices {
        hasher.update(&index.to_le_bytes());
    }
    Stream(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
}

/// For crates that draw from a generator of `rand`.
impl TryRng for Stream {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.try_fill_bytes(bytes)
    }
}

impl Stream {
    /// Draws 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Passes over the next `count` draws of 64 bits, each of which is also one of [`Stream::uniform`] or of
    /// [`Stream::bernoulli`].
    pub fn skip(&mut self, count: usize) {
        const WORDS: u128 = 2; // of 32 bits
        self.0.set_word_pos(self.0.get_word_pos() + WORDS * count as u128);
    }

    /// Draws from the uniform distribution over `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Draws from the uniform distribution over `[low, high)`.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Draws an index uniformly from `0..n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "cannot draw from an empty range");
        // Lemire's multiplication with rejection: exactly uniform.
        let n = n as u64;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if (product as u64) >= n.wrapping_neg() % n {
                return (product >> 64) as usize;
            }
        }
    }

    /// Draws true with probability `p`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Draws from the standard normal distribution.
    pub fn normal(&mut self) -> f64 {
        rand_distr::StandardNormal.sample(&mut self.0)
    }

    /// Shuffles `items` in place, every order equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Draws a random order of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        self.shuffle(&mut order);
        order
    }

    /// Draws `k` different indices from `0..n`, in random order.
    ///
    /// # Panics
    /// If `k > n`.
    pub fn distinct(&mut self, k: usize, n: usize) -> Vec<usize> {
        assert!(k <= n, "cannot draw {k} different indices from {n}");
        let mut chosen = Vec::with_capacity(k);
        while chosen.len() < k {
            let index = self.below(n);
            if !chosen.contains(&index) {
                chosen.push(index);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_every_part_of_their_name() {
        let first = |mut s: Stream| s.bits();
        let base = first(stream(1, "a", &[2]));
        assert_eq!(base, first(stream(1, "a", &[2])));
        for other in [stream(2, "a", &[2]), stream(1, "b", &[2]), stream(1, "a", &[3]), stream(1, "a", &[2, 0])] {
            assert_ne!(base, first(other));
        }
    }

    #[test]
    fn skipped_draws_are_those_of_the_stream() {
        let all: Vec<f64> = std::iter::repeat_with({
            let mut s = stream(5, "skip", &[]);
            move || s.uniform()
        })
        .take(40)
        .collect();
        for (before, count) in [(0, 0), (0, 17), (3, 30), (7, 32)] {
            let mut s = stream(5, "skip", &[]);
            for _ in 0..before {
                let _ = s.bernoulli(0.5);
            }
            s.skip(count);
            assert_eq!(s.uniform(), all[before + count], "{before} {count}");
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut s = stream(0, "moments", &[]);
        let n = 100_000;
        let uniform: f64 = (0..n).map(|_| s.uniform()).sum::<f64>() / f64::from(n);
        let (sum, squares) = (0..n).map(|_| s.normal()).fold((0.0, 0.0), |(a, b), x| (a + x, b + x * x));
        assert!((uniform - 0.5).abs() < 0.005);
        assert!((sum / f64::from(n)).abs() < 0.015);
        assert!((squares / f64::from(n) - 1.0).abs() < 0.02);
    }

    #[test]
    fn permutation_holds_every_index_once_and_distinct_repeats_none() {
        let mut order = stream(3, "order", &[]).permutation(257);
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..257));
        let mut pair = stream(3, "pair", &[]).distinct(9, 10);
        pair.sort_unstable();
        pair.dedup();
        assert_eq!(pair.len(), 9);
    }
}
