//! Kernel locks of runs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::StoreError;

/// Attempts to lock before the run counts as held by another process, and the pause between them.
/// [`RunDir::state`](crate::RunDir::state) takes the lock briefly; a process that executes the run holds it for minutes.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// Takes the run's lock without beginning an attempt; `None` if another process holds it.
pub(super) fn lock(path: &Path) -> Result<Option<File>, StoreError> {
    // Opening a pipe would wait for its other end.
    if is_special(path) {
        return Err(StoreError::io("lock", path)(io::Error::other("it is no regular file; remove it")));
    }
    // The file is never removed: otherwise two processes could lock two files of one name.
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(StoreError::io("open", path))?;
    for attempt in 0..TRIES {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
    }
    Ok(None)
}

/// Whether a pipe, a socket or a device is in the place of the lock.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Whether another process holds the lock. The test takes a shared lock briefly, which is why [`lock`] retries.
pub(super) fn is_held(path: &Path) -> bool {
    if is_special(path) {
        return false;
    }
    let Ok(file) = File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}
