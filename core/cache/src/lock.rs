//! File locks of the kernel, which releases them when their holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use crate::CacheError;

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes a shared lock, waiting for an exclusive holder. An existing file is opened for reading only, so that a
    /// cache on a read-only disk can be used.
    pub(crate) fn shared(path: &Path) -> Result<Self, CacheError> {
        let open = || match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => open_writable(path),
            opened => opened,
        };
        open().and_then(|file| retry(|| file.lock_shared()).map(|()| Self(file))).map_err(CacheError::io("lock", path))
    }

    /// Takes an exclusive lock, waiting for all other holders.
    pub(crate) fn exclusive(path: &Path) -> Result<Self, CacheError> {
        open_writable(path)
            .and_then(|file| retry(|| file.lock()).map(|()| Self(file)))
            .map_err(CacheError::io("lock", path))
    }

    /// Takes an exclusive lock; `None` if another process holds it.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>, CacheError> {
        let file = open_writable(path).map_err(CacheError::io("lock", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(CacheError::io("lock", path)(error)),
        }
    }

    /// Sets the time stamp of the lock's file to now.
    pub(crate) fn touch(&self) -> io::Result<()> {
        self.0.set_modified(SystemTime::now())
    }
}

/// Opens the file of a lock, creating it if need be. That of another user, which can only be read, will do, and so will
/// one on a read-only disk: the kernel does not ask for more.
fn open_writable(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    match opened {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            File::open(path).map_err(|_| error)
        }
        opened => opened,
    }
}

/// Repeats a call that a signal interrupted.
fn retry(call: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
