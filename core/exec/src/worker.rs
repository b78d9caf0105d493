//! Worker side of the executor protocol: exit codes, progress events, signals.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::signals;
use crate::Event;

/// Exit code of a process whose work is done.
pub const DONE: i32 = 0;

/// Exit code of a process that could not claim a run: another process holds it, or has finished it. The scheduler
/// checks the run again later.
pub const BUSY: i32 = 73;

/// Exit code of a process that was asked to stop and left a checkpoint (`EX_TEMPFAIL`: try again).
pub const INTERRUPTED: i32 = 75;

/// The environment variable that holds the process id of the sweep.
pub(super) const PARENT: &str = "HASHLAB_PARENT";

/// The environment variable that says why and how a job is repeated.
pub(super) const RETRY: &str = "HASHLAB_RETRY";

/// Why and how the sweep repeats this process's work, if it does.
pub fn retry() -> Option<String> {
    std::env::var(RETRY).ok()
}

/// Prepares the process of a run or a stage: it dies with its sweep, reports panics, turns signals into a request to
/// stop. Call it first in the process.
///
/// # Errors
/// An error of the operating system.
pub fn init() -> io::Result<StopFlag> {
    let supervised = die_with_parent()?;
    if supervised {
        set_name();
        report_panics();
    }
    StopFlag::install()
}

/// Makes the kernel kill this process when the sweep that started it dies, even by `kill -9`. Returns whether a
/// sweep started it.
///
/// The kernel's signal follows the *thread* that spawned the process: [`LocalExecutor`](super::LocalExecutor)
/// spawns on the thread that calls it, which should be the main thread.
fn die_with_parent() -> io::Result<bool> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return Ok(false) };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // A parent that died before the call above sends no signal; the parent of an orphan is another process.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_pid());
    if now != Some(parent) {
        std::process::exit(INTERRUPTED);
    }
    Ok(true)
}

/// Gives the process its program's name in `top`: the kernel uses the name of a descriptor, through which a sweep
/// starts its own program.
fn set_name() {
    let program = std::env::args_os().next();
    if let Some(name) = program.as_deref().and_then(|program| Path::new(program).file_name()) {
        // The name is for display only; systems other than Linux have the right one.
        let _ = std::fs::write("/proc/self/comm", name.as_bytes());
    }
}

/// Reports panics over the pipe as well: the log may be on a full disk.
fn report_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("(no message)");
        emit(&Event::failed(format!("panicked{place}: {message}")));
        print(info);
    }));
}

/// Sends an event to the sweep, as one line on standard output; not if that is a terminal, whose user reads the log
/// instead. A sweep that no longer reads is no error.
pub fn emit(event: &Event) {
    if io::stdout().is_terminal() {
        return;
    }
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

/// Pause between two looks for a file that cancels a run; it may lie on a network file system.
const WATCH: Duration = Duration::from_secs(2);

/// What stands for a signal where a file asks to stop.
const CANCELLED: usize = usize::MAX;

/// Pause between two looks at the flag of work without checkpoints.
const PAUSE: Duration = Duration::from_millis(50);

/// While it lives, a request to stop ends the process at once.
#[derive(Debug)]
pub struct EndProcess(Arc<AtomicBool>);

impl Drop for EndProcess {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A request to stop this process. A training loop polls it between steps.
#[derive(Clone, Debug)]
pub struct StopFlag {
    /// The last signal that arrived, 0 if none did.
    received: Arc<AtomicUsize>,
}

impl StopFlag {
    /// Turns SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU into requests to stop; those that the parent process
    /// ignores stay ignored (SIGHUP under `nohup`). A second SIGINT kills the process, any other signal can come
    /// repeatedly: cluster schedulers warn with one signal and terminate with another, while the checkpoint is being
    /// written.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn install() -> io::Result<Self> {
        let received = Arc::new(AtomicUsize::new(0));
        signals::note_in(&received)?;
        Ok(Self { received })
    }

    /// Whether the process should write a checkpoint and return [`StopFlag::interrupted`].
    pub fn is_raised(&self) -> bool {
        self.received.load(Ordering::Relaxed) != 0
    }

    /// Raises the flag once a file exists: a request to stop from a process that may be on another machine.
    pub fn watch(&self, path: PathBuf) {
        let received = Arc::clone(&self.received);
        if path.exists() {
            return received.store(CANCELLED, Ordering::Relaxed);
        }
        thread::spawn(move || {
            while !path.exists() {
                thread::sleep(WATCH);
            }
            received.store(CANCELLED, Ordering::Relaxed);
        });
    }

    /// Ends the process as soon as the flag is raised, until the guard is dropped: for work without checkpoints, such as
    /// a fit in one call. Files are written by renaming, so that none is left half-written.
    pub fn end_process(&self) -> EndProcess {
        let watched = Arc::new(AtomicBool::new(true));
        let (stop, watch) = (self.clone(), Arc::clone(&watched));
        thread::spawn(move || {
            while watch.load(Ordering::Relaxed) {
                if stop.is_raised() {
                    std::process::exit(stop.interrupted());
                }
                thread::sleep(PAUSE);
            }
        });
        EndProcess(watched)
    }

    /// Reports the interruption to the sweep, and returns the exit code for it.
    pub fn interrupted(&self) -> i32 {
        let signal = match self.received.load(Ordering::Relaxed) {
            CANCELLED => "a request to cancel".to_owned(),
            signal => signals::name(signal as i32).to_owned(),
        };
        emit(&Event::Interrupted { signal });
        INTERRUPTED
    }
}
