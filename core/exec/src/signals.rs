//! Handled signals, and the requests that they make.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use signal_hook::iterator::Signals;

use super::Urgency;

/// Signals that request an orderly end. SIGXCPU comes at the soft limit on processor time, before the hard one kills.
pub(super) const STOPPING: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU];

/// The signals of [`STOPPING`] to handle. One that the parent process ignores stays ignored, e.g. SIGHUP under
/// `nohup`. SIGINT is an exception: shells ignore it in the background commands of scripts, where `kill -INT` must
/// nevertheless stop a sweep.
pub(super) fn handled() -> Vec<i32> {
    let ignored = ignored();
    STOPPING.into_iter().filter(|signal| *signal == SIGINT || ignored & (1 << (signal - 1)) == 0).collect()
}

/// The mask of ignored signals; empty if the system has none to read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Unblocks the signals of [`STOPPING`] in this thread and those that it starts: a parent process may have blocked them,
/// and a blocked signal reaches no handler.
fn unblock() {
    let mut signals = SigSet::empty();
    for signal in STOPPING.into_iter().filter_map(|signal| Signal::try_from(signal).ok()) {
        signals.add(signal);
    }
    if let Err(error) = signals.thread_unblock() {
        tracing::warn!("signals that the parent process blocked stay blocked: {error}");
    }
}

/// Names a signal, e.g. `SIGTERM`.
pub(super) fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("an unknown signal")
}

/// Requests to stop a sweep. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct StopRequests {
    /// 0, or 1 more than the urgency.
    level: Arc<AtomicUsize>,
}

impl StopRequests {
    /// Creates an empty list that only [`StopRequests::request`] adds to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns signals into requests, instead of the end of the process. SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and
    /// SIGXCPU stop gently. A second SIGINT or SIGTERM stops at once; the others never do, because a closing terminal
    /// and a service manager send several signals in one moment.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn install() -> io::Result<Self> {
        unblock();
        let requests = Self::new();
        let mut signals = Signals::new(handled())?;
        let shared = requests.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut seen = Vec::new();
            for signal in signals.forever() {
                let again = seen.contains(&signal) && matches!(signal, SIGINT | SIGTERM);
                seen.push(signal);
                shared.request(if again { Urgency::AtOnce } else { Urgency::Gently });
            }
        })?;
        Ok(requests)
    }

    /// Requests a stop. The most urgent request counts.
    pub fn request(&self, urgency: Urgency) {
        self.level.fetch_max(1 + urgency as usize, Ordering::Relaxed);
    }

    /// Returns the most urgent request.
    pub fn urgency(&self) -> Option<Urgency> {
        match self.level.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Urgency::Gently),
            _ => Some(Urgency::AtOnce),
        }
    }
}

/// Installs handlers that store the last signal in `received`. A second SIGINT kills the process.
pub(super) fn note_in(received: &Arc<AtomicUsize>) -> io::Result<()> {
    use signal_hook::flag;
    unblock();
    let interrupted = Arc::new(AtomicBool::new(false));
    // The order matters: the signal that raises the flag must find it down.
    flag::register_conditional_default(SIGINT, Arc::clone(&interrupted))?;
    flag::register(SIGINT, interrupted)?;
    for signal in handled() {
        flag::register_usize(signal, Arc::clone(received), signal as usize)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_request_counts() {
        let requests = StopRequests::new();
        assert_eq!(requests.urgency(), None);
        requests.clone().request(Urgency::Gently);
        requests.request(Urgency::Gently);
        assert_eq!(requests.urgency(), Some(Urgency::Gently));
        requests.request(Urgency::AtOnce);
        requests.request(Urgency::Gently);
        assert_eq!(requests.urgency(), Some(Urgency::AtOnce));
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(STOPPING.map(name), ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"]);
    }
}
