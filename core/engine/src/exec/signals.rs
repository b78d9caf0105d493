//! Ctrl-C: once to stop gently, twice to stop at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How urgently a sweep is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// Start nothing; let what runs write a checkpoint and end.
    Gently,
    /// Kill what runs.
    AtOnce,
}

/// Counts the requests to stop. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicUsize>);

impl StopFlag {
    /// Makes a flag that only [`StopFlag::request`] raises.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a flag that every SIGINT and SIGTERM raises, in place of killing the process.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn install() -> io::Result<Self> {
        let stop = Self::new();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let raised = stop.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                raised.request();
            }
        })?;
        Ok(stop)
    }

    /// Asks to stop; asked again, at once.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns what has been asked for.
    pub fn level(&self) -> Stop {
        match self.0.load(Ordering::Relaxed) {
            0 => Stop::No,
            1 => Stop::Gently,
            _ => Stop::AtOnce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_is_urgent() {
        let stop = StopFlag::new();
        assert_eq!(stop.level(), Stop::No);
        stop.clone().request();
        assert_eq!(stop.level(), Stop::Gently);
        stop.request();
        stop.request();
        assert_eq!(stop.level(), Stop::AtOnce);
    }
}
