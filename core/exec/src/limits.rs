//! Limits of the operating system.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The largest limit on open files that macOS accepts.
const MACOS_LIMIT: u64 = 10_240;

/// Raises the limit on open files as far as the system allows, for this process and those that it starts. To be
/// called at the start of `main`: a method with hundreds of augmented views has as many feature files open.
/// Returns the limit in force, `None` if there is none.
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
