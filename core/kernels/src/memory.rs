//! Time for which freed memory stays with the process.

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay` of mimalloc.h, which the crate does not define, in milliseconds.
const PURGE_DELAY: mi_option_t = 15;
/// Longer than a training step, except those of large networks; shorter than a stage of a run.
const DELAY_MS: i64 = 10_000;

/// Makes mimalloc keep freed memory for ten seconds instead of one, unless `MIMALLOC_PURGE_DELAY` is set.
///
/// A step frees memory that the next one allocates again. If it went back to the system in between, the kernel has to
/// clear it, page by page: a tenth of a forward pass through ResNet-50. Programs with another allocator are not
/// affected.
pub fn keep_freed_memory() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the option exists in versions 2 and 3 of mimalloc and takes any number. The call is not thread-safe
        // only in that a thread may still read the old value.
        unsafe { mi_option_set(PURGE_DELAY, DELAY_MS as _) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_delays_purging() {
        // SAFETY: reading and writing an option, as above.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1_000, "mimalloc's default; another number is another option");
        keep_freed_memory();
        assert_eq!(delay(), DELAY_MS);
    }
}
