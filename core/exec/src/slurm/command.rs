//! One call of a command of Slurm, with a limit on its time.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time for an answer. A controller that is down lets commands wait for long.
const LIMIT: Duration = Duration::from_secs(60);

/// Interval at which the end of a command is looked for.
const PAUSE: Duration = Duration::from_millis(5);

/// What a command answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command of Slurm. `path` replaces the search path, for tests.
///
/// # Errors
/// If it cannot be started, or does not answer in time.
pub(super) fn call(program: &str, args: &[&str], path: Option<&OsString>) -> io::Result<Answer> {
    let mut command = Command::new(program);
    // Formats that a user's environment sets would change the answer.
    for variable in ["SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SQUEUE_PARTITION", "SACCT_FORMAT"] {
        command.env_remove(variable);
    }
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("`{program}` did not answer in time")));
        }
        thread::sleep(PAUSE);
    };
    let text = |reader: JoinHandle<Vec<u8>>| String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned();
    Ok(Answer { success: status.success(), stdout: text(stdout), stderr: text(stderr) })
}

/// Reads a pipe to its end, so that the command does not block on it.
fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
