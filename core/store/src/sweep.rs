//! The directory of a sweep: one folder per plan, with the file as run and the outputs of its runs.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lock::{self, Lock};
use super::{StoreError, files};

/// Name of the file that holds the digest of the plan that was started last.
const NEWEST: &str = "newest";

/// Directory of the plans of one experiment name.
#[derive(Clone, Debug)]
pub struct SweepDir {
    path: PathBuf,
}

/// Directory of one plan's own files. Sweeps of one name, concurrent or not, never share it.
#[derive(Clone, Debug)]
pub struct PlanDir {
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

    /// Locates the directory of the plan `digest`, whether or not it exists.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `digest` cannot be a directory's name.
    pub fn plan(&self, digest: &str) -> Result<PlanDir, StoreError> {
        Ok(PlanDir { path: self.path.join(files::plain_name(digest)?) })
    }

    /// Locates the plan that was started last; `None` if there is none. Where the note of it is lost or damaged, it is
    /// the plan that was written last.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be read.
    pub fn newest(&self) -> Result<Option<PlanDir>, StoreError> {
        let path = self.path.join(NEWEST);
        let note = files::read_regular(&path);
        match note.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other)) {
            Ok(digest) => match self.plan(digest.trim()) {
                Ok(plan) if plan.plan_path().is_file() => Ok(Some(plan)),
                _ => Ok(self.written_last()),
            },
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(StoreError::io("read", &path)(error)),
            Err(_) => Ok(self.written_last()),
        }
    }

    fn written_last(&self) -> Option<PlanDir> {
        let plans = fs::read_dir(&self.path).ok()?.flatten().map(|entry| PlanDir { path: entry.path() });
        let dated = plans.filter_map(|plan| Some((fs::metadata(plan.plan_path()).ok()?.modified().ok()?, plan)));
        dated.max_by_key(|(written, _)| *written).map(|(_, plan)| plan)
    }

    /// Counts the plans.
    pub fn plans(&self) -> usize {
        self.all().len()
    }

    /// The plans that were started, in the order of their digests.
    pub fn all(&self) -> Vec<PlanDir> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let mut plans: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        plans.retain(|path| path.join(PLAN).is_file());
        plans.sort();
        plans.into_iter().map(|path| PlanDir { path }).collect()
    }

    /// Records that the plan `digest` was started last.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn set_newest(&self, digest: &str) -> Result<(), StoreError> {
        files::replace(&self.path.join(NEWEST), digest.as_bytes())
    }
}

/// Name of the file that holds the plan.
const PLAN: &str = "plan.jsonl";

impl PlanDir {
    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the sweep and of the plan, as `NAME/DIGEST`.
    pub fn name(&self) -> String {
        let part =
            |path: Option<&Path>| path.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        format!("{}/{}", part(self.path.parent()), part(Some(&self.path)))
    }

    /// Writes the plan, line by line, as it may be large. It is derived from the experiment, so a damaged one is
    /// written anew. If the file already holds the plan, only its modification time is set.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn write_plan(&self, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> Result<(), StoreError> {
        let path = self.plan_path();
        let touched = files::holds(&path, &write).and_then(|()| File::open(&path)?.set_modified(SystemTime::now()));
        if touched.is_ok() { Ok(()) } else { files::replace_by(&path, write) }
    }

    /// Opens the plan for reading.
    ///
    /// # Errors
    /// [`StoreError::Io`] if there is none.
    pub fn open_plan(&self) -> Result<BufReader<File>, StoreError> {
        let path = self.plan_path();
        files::open_regular(&path).map(BufReader::new).map_err(StoreError::io("read", &path))
    }

    /// Returns the path of the plan.
    pub fn plan_path(&self) -> PathBuf {
        self.path.join(PLAN)
    }

    /// Writes a file such as `table.md` to the directory, atomically.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `file_name` is a path; [`StoreError::Io`] if the file cannot be written.
    pub fn write(&self, file_name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.path.join(files::plain_name(file_name)?);
        files::replace(&path, bytes)?;
        Ok(path)
    }

    /// Creates a folder in the directory, for files that other programs write.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `name` is a path; [`StoreError::Io`] if the folder cannot be created.
    pub fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.path.join(files::plain_name(name)?);
        fs::create_dir_all(&path).map_err(StoreError::io("create", &path))?;
        Ok(path)
    }

    /// Removes a file of the directory that may be absent.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `file_name` is a path; [`StoreError::Io`] if the file cannot be removed.
    pub fn remove(&self, file_name: &str) -> Result<(), StoreError> {
        files::remove(&self.path.join(files::plain_name(file_name)?))
    }

    /// Takes a lock of the directory, which is released when the process dies; `None` if another process has it.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `file_name` is a path; [`StoreError::Io`] if the file cannot be opened.
    pub fn lock(&self, file_name: &str) -> Result<Option<Lock>, StoreError> {
        let path = self.path.join(files::plain_name(file_name)?);
        fs::create_dir_all(&self.path).map_err(StoreError::io("write in", &self.path))?;
        lock::lock(&path)
    }

    /// Reads a file of the directory as text; `None` if it is absent or not UTF-8.
    pub fn read(&self, file_name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(file_name)).ok()
    }

    /// Returns the path of the log of the shared stage `stage`.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `stage` is a path.
    pub fn log_path(&self, stage: &str) -> Result<PathBuf, StoreError> {
        Ok(self.path.join(files::plain_name(&format!("{stage}.log"))?))
    }
}
