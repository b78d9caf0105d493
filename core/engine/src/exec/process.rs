//! A child process: started, listened to, stopped, and its end put into words.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::child::PARENT;
use super::job::CommandLine;
use crate::Event;
use crate::store::{StoreError, open_log};

/// How long a child's last words are waited for once it has exited: a grandchild may hold its pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a killed child is waited for: one that hangs in the kernel does not hang the sweep.
const REAP: Duration = Duration::from_secs(2);

/// How much of a log's end is looked at to explain a crash, in bytes and in lines.
const TAIL_BYTES: u64 = 8 << 10;
const TAIL_LINES: usize = 20;

/// A running child, the leader of its own process group. Dropped, it is killed.
pub(super) struct Process {
    child: Child,
    events: Receiver<Event>,
    listener: JoinHandle<()>,
    started: Instant,
    /// When it exited, and how.
    exited: Option<(Instant, ExitStatus)>,
    log_start: u64,
}

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("cannot start `{program}`: {error}")]
    Spawn { program: String, error: io::Error },
    #[error(transparent)]
    Log(#[from] StoreError),
}

impl Process {
    /// Starts `command`, which computes with `threads` threads and appends to the log at `log`.
    pub(super) fn start(command: &CommandLine, threads: usize, log: &Path) -> Result<Self, StartError> {
        let log_file = open_log(log)?;
        let spawn = || -> io::Result<Self> {
            let log_start = log_file.metadata()?.len();
            let mut child = Command::new(&command.program)
                .args(&command.args)
                .envs(command.env.iter().map(|(key, value)| (key, value)))
                .env("RAYON_NUM_THREADS", threads.to_string())
                .env(PARENT, std::process::id().to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(log_file.try_clone()?)
                // Ctrl-C reaches the sweep alone, which passes it on in its own way.
                .process_group(0)
                .spawn()?;
            let stdout = child.stdout.take().expect("standard output is piped");
            let (sender, events) = channel();
            let listener = thread::Builder::new().name("listener".into()).spawn(|| listen(stdout, log_file, sender))?;
            Ok(Self { child, events, listener, started: Instant::now(), exited: None, log_start })
        };
        spawn().map_err(|error| StartError::Spawn { program: command.program.display().to_string(), error })
    }

    /// How long it has been running.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes what it has told since the last call.
    pub(super) fn told(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// How it ended, once it has and its last words are there to be taken.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().ok().flatten().map(|status| (Instant::now(), status));
        }
        let (at, status) = self.exited?;
        (self.listener.is_finished() || at.elapsed() > LAST_WORDS).then_some(status)
    }

    /// Kills it and its own children, and waits until it is gone.
    pub(super) fn kill(&mut self) {
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

    /// Sends a signal to it and its own children.
    pub(super) fn signal(&self, signal: Signal) {
        // Once reaped, its number may belong to a stranger.
        if self.exited.is_none() {
            // A child that has just exited is no error.
            let _ = kill_process_group(Pid::from_child(&self.child), signal);
        }
    }

    /// Explains an end that left no record: how it exited, the error its log shows, and the log's end.
    pub(super) fn epitaph(&self, status: ExitStatus, log: &Path) -> String {
        let tail = tail(log, self.log_start).unwrap_or_default();
        let cause = last_error(&tail).map(|error| format!(": {error}")).unwrap_or_default();
        let end: Vec<&str> = tail.lines().rev().take(TAIL_LINES).collect();
        let end: String = end.iter().rev().map(|line| format!("\n  {line}")).collect();
        let end = if end.is_empty() { end } else { format!("\nthe log ends:{end}") };
        format!("{}{cause}{end}", how_it_ended(status))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends the child's events on, and its other lines to its log, until it closes its standard output.
fn listen(stdout: ChildStdout, mut log: File, events: Sender<Event>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        match serde_json::from_slice(&line) {
            // Nobody listens to a child that was given up; its pipe is emptied nevertheless.
            Ok(event) => drop(events.send(event)),
            // A full disk must not stop the child, which would block on a full pipe.
            Err(_) => drop(log.write_all(&line)),
        }
        line.clear();
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended without a result".to_owned(),
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(9)) => "killed by signal 9 (SIGKILL), which the kernel sends when memory is full".to_owned(),
        (None, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("unknown");
            format!("killed by signal {signal} ({name})")
        }
        (None, None) => status.to_string(),
    }
}

/// The end of the log, from the offset where this attempt's part begins.
fn tail(log: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last line that reports an error, or the message of the last panic.
fn last_error(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().collect();
    (0..lines.len()).rev().find_map(|at| {
        if let Some(error) = lines[at].strip_prefix("error: ") {
            return Some(error.to_owned());
        }
        let (_, place) = lines[at].split_once("panicked at ")?;
        // The message is on the line after the place.
        Some(format!("panicked at {place} {}", lines.get(at + 1).unwrap_or(&"")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_found() {
        let log = "error: old\nthread 'main' (7) panicked at src/a.rs:1:2:\nno such bank\nnote: run with …\n";
        assert_eq!(last_error(log).unwrap(), "panicked at src/a.rs:1:2: no such bank");
        assert_eq!(last_error("warn\nerror: the bank is short\nhelp: …\n").unwrap(), "the bank is short");
        assert_eq!(last_error("all is well\n"), None);
    }

    #[test]
    fn ends_are_put_into_words() {
        assert_eq!(how_it_ended(ExitStatus::from_raw(7 << 8)), "exited with code 7");
        assert_eq!(how_it_ended(ExitStatus::from_raw(6)), "killed by signal 6 (SIGABRT)");
        assert!(how_it_ended(ExitStatus::from_raw(9)).starts_with("killed by signal 9 (SIGKILL)"));
    }
}
