//! The directory of a sweep: the file as run, its plans, and what is made of its runs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{StoreError, files};

/// Where a sweep's own files are kept.
#[derive(Clone, Debug)]
pub struct SweepDir {
    path: PathBuf,
}

impl SweepDir {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the experiment file as it was run, in `sweep.toml`.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn write_spec(&self, text: &str) -> Result<PathBuf, StoreError> {
        self.write("sweep.toml", text.as_bytes())
    }

    /// Keeps a plan, in `plan-<digest>.jsonl`. A plan never changes: its line numbers are what the tasks of a job
    /// array are called.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if the file holds something else; [`StoreError::Io`] if it cannot be written.
    pub fn write_plan(&self, digest: &str, lines: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.plan_path(digest)?;
        match files::read(&path) {
            Some(present) if present == lines => {}
            Some(_) => return Err(StoreError::Changed(path)),
            None => files::replace(&path, lines)?,
        }
        Ok(path)
    }

    /// Reads the plan `digest`.
    ///
    /// # Errors
    /// [`StoreError::Io`] if there is none.
    pub fn read_plan(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.plan_path(digest)?;
        fs::read(&path).map_err(StoreError::io("read", &path))
    }

    /// Puts a file such as `table.txt` or `report.html` into the directory, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `file_name` is a path; [`StoreError::Io`] if the file cannot be written.
    pub fn write(&self, file_name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.path.join(files::plain_name(file_name)?);
        files::replace(&path, bytes)?;
        Ok(path)
    }

    /// Returns where the shared stage `stage` writes its log.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `stage` is a path.
    pub fn log_path(&self, stage: &str) -> Result<PathBuf, StoreError> {
        Ok(self.path.join(files::plain_name(&format!("{stage}.log"))?))
    }

    fn plan_path(&self, digest: &str) -> Result<PathBuf, StoreError> {
        Ok(self.path.join(files::plain_name(&format!("plan-{digest}.jsonl"))?))
    }
}
