//! A child process: start, output, signals.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::REAP;
use crate::CommandLine;
use crate::Event;
use crate::worker::{PARENT, RETRY};
use hashlab_store::open_log;

/// Time to wait for the rest of an exited child's output: a grandchild may hold its pipe open for ever.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// A running child, the leader of its own process group. Dropped, it is killed.
pub(super) struct Process {
    child: Child,
    events: Receiver<Event>,
    /// Whether it has closed its output, so that its events are complete.
    closed: Arc<AtomicBool>,
    started: Instant,
    /// Time and status of its exit.
    exited: Option<(Instant, ExitStatus)>,
    pub(super) log: PathBuf,
    /// The offset in the log where this child's part begins.
    pub(super) log_start: u64,
}

/// A child that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start `{program}`: {error}{}", help(error))]
pub(super) struct StartError {
    program: String,
    error: io::Error,
}

/// Remedies, for errors that the user can fix.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            "\nhelp: no more processes or threads are allowed: raise `ulimit -u`, or end others of yours"
        }
        io::ErrorKind::OutOfMemory => "\nhelp: close other programs, or run fewer jobs at once",
        _ => "",
    }
}

/// What a child is started with.
pub(super) struct Start<'a> {
    pub(super) command: &'a CommandLine,
    /// Further arguments.
    pub(super) runs: &'a [OsString],
    /// The threads with which it computes.
    pub(super) threads: usize,
    /// The GPUs that it sees, as `CUDA_VISIBLE_DEVICES` names them, if they are limited.
    pub(super) gpus: Option<String>,
    /// File to which it appends.
    pub(super) log: &'a Path,
    /// Why and how it is repeated, if it is.
    pub(super) retry: Option<String>,
    /// Is told when it closes its output, as it does when it ends.
    pub(super) closed: Sender<()>,
}

impl Start<'_> {
    pub(super) fn process(self) -> Result<Process, StartError> {
        let Self { command, runs, threads, gpus, log, retry, closed } = self;
        let spawn = || -> io::Result<Process> {
            let log_file = open_log_or_null(log)?;
            let log_start = log_file.metadata()?.len();
            let mut program = command.program.command();
            match retry {
                Some(retry) => program.env(RETRY, retry),
                None => program.env_remove(RETRY),
            };
            let child = program
                .args(&command.args)
                .args(runs)
                .envs(command.env.iter().map(|(key, value)| (key, value)))
                .envs(gpus.map(|gpus| ("CUDA_VISIBLE_DEVICES", gpus)))
                .env("RAYON_NUM_THREADS", threads.to_string())
                .env(PARENT, std::process::id().to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(log_file.try_clone()?)
                // Ctrl-C is sent to the sweep alone, which forwards it.
                .process_group(0)
                .spawn()?;
            Process::read_from(child, log_file, log, log_start, closed)
        };
        spawn().map_err(|error| StartError { program: command.program.display().to_string(), error })
    }
}

impl Process {
    fn read_from(mut child: Child, log_file: File, log: &Path, log_start: u64, closed: Sender<()>) -> io::Result<Self> {
        let stdout = child.stdout.take().expect("standard output is piped");
        let (sender, events) = channel();
        let has_closed = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&has_closed);
        let reader = thread::Builder::new().name("reader".into()).spawn(move || {
            read(stdout, log_file, sender);
            tells.store(true, Ordering::Release);
            // An executor that is gone needs no word.
            let _ = closed.send(());
        });
        match reader {
            Ok(_) => Ok(Self {
                child,
                events,
                closed: has_closed,
                started: Instant::now(),
                exited: None,
                log: log.to_owned(),
                log_start,
            }),
            Err(error) => {
                // A child whose output is not read would block.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has closed its output, and so is about to end.
    pub(super) fn ends(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Time since its start.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes the events since the last call.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Its exit status, once it has exited and its events are complete.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().ok().flatten().map(|status| (Instant::now(), status));
        }
        let (at, status) = self.exited?;
        (self.ends() || at.elapsed() > DRAIN_TIMEOUT).then_some(status)
    }

    /// Sends a signal to it and its own children.
    pub(super) fn signal(&self, signal: Signal) {
        // Once it is reaped, its id may belong to another process.
        if self.exited.is_none() {
            // A child that has just exited is no error.
            let _ = kill_process_group(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let killed = Instant::now();
        while self.exited.is_none() && killed.elapsed() < REAP {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Ok(Some(status)) => self.exited = Some((Instant::now(), status)),
                Err(_) => return,
            }
        }
    }
}

/// Opens the log. One that cannot be opened, e.g. on a full disk, does not stop its run.
fn open_log_or_null(path: &Path) -> io::Result<File> {
    open_log(path).or_else(|error| {
        tracing::warn!("{error}; the run goes on without a log");
        OpenOptions::new().write(true).open("/dev/null")
    })
}

/// Forwards the child's events, and writes its other lines to its log, until it closes its standard output.
fn read(stdout: ChildStdout, mut log: File, events: Sender<Event>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        match serde_json::from_slice(&line) {
            // The receiver of an abandoned child is gone; its pipe is emptied nevertheless.
            Ok(event) => drop(events.send(event)),
            // A full disk must not stop the child, which would block on a full pipe.
            Err(_) => drop(log.write_all(&line)),
        }
        line.clear();
    }
}
