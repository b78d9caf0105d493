//! The program that a sweep starts its jobs from.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
#[cfg(target_os = "linux")]
use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
};

/// An executable file.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Keeps the file that `path` names through `/proc`.
    #[cfg(target_os = "linux")]
    file: Option<Arc<OwnedFd>>,
}

impl Program {
    /// The program at `path`, looked up when it is started.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            #[cfg(target_os = "linux")]
            file: None,
        }
    }

    /// Opens the program of this process. On Linux it stays the same program even if its file is replaced or removed
    /// later, as a build does while a sweep runs; elsewhere it is looked up again.
    ///
    /// # Errors
    /// If the program's own path cannot be determined.
    pub fn current() -> io::Result<Self> {
        let path = std::env::current_exe()?;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Mode, OFlags, open};
            // O_PATH needs no permission to read the file, and a child resolves /proc/self/fd before it loses the
            // descriptor. Without /proc there is no current_exe either.
            let file = open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok().map(Arc::new);
            Ok(Self { path, file })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Self { path })
    }

    /// Returns the path, for messages.
    pub fn display(&self) -> impl std::fmt::Display + '_ {
        self.path.display()
    }

    /// Prepares a command that starts it, under its own name.
    pub(super) fn command(&self) -> Command {
        #[cfg(target_os = "linux")]
        if let Some(file) = &self.file {
            let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
            command.arg0(self.name());
            return command;
        }
        let mut command = Command::new(&self.path);
        command.arg0(self.name());
        command
    }

    fn name(&self) -> OsString {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_owned()
    }
}
