//! The inner loops: one query against a block of the database.
//!
//! Plain loops over slices of known width, which the compiler turns into vector code, for every kind of processor.

use pulp::{Arch, NullaryFnOnce};

/// Items compared at a time: their codes, labels and results stay in the first-level cache.
pub(crate) const BLOCK: usize = 1024;

/// Writes the Hamming distance of `query` to each item of `codes`.
pub(crate) fn distances(query: &[u64], codes: &[u64], out: &mut [u32]) {
    Arch::new().dispatch(Distances { query, codes, out });
}

/// Writes whether `query` shares a label with each item of `sets`.
pub(crate) fn shares_label(query: &[u64], sets: &[u64], out: &mut [bool]) {
    Arch::new().dispatch(SharesLabel { query, sets, out });
}

/// Writes whether each of `distances` is below `limit`, one bit each, lowest first.
pub(crate) fn nearer(distances: &[u32], limit: u32, out: &mut [u64]) {
    Arch::new().dispatch(Nearer { distances, limit, out });
}

// Closures would say the same in less. But the compiler need not inline a closure, and one that it does not inline is
// compiled for the oldest of processors.

struct Distances<'a> {
    query: &'a [u64],
    codes: &'a [u64],
    out: &'a mut [u32],
}

impl NullaryFnOnce for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { query, codes, out } = self;
        match *query {
            [a] => {
                for (out, code) in out.iter_mut().zip(codes) {
                    *out = (a ^ code).count_ones();
                }
            }
            [a, b] => {
                for (out, [c, d]) in out.iter_mut().zip(codes.as_chunks::<2>().0) {
                    *out = (a ^ c).count_ones() + (b ^ d).count_ones();
                }
            }
            _ => {
                for (out, code) in out.iter_mut().zip(codes.chunks_exact(query.len())) {
                    *out = query.iter().zip(code).map(|(a, b)| (a ^ b).count_ones()).sum();
                }
            }
        }
    }
}

struct SharesLabel<'a> {
    query: &'a [u64],
    sets: &'a [u64],
    out: &'a mut [bool],
}

impl NullaryFnOnce for SharesLabel<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { query, sets, out } = self;
        match *query {
            [a] => {
                for (out, set) in out.iter_mut().zip(sets) {
                    *out = a & set != 0;
                }
            }
            _ => {
                for (out, set) in out.iter_mut().zip(sets.chunks_exact(query.len())) {
                    *out = query.iter().zip(set).any(|(a, b)| a & b != 0);
                }
            }
        }
    }
}

struct Nearer<'a> {
    distances: &'a [u32],
    limit: u32,
    out: &'a mut [u64],
}

impl NullaryFnOnce for Nearer<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (word, distances) in self.out.iter_mut().zip(self.distances.chunks(64)) {
            let bit = |(at, &distance): (usize, &u32)| u64::from(distance < self.limit) << at;
            *word = distances.iter().enumerate().map(bit).fold(0, |word, bit| word | bit);
        }
    }
}
