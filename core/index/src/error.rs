//! Errors of indexes.

use std::io;
use std::path::{Path, PathBuf};

/// An index that cannot be read, made or extended.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file or folder that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read` or `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its cause.
        source: io::Error,
    },
    /// A folder without an index.
    #[error("{} is no index\nhelp: `hashlab index RUN IMAGES… --out DIR` makes one", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is damaged, or of another version of the program.
    #[error("{} does not belong to an index of this program: {reason}\nhelp: make the index anew", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An index of another model than the one that is to extend it.
    #[error(
        "the index {} was made by {found}, and this is {asked}: their codes have nothing in common\n\
         help: name another folder with `--out`",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What made the index.
        found: String,
        /// What is to extend it.
        asked: String,
    },
    /// An index that another process extends.
    #[error("another process adds to {}\nhelp: wait for its end", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// An item that cannot be recorded.
    #[error("{item} cannot be recorded: {reason}")]
    Item {
        /// The item.
        item: String,
        /// Why not.
        reason: String,
    },
}

impl IndexError {
    /// An error of reading or writing `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
