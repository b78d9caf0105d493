//! Locks of runs: of the kernel or, where those do not reach other machines, leases.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::StoreError;
use crate::lease::{self, Lease};
use crate::lock_setting::{leases_reason, setting};

/// Attempts to lock before the run counts as held by another process, and the pause between them.
/// [`RunDir::state`](crate::RunDir::state) takes the lock briefly; a process that executes the run holds it for minutes.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// A lock that this process holds; released when dropped, and when the process dies.
#[derive(Debug)]
pub struct Lock(Held);

#[derive(Debug)]
enum Held {
    Kernel(#[expect(dead_code, reason = "the kernel's lock is that of the open file")] File),
    Lease(Lease),
}

impl Lock {
    /// Checks that the lock is still held, which the kernel grants and a lease does not. `path` is what is to be written.
    pub(super) fn check(&self, path: &Path) -> Result<(), StoreError> {
        match &self.0 {
            Held::Lease(lease) if !lease.is_mine() => Err(StoreError::Lost(path.to_owned())),
            _ => Ok(()),
        }
    }

    /// What tells that the lock was lost, for frequent questions.
    pub(super) fn loss(&self) -> Loss {
        match &self.0 {
            Held::Kernel(_) => Loss(None),
            Held::Lease(lease) => Loss(Some(lease.lost())),
        }
    }
}

/// Whether the loss of a lock was noticed.
#[derive(Clone, Debug)]
pub(super) struct Loss(Option<Arc<AtomicBool>>);

impl Loss {
    pub(super) fn check(&self, path: &Path) -> Result<(), StoreError> {
        let lost = self.0.as_ref().is_some_and(|lost| lost.load(Ordering::Relaxed));
        if lost { Err(StoreError::Lost(path.to_owned())) } else { Ok(()) }
    }
}

/// Takes the run's lock without beginning an attempt; `None` if another process holds it.
pub(super) fn lock(path: &Path) -> Result<Option<Lock>, StoreError> {
    // Opening a pipe would wait for its other end.
    if is_special(path) {
        return Err(StoreError::io("lock", path)(io::Error::other("it is no regular file; remove it")));
    }
    // A lease that is there counts, whatever this process would have taken.
    if leases_reason(path).is_some() || lease::path_of(path).exists() {
        return lease(path);
    }
    // The file is never removed: otherwise two processes could lock two files of one name.
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(StoreError::io("open", path))?;
    for attempt in 0..TRIES {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        match file.try_lock() {
            Ok(()) => return Ok(Some(Lock(Held::Kernel(file)))),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if is_unsupported(&error) => return lease(path),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
    }
    Ok(None)
}

fn lease(path: &Path) -> Result<Option<Lock>, StoreError> {
    let taken = Lease::take(&lease::path_of(path), setting().limit).map_err(StoreError::io("lock", path))?;
    Ok(taken.map(|lease| Lock(Held::Lease(lease))))
}

/// Whether an error says that the file system has no locks.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    let missing = [rustix::io::Errno::NOLCK, rustix::io::Errno::NOSYS, rustix::io::Errno::OPNOTSUPP];
    error.kind() == io::ErrorKind::Unsupported || missing.iter().any(|one| number == Some(one.raw_os_error()))
}

/// Whether a pipe, a socket or a device is in the place of the lock.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Whether another process holds the lock. The test takes a shared lock briefly, which is why [`lock`] retries.
pub(super) fn is_held(path: &Path) -> bool {
    lease::is_held(&lease::path_of(path)) || is_held_by_kernel(path)
}

fn is_held_by_kernel(path: &Path) -> bool {
    if is_special(path) {
        return false;
    }
    let Ok(file) = File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}
