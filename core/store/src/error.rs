//! Errors of the disk and of stored files.

use std::io;
use std::path::{Path, PathBuf};

use crate::{EXTERNAL_METHOD, RunId};

/// A failure to write or to read something under `runs/`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An error of the operating system.
    #[error("cannot {action} `{}`: {error}{}", path.display(), help(error))]
    Io {
        /// The failed action, e.g. `write`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A run id that names no directory.
    #[error(
        "`{0}` is not a run id: expected a name, `-` and twelve hexadecimal digits\n\
         help: `plan` lists the ids of an experiment's runs"
    )]
    BadRunId(RunId),
    /// A name that is not valid for a file or a directory.
    #[error(
        "`{0}` cannot name a file: it is empty, begins with a dot or holds a slash\n\
         help: a sweep is called after its experiment file; rename that"
    )]
    BadName(String),
    /// A configuration was offered to the directory of another run.
    #[error("expected the configuration of run `{expected}`, got that of `{got}`")]
    OtherRun {
        /// The directory's run.
        expected: RunId,
        /// The run that was offered.
        got: RunId,
    },
    /// A file that never changes has other content than expected.
    #[error(
        "`{}` is not what was written there: it has been edited, or two digests collide\n\
         help: move the directory that holds it away; a sweep then executes the run again", .0.display()
    )]
    Changed(PathBuf),
    /// Another process has taken a claim over, as this one was not heard of for too long.
    #[error(
        "another process has taken over what this one was to write in `{}`: it was not heard of for too long\n\
         help: the other process goes on; a longer limit is `HASHLAB_LOCKS=lease=SECONDS`, the same on all machines",
        .0.display()
    )]
    Lost(PathBuf),
    /// A required file is invalid.
    #[error("`{}` is damaged: {reason}\nhelp: {}", path.display(), mending(path, finished.as_ref()))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reader's message.
        reason: String,
        /// Its run, if that has a result that can be used, so that a sweep does not execute it by itself.
        finished: Option<RunId>,
    },
    /// A result holds a number that JSON cannot hold.
    #[error(
        "`{name}` of run `{run}` is {value}, which a result cannot hold\n\
         help: a run with such a loss has diverged: its result says so, and has no metrics"
    )]
    NotFinite {
        /// The run.
        run: RunId,
        /// The metric.
        name: String,
        /// Its value.
        value: f64,
    },
}

impl StoreError {
    /// Returns a function for `map_err` that adds the action and the path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { action, path: path.to_owned(), error }
    }
}

/// What writes a damaged file of a run anew.
fn mending(path: &Path, finished: Option<&RunId>) -> String {
    let Some(run) = finished else { return "start the sweep again: it writes the file anew".to_owned() };
    let mends = match path.parent() {
        // `--rerun` is for runs of methods.
        Some(directory) if run.method() == Some(EXTERNAL_METHOD) => {
            format!("remove `{}`, and the sweep measures the codes again", directory.display())
        }
        _ => format!("`sweep FILE --rerun {run}` executes it again and writes the file anew"),
    };
    format!("the run has a result, so that a sweep leaves it alone; {mends}")
}

/// Remedies, for errors that the user can fix.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\nhelp: free space on that disk, then run the same command again: finished runs are kept"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "\nhelp: runs are kept in a directory that you can write to; `--runs DIR` or HASHLAB_RUNS names another one"
        }
        io::ErrorKind::FileTooLarge => "\nhelp: the limit on the size of files, `ulimit -f`, is too low",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "\nhelp: a file is in the place of a directory: move it away, or name another directory with `--runs DIR`"
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "\nhelp: the limit on open files, `ulimit -n`, is too low"
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "\nhelp: a link on the way leads back to itself: correct it, or name another directory with `--runs DIR`"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_what_to_do() {
        let refusal = io::Error::from(io::ErrorKind::StorageFull);
        let message = StoreError::io("write", Path::new("runs/store/0a/x/result.json"))(refusal).to_string();
        let (first, help) = message.split_once('\n').unwrap();
        assert_eq!(first, "cannot write `runs/store/0a/x/result.json`: no storage space");
        assert!(help.starts_with("help: free space on that disk, then run the same command again"), "{help}");
    }
}
