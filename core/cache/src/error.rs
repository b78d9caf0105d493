//! Errors of the cache.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::Shape;

/// An error of the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file or folder of the cache cannot be used.
    #[error("cannot {action} {}: {source}{}", .path.display(), help(.source))]
    Io {
        /// The operation, e.g. `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The disk is full, or a quota is reached.
    #[error(
        "no space left to write {}: {source}\nhelp: free space on that disk, or put the cache on another one with \
         `--cache-dir DIR` or HASHLAB_CACHE_DIR; what was extracted so far is kept, and extraction goes on from there",
        .path.display()
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The cache's size limit leaves no room for a feature file.
    #[error(
        "the cache at {} is full: the feature file takes {}, feature files in use take {}, the limit is {}\n\
         help: raise the limit with `--cache-limit` or HASHLAB_CACHE_LIMIT, ask for fewer views, or wait for the \
         runs that use the cache",
        .root.display(), Size(*.needed), Size(*.in_use), Size(*.limit)
    )]
    Full {
        /// The cache.
        root: PathBuf,
        /// Size of the feature file, in bytes.
        needed: u64,
        /// Size of the feature files that cannot be removed now, in bytes.
        in_use: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The cache's size limit leaves no room for feature files that are needed at once.
    #[error(
        "`--cache-limit` or HASHLAB_CACHE_LIMIT allows {} for the feature cache at {}, and a run needs {} at once\n\
         help: raise the limit to {needed} bytes or more",
        Size(*.limit), .root.display(), Size(*.needed)
    )]
    TooSmall {
        /// The cache.
        root: PathBuf,
        /// Size of the feature files, in bytes.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The cache cannot be written and lacks feature files.
    #[error(
        "the feature cache at {} lacks {lacking} of the feature files that a run needs, and cannot be written: {source}{}",
        .root.display(), help(.source)
    )]
    Lacking {
        /// The cache.
        root: PathBuf,
        /// The number of feature files that are not there.
        lacking: usize,
        /// The system's reason.
        source: io::Error,
    },
    /// No feature file can have this shape.
    #[error(
        "a feature file of {} rows × {} features in chunks of {} rows is impossible\n\
         help: features and rows per chunk must be positive, rows below 2^32",
        .0.rows, .0.dim, .0.chunk_rows
    )]
    Shape(Shape),
    /// The extraction of a chunk gave another number of values than the chunk has.
    #[error("rows {first}.. of {} have {expected} values, extraction gave {got}", .path.display())]
    Extracted {
        /// The feature file's data.
        path: PathBuf,
        /// First row of the chunk.
        first: usize,
        /// Values that the chunk holds.
        expected: usize,
        /// Values that extraction gave.
        got: usize,
    },
    /// The extraction of a chunk gave a value that is not a finite number.
    #[error(
        "feature {column} of row {row} for {} is {value}, expected a finite number\n\
         help: check the encoder's weights and the item behind that row",
        .path.display()
    )]
    NotFinite {
        /// The feature file's data.
        path: PathBuf,
        /// The row.
        row: usize,
        /// Position in the row.
        column: usize,
        /// The value.
        value: f32,
    },
    /// The extraction of a chunk gave a value that half precision cannot hold.
    #[error(
        "feature {column} of row {row} for {} is {value}, beyond the range of f16 (±65504)\n\
         help: set `precision = \"f32\"` in [encoder]",
        .path.display()
    )]
    OutOfRange {
        /// The feature file's data.
        path: PathBuf,
        /// The row.
        row: usize,
        /// Position in the row.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A feature file ended before a row that it had when it was opened.
    #[error(
        "{} was cut short after it was opened: expected {expected} bytes, found {found}\n\
         help: start again: missing features are extracted anew; keep other programs off the cache's files",
        .path.display()
    )]
    Truncated {
        /// The feature file's data.
        path: PathBuf,
        /// Size when it was opened, in bytes.
        expected: u64,
        /// Size now, in bytes.
        found: u64,
    },
    /// A requested row is beyond the feature file's end.
    #[error("row {row} of {} was asked for, which has {rows} rows", .path.display())]
    Row {
        /// The feature file's data.
        path: PathBuf,
        /// The row.
        row: usize,
        /// Rows of the feature file.
        rows: usize,
    },
}

impl CacheError {
    /// Wraps a failed system call: `fs::rename(…).map_err(CacheError::io("rename", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            _ => Self::Io { action, path, source },
        }
    }
}

/// Remedies for errors of the system.
fn help(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "\nhelp: ask the owner for permission, or name a directory of your own; that of the feature cache is \
             `--cache-dir DIR` or HASHLAB_CACHE_DIR"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "\nhelp: a file is in the place of a directory: move it away, or name another directory with `--cache-dir DIR` \
             or HASHLAB_CACHE_DIR"
        }
        ErrorKind::FileTooLarge => "\nhelp: the limit on the size of files, `ulimit -f`, is too low for feature files",
        ErrorKind::Unsupported => NO_LOCKS,
        _ if source.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "\nhelp: the limit on open files, `ulimit -n`, is too low: every stored view is a file; raise it, or ask \
             for fewer views"
        }
        // ENOLCK, for which the standard library has no kind.
        _ if source.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error()) => NO_LOCKS,
        _ => "",
    }
}

const NO_LOCKS: &str = "\nhelp: this file system has no locks, like some network disks; put the feature cache on \
                        another one with `--cache-dir DIR` or HASHLAB_CACHE_DIR";

/// A size in bytes, with a readable unit.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut size, mut unit) = (self.0 as f64, "bytes");
        for larger in ["kB", "MB", "GB", "TB"] {
            if size < 1000.0 {
                break;
            }
            (size, unit) = (size / 1000.0, larger);
        }
        if unit == "bytes" { write!(f, "{size} bytes") } else { write!(f, "{size:.1} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let shown = [0, 999, 1000, 966_656_000, 10_000_000_000_000_000].map(|n| Size(n).to_string());
        assert_eq!(shown, ["0 bytes", "999 bytes", "1.0 kB", "966.7 MB", "10000.0 TB"]);
    }
}
