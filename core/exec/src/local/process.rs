//! A child process: start, output, signals.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::REAP;
use crate::CommandLine;
use crate::Event;
use crate::worker::PARENT;
use hashlab_store::open_log;

/// Time to wait for the rest of an exited child's output: a grandchild may hold its pipe open for ever.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// A running child, the leader of its own process group. Dropped, it is killed.
pub(super) struct Process {
    child: Child,
    events: Receiver<Event>,
    reader: JoinHandle<()>,
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

impl Process {
    /// Starts `command` with further arguments `runs`. It computes with `threads` threads, sees the GPU `gpu` alone if
    /// that is given, and appends to `log`.
    pub(super) fn start(
        command: &CommandLine,
        runs: &[OsString],
        threads: usize,
        gpu: Option<&str>,
        log: &Path,
    ) -> Result<Self, StartError> {
        let spawn = || -> io::Result<Self> {
            let log_file = open_log_or_null(log)?;
            let log_start = log_file.metadata()?.len();
            let child = command
                .program
                .command()
                .args(&command.args)
                .args(runs)
                .envs(command.env.iter().map(|(key, value)| (key, value)))
                .envs(gpu.map(|gpu| ("CUDA_VISIBLE_DEVICES", gpu)))
                .env("RAYON_NUM_THREADS", threads.to_string())
                .env(PARENT, std::process::id().to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(log_file.try_clone()?)
                // Ctrl-C is sent to the sweep alone, which forwards it.
                .process_group(0)
                .spawn()?;
            Self::read_from(child, log_file, log, log_start)
        };
        spawn().map_err(|error| StartError { program: command.program.display().to_string(), error })
    }

    fn read_from(mut child: Child, log_file: File, log: &Path, log_start: u64) -> io::Result<Self> {
        let stdout = child.stdout.take().expect("standard output is piped");
        let (sender, events) = channel();
        let reader = thread::Builder::new().name("reader".into()).spawn(|| read(stdout, log_file, sender));
        match reader {
            Ok(reader) => Ok(Self {
                child,
                events,
                reader,
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
        (self.reader.is_finished() || at.elapsed() > DRAIN_TIMEOUT).then_some(status)
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
