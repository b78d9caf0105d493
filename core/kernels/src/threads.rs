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

/// Gives candle's own pool no threads, unless `CANDLE_NUM_THREADS` is set, so that its operations on large tensors run
/// where they are called. Its threads wait by spinning, which takes cores from rayon's, and it serves one caller at a
/// time.
///
/// candle reads the variable when it first needs the pool. To be called before the process has other threads: with
/// them, or on another system than Linux, nothing is changed.
pub fn without_candles_pool() {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none() && is_single_threaded() {
        // SAFETY: no other thread can read the environment meanwhile.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

/// Whether the process is known to have this thread alone.
fn is_single_threaded() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter_map(|line| line.strip_prefix("Threads:")).any(|count| count.trim() == "1")
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
    fn the_environment_stays_as_it_is_where_there_are_threads() {
        let beside_another = || {
            assert!(!is_single_threaded());
            let before = std::env::var_os("CANDLE_NUM_THREADS");
            without_candles_pool();
            assert_eq!(std::env::var_os("CANDLE_NUM_THREADS"), before);
        };
        std::thread::spawn(beside_another).join().unwrap();
    }

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
