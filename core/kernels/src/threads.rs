//! Number of threads of a kernel.
//!
//! A kernel called from a rayon pool spreads over that pool. Code that is already parallel at a coarser grain (one
//! micro-batch of images per thread) wraps its calls in [`serial`], so that they neither fork nor steal.

use std::cell::Cell;

thread_local! {
    static SERIAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with all its kernels on this thread.
pub fn serial<R>(f: impl FnOnce() -> R) -> R {
    /// Restores the previous state even if `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SERIAL.set(self.0);
        }
    }
    let _restore = Restore(SERIAL.replace(true));
    f()
}

/// Returns the number of threads that a kernel may use at this point.
pub(crate) fn available() -> usize {
    if SERIAL.get() { 1 } else { rayon::current_num_threads() }
}

/// Returns the same as a setting of the `gemm` crate.
pub(crate) fn parallelism() -> gemm::Parallelism {
    match available() {
        1 => gemm::Parallelism::None,
        n => gemm::Parallelism::Rayon(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_holds_for_the_call_and_nests() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            assert_eq!(available(), 3);
            serial(|| {
                serial(|| assert_eq!(available(), 1));
                assert_eq!(available(), 1);
            });
            assert_eq!(available(), 3);
        });
    }
}
