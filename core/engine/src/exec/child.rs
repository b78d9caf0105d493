//! What the process of a run, or of a shared stage, owes the one that started it.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::Event;

/// Exit code of a process that did its work.
pub const DONE: i32 = 0;

/// Exit code of a process that could not claim its run: another process holds it, or has finished it. The run is
/// looked at again later.
pub const BUSY: i32 = 73;

/// Exit code of a process that was asked to stop and left a checkpoint (`EX_TEMPFAIL`: try again).
pub const INTERRUPTED: i32 = 75;

/// The environment variable that holds the process id of the sweep.
pub(super) const PARENT: &str = "HASHLAB_PARENT";

/// Makes the kernel kill this process when the sweep that started it dies, even by `kill -9`. To be called first
/// thing in `main`. Does nothing in a process that no sweep started.
///
/// The kernel's signal follows the *thread* that spawned the process, which is why [`run_all`](super::run_all)
/// spawns from the thread that called it.
///
/// # Errors
/// The operating system's refusal.
pub fn die_with_parent() -> io::Result<()> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return Ok(()) };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // A parent that died before the call above sends no signal; it shows in who the parent is now.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_pid());
    if now != Some(parent) {
        std::process::exit(INTERRUPTED);
    }
    Ok(())
}

/// Tells the sweep, as one line on standard output. A sweep that no longer listens is no error.
pub fn emit(event: &Event) {
    let mut line = serde_json::to_vec(event).expect("an event is plain data");
    line.push(b'\n');
    let mut out = io::stdout().lock();
    let written = out.write_all(&line).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        tracing::debug!("cannot report progress: {error}");
    }
}

/// Whether this process was asked to stop. A training loop polls it between steps.
#[derive(Clone, Debug)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Answers the first SIGINT or SIGTERM by raising the flag, and any further one by dying of it.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn install() -> io::Result<Self> {
        let raised = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the signal that raises the flag must find it down.
            flag::register_conditional_default(signal, Arc::clone(&raised))?;
            flag::register(signal, Arc::clone(&raised))?;
        }
        Ok(Self(raised))
    }

    /// Returns whether the process should write a checkpoint and exit with [`INTERRUPTED`].
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
