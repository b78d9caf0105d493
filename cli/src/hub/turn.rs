//! Turns of processes that download the same file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::context::note;

/// Attempts to make a folder that others may remove at the same time.
const ATTEMPTS: usize = 100;

/// The right to work in the folder of an unfinished download. The kernel lets go of it when the process dies.
pub(super) struct Turn {
    _lock: Option<File>,
}

impl Turn {
    /// Makes the folder and waits for the process that works in it, if there is one.
    pub(super) fn take(folder: &Path) -> io::Result<Self> {
        let mut attempts = 0..ATTEMPTS;
        loop {
            match fs::create_dir_all(folder) {
                // Another process may remove the folder around it in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts.next().is_some() => continue,
                made => made?,
            }
            let Some(opened) = existing(File::open(folder))? else { continue };
            match opened.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    note("another process downloads this file: waiting for it");
                    opened.lock()?;
                }
                // A file system without locks: two downloads at once may spoil each other, and neither a verified file.
                Err(TryLockError::Error(_)) => return Ok(Self { _lock: None }),
            }
            // Whoever had the turn before removes the folder at its end: a lock on what has no name excludes nobody.
            let Some(named) = existing(fs::metadata(folder))? else { continue };
            let locked = opened.metadata()?;
            if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) {
                return Ok(Self { _lock: Some(opened) });
            }
        }
    }
}

/// `None` for what is not there.
fn existing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
