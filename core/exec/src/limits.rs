//! Limits of the operating system.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGCHLD, SIGXFSZ};

/// The largest limit on open files that macOS accepts.
const MACOS_LIMIT: u64 = 10_240;

/// Raises the limit on open files as far as the system allows, for this process and its children. Call it at the start
/// of `main`: a method with hundreds of augmented views has as many feature files open. Returns the new limit, `None`
/// if there is none.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = if cfg!(target_os = "macos") {
        Some(limit.maximum.map_or(MACOS_LIMIT, |most| most.min(MACOS_LIMIT)))
    } else {
        limit.maximum
    };
    let grows = wanted.is_none_or(|wanted| limit.current.is_some_and(|current| current < wanted));
    if grows && setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: limit.maximum }).is_ok() {
        return wanted;
    }
    limit.current
}

/// Turns a file beyond the limit on the size of files (`ulimit -f`) into an error of the write, which has a remedy,
/// instead of the end of the process. Call it at the start of `main`.
pub fn report_large_files() {
    // If this fails, the signal ends the process as before.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Makes the kernel keep the exit status of children, even if the parent of this process ignored `SIGCHLD` (`trap ''
/// CHLD`), which is inherited: the children would vanish, and be waited for in vain.
pub(crate) fn keep_exits_of_children() {
    let _ = signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)));
}

/// Whether processor time is limited (`ulimit -t`), so that a process may be killed for it.
pub(crate) fn limits_processor_time() -> bool {
    getrlimit(Resource::Cpu).current.is_some()
}
