//! Reports of a child's exit, from its exit status and its log.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use signal_hook::consts::SIGKILL;

use crate::Exit;
use crate::limits::limits_processor_time;
use crate::signals::name;

/// Part of a log's end that is read to explain a crash, in bytes and in lines.
const TAIL_BYTES: u64 = 8 << 10;
const TAIL_LINES: usize = 20;

/// Message of Rust programs when memory is exhausted: this, the number of bytes, ` bytes failed`.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// Message of Rust programs when the stack is exhausted, after the name of the thread.
const STACK: &str = "has overflowed its stack";

/// Explains an exit without a record: the exit status, the error in the log, and the log's end. The log of this child
/// begins at the offset `start`.
pub(super) fn exit_report(status: ExitStatus, log: &Path, start: u64, memory_advice: &str) -> Exit {
    let tail = tail(log, start).unwrap_or_default();
    let error = last_error(&tail);
    let out_of_memory =
        status.signal() == Some(SIGKILL) || error.as_ref().is_some_and(|error| error.starts_with(OUT_OF_MEMORY));
    let cause = error.map(|error| format!(": {error}")).unwrap_or_default();
    let help = if out_of_memory {
        format!("\nhelp: {memory_advice}")
    } else if cause.contains(STACK) {
        "\nhelp: the limit on the stack, `ulimit -s`, is too low".to_owned()
    } else {
        String::new()
    };
    let end: Vec<&str> = tail.lines().rev().take(TAIL_LINES).collect();
    let end: String = end.iter().rev().map(|line| format!("\n  {line}")).collect();
    let end = if end.is_empty() { end } else { format!("\nthe log ends:{end}") };
    let message = format!("{}{cause}{help}{end}", how_it_ended(status));
    if out_of_memory { Exit::OutOfMemory { message } } else { Exit::Failed { message } }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended without a result".to_owned(),
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(SIGKILL)) if limits_processor_time() => {
            "killed by signal 9 (SIGKILL), which the kernel sends when processor time (`ulimit -t`) is used up, or \
             memory is full"
                .to_owned()
        }
        (None, Some(SIGKILL)) => "killed by signal 9 (SIGKILL), which the kernel sends when memory is full".to_owned(),
        (None, Some(signal)) => format!("killed by signal {signal} ({})", name(signal)),
        (None, None) => status.to_string(),
    }
}

/// The end of the log, from the offset of this attempt's part; empty if it is a device or a pipe.
fn tail(log: &Path, start: u64) -> io::Result<String> {
    // Checked before it is opened, as opening a pipe blocks.
    if !log.metadata()?.is_file() {
        return Ok(String::new());
    }
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
        if lines[at].starts_with(OUT_OF_MEMORY) || lines[at].ends_with(STACK) {
            return Some(lines[at].to_owned());
        }
        let (_, place) = lines[at].split_once("panicked at ")?;
        // The message is on the line after the place.
        Some(format!("panicked at {place} {}", lines.get(at + 1).unwrap_or(&"")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(exit: Exit) -> String {
        match exit {
            Exit::OutOfMemory { message } | Exit::Failed { message } => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_error_of_a_log_is_found() {
        let log = "error: old\nthread 'main' (7) panicked at src/a.rs:1:2:\nno such file\nnote: run with …\n";
        assert_eq!(last_error(log).unwrap(), "panicked at src/a.rs:1:2: no such file");
        assert_eq!(last_error("warn\nerror: the cache is full\nhelp: …\n").unwrap(), "the cache is full");
        assert_eq!(last_error("all is well\n"), None);
    }

    #[test]
    fn ends_are_put_into_words() {
        assert_eq!(how_it_ended(ExitStatus::from_raw(7 << 8)), "exited with code 7");
        assert_eq!(how_it_ended(ExitStatus::from_raw(6)), "killed by signal 6 (SIGABRT)");
        assert!(how_it_ended(ExitStatus::from_raw(9)).starts_with("killed by signal 9 (SIGKILL)"));
    }

    #[test]
    fn a_lack_of_memory_comes_with_advice() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(log.path(), "old\nwarn\nmemory allocation of 131072 bytes failed\n").unwrap();
        let exit = |status| exit_report(ExitStatus::from_raw(status), log.path(), 4, "take --jobs 1");
        let report = |status| message(exit(status));
        assert!(matches!(exit(6), Exit::OutOfMemory { .. }));
        assert_eq!(
            report(6),
            "killed by signal 6 (SIGABRT): memory allocation of 131072 bytes failed\nhelp: take --jobs 1\n\
             the log ends:\n  warn\n  memory allocation of 131072 bytes failed"
        );
        std::fs::write(log.path(), "").unwrap();
        assert!(report(9).ends_with("when memory is full\nhelp: take --jobs 1"));
        assert!(matches!(exit(9), Exit::OutOfMemory { .. }));
        assert_eq!(exit(11), Exit::Failed { message: "killed by signal 11 (SIGSEGV)".into() });
    }

    #[test]
    fn a_stack_that_is_too_small_is_named() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            log.path(),
            "\nthread 'main' (7) has overflowed its stack\nfatal runtime error: stack overflow\n",
        )
        .unwrap();
        let report = message(exit_report(ExitStatus::from_raw(6), log.path(), 0, ""));
        let first = "killed by signal 6 (SIGABRT): thread 'main' (7) has overflowed its stack\nhelp: the limit on the stack, `ulimit";
        assert!(report.starts_with(first), "{report}");
    }

    #[test]
    fn devices_are_not_read_as_logs() {
        let report = message(exit_report(ExitStatus::from_raw(1 << 8), Path::new("/dev/zero"), 0, ""));
        assert_eq!(report, "exited with code 1");
    }
}
