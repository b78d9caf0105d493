//! Kernel file locks, released by the kernel when their holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use crate::BankError;

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes a lock that others may share, waiting for an exclusive holder. A file that exists is opened for reading
    /// only, so that a bank on a read-only disk can be used.
    pub(crate) fn shared(path: &Path) -> Result<Self, BankError> {
        let open = || match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => open_writable(path),
            opened => opened,
        };
        open().and_then(|file| retry(|| file.lock_shared()).map(|()| Self(file))).map_err(BankError::io("lock", path))
    }

    /// Takes a lock that nobody shares, waiting for all other holders.
    pub(crate) fn exclusive(path: &Path) -> Result<Self, BankError> {
        open_writable(path)
            .and_then(|file| retry(|| file.lock()).map(|()| Self(file)))
            .map_err(BankError::io("lock", path))
    }

    /// Takes a lock that nobody shares, or returns none if somebody holds it.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>, BankError> {
        let file = open_writable(path).map_err(BankError::io("lock", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(BankError::io("lock", path)(error)),
        }
    }

    /// Stamps the lock's file with the present time.
    pub(crate) fn touch(&self) -> io::Result<()> {
        self.0.set_modified(SystemTime::now())
    }
}

fn open_writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
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
