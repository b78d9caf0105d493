//! The inner loops: one query against a block of the database.
//!
//! Plain loops over slices of known width, which the compiler turns into vector code.

/// Items compared at a time: their codes, labels and results stay in the first-level cache.
pub(crate) const BLOCK: usize = 1024;

/// Writes the Hamming distance of `query` to each item of `codes`.
#[inline(always)]
pub(crate) fn distances(query: &[u64], codes: &[u64], out: &mut [u32]) {
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

/// Writes whether `query` shares a label with each item of `sets`.
#[inline(always)]
pub(crate) fn shares_label(query: &[u64], sets: &[u64], out: &mut [bool]) {
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
