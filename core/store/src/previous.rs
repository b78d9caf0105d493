//! Results that are set aside while their runs are repeated: a repetition that fails leaves what there was.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::lock::lock;
use super::{RunDir, StoreError, checkpoint};

impl RunDir {
    /// Sets the result and all files that belong to it aside, so that the run is executed again. Returns whether it did; a
    /// run that another process executes keeps its result.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a file cannot be moved.
    pub fn set_aside(&self) -> Result<bool, StoreError> {
        if !self.result_path().exists() {
            return Ok(false);
        }
        let Some(_lock) = lock(&self.lock_path())? else { return Ok(false) };
        self.remove_previous()?;
        checkpoint::remove_all(self.path())?;
        let previous = self.previous_path();
        fs::create_dir(&previous).map_err(StoreError::io("create", &previous))?;
        // The result goes first and comes back last: where it is, the other files are too.
        for path in self.files_of_result() {
            rename(&path, &previous.join(path.file_name().expect("it is a file's")))?;
        }
        Ok(true)
    }

    /// Puts the result that was set aside back, where the repetition left neither a result nor a checkpoint from which it
    /// may go on. Returns whether it did.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a file cannot be moved.
    pub fn put_back(&self) -> Result<bool, StoreError> {
        let previous = self.previous_path();
        if !self.has_previous() {
            return Ok(false);
        }
        let Some(_lock) = lock(&self.lock_path())? else { return Ok(false) };
        if self.result_path().exists() || !checkpoint::list(self.path()).is_empty() {
            return Ok(false);
        }
        for path in self.files_of_result().into_iter().rev() {
            rename(&previous.join(path.file_name().expect("it is a file's")), &path)?;
        }
        self.remove_previous()?;
        Ok(self.result_path().exists())
    }

    /// Whether something is set aside.
    pub fn has_previous(&self) -> bool {
        self.previous_path().exists()
    }

    /// Removes what was set aside.
    pub(super) fn remove_previous(&self) -> Result<(), StoreError> {
        let path = self.previous_path();
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn previous_path(&self) -> PathBuf {
        self.path().join("previous")
    }
}

/// Moves a file, if it is there.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("move", from)(error)),
        _ => Ok(()),
    }
}
