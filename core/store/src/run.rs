//! The directory of a run, for reading.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lock::lock;
use super::{StoreError, checkpoint, files, journal, journal::Point, sealed, unix_time};
use crate::warnings::warn_once;
use crate::{Attempt, Failure, RunConfig, RunId, RunResult, SCHEMA, Stopped};
use crate::{CodeProfile, QueryResults, ShownItems};

/// Location of a run. Cheap to clone; reading needs no claim.
#[derive(Clone, Debug)]
pub struct RunDir {
    id: RunId,
    path: PathBuf,
}

impl RunDir {
    pub(super) fn new(id: RunId, path: PathBuf) -> Self {
        Self { id, path }
    }

    /// Returns the run's identity.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the log of the run's processes.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// Creates the directory and writes the configuration, unless both exist.
    ///
    /// # Errors
    /// [`StoreError::OtherRun`] if `config` has another identity; [`StoreError::Changed`] if the directory holds
    /// another configuration; [`StoreError::Io`] if it cannot be written.
    pub fn prepare(&self, config: &RunConfig) -> Result<(), StoreError> {
        if config.id() != self.id {
            return Err(StoreError::OtherRun { expected: self.id.clone(), got: config.id() });
        }
        match files::read_json::<RunConfig>(&self.config_path()) {
            Some(present) if present == *config => Ok(()),
            Some(_) => Err(StoreError::Changed(self.config_path())),
            None => {
                let mut value = serde_json::to_value(config).expect("a configuration is plain data");
                value.sort_all_objects();
                files::replace_json(&self.config_path(), &value)
            }
        }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// [`StoreError::Io`] if there is none; [`StoreError::Damaged`] or [`StoreError::Changed`] if it is not this
    /// run's.
    pub fn config(&self) -> Result<RunConfig, StoreError> {
        let path = self.config_path();
        let bytes = files::read_regular(&path).map_err(StoreError::io("read", &path))?;
        let config: RunConfig = serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
            finished: matches!(self.read_result(), Ok(Some(_))).then(|| self.id.clone()),
        })?;
        if config.id() == self.id { Ok(config) } else { Err(StoreError::Changed(path)) }
    }

    /// Reads the result. A damaged one counts as absent, with a warning.
    pub fn result(&self) -> Option<RunResult> {
        self.read_result().inspect_err(|problem| warn_once(format!("{problem}; it counts as absent"))).ok().flatten()
    }

    /// Reads the result; the error says why there is one that cannot be used.
    pub(crate) fn read_result(&self) -> Result<Option<RunResult>, String> {
        let path = self.result_path();
        let bytes = match files::read_regular(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(format!("cannot read `{}`: {error}", path.display())),
        };
        let (text, sound) = sealed::unseal(&bytes);
        let damaged = |reason: &dyn Display| format!("`{}` is damaged: {reason}", path.display());
        let result: RunResult = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        if result.schema != SCHEMA {
            return Err(format!("`{}` has schema {}, not {SCHEMA}", path.display(), result.schema));
        }
        if result.run != self.id {
            return Err(format!("`{}` belongs to run `{}`", path.display(), result.run));
        }
        if !sound {
            return Err(damaged(&"it has changed since it was written"));
        }
        Ok(Some(result))
    }

    /// Removes the run with everything in its directory. Returns whether it did; a run that another process executes
    /// stays.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be removed.
    pub fn remove(&self) -> Result<bool, StoreError> {
        let Some(_lock) = lock(&self.lock_path())? else { return Ok(false) };
        // Nobody sees half a run: the directory vanishes at once, under a name that is no run's.
        let away = self.path.with_file_name(format!(".removed-{}-{}", self.id, std::process::id()));
        std::fs::rename(&self.path, &away).map_err(StoreError::io("remove", &self.path))?;
        std::fs::remove_dir_all(&away).map_err(StoreError::io("remove", &away))?;
        Ok(true)
    }

    /// Bytes of checkpoints and of the model.
    pub fn tensor_bytes(&self) -> [u64; 2] {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        [checkpoint::list(&self.path).iter().map(|path| size(path)).sum(), size(&self.model_path())]
    }

    /// Removes checkpoints and the model. Returns whether it did; those of a run that another process executes stay.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a file cannot be removed.
    pub fn remove_tensors(&self) -> Result<bool, StoreError> {
        let Some(_lock) = lock(&self.lock_path())? else { return Ok(false) };
        checkpoint::remove_all(&self.path)?;
        self.remove_model()?;
        Ok(true)
    }

    /// Removes the stored model, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be removed.
    pub fn remove_model(&self) -> Result<(), StoreError> {
        files::remove(&self.model_path())
    }

    /// Reads the results of single test queries; `None` if the run stored none.
    pub fn queries(&self) -> Option<QueryResults> {
        files::read_json(&self.queries_path())
    }

    /// Reads thumbnails and captions of the stored queries' items; `None` if the run stored none.
    pub fn items(&self) -> Option<ShownItems> {
        files::read_json(&self.items_path())
    }

    /// Reads the statistics of bits and distances; `None` if the run stored none.
    pub fn codes(&self) -> Option<CodeProfile> {
        files::read_json(&self.codes_path())
    }

    /// Reads the last `most` bytes of the log, from the start of a line; empty if there is none.
    pub fn log_tail(&self, most: u64) -> String {
        files::read_tail(&self.log_path(), most)
    }

    /// Returns the path of the model of the selected state, whether or not it exists.
    pub fn model_path(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// Reads the failure of the last attempt; `None` if it did not fail, or if a new one has begun.
    pub fn failure(&self) -> Option<Failure> {
        files::read_json(&self.failure_path())
    }

    /// Forgets the failure of the last attempt: the run is about to be executed again.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file cannot be removed.
    pub fn forget_failure(&self) -> Result<(), StoreError> {
        files::remove(&self.failure_path())
    }

    /// Reads where the run stopped last as it was asked to; it may have gone on since.
    pub fn stopped(&self) -> Option<Stopped> {
        files::read_json(&self.stopped_path())
    }

    /// Asks the process that executes the run, on whatever machine, to stop it, and keeps others from beginning it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be written.
    pub fn cancel(&self) -> Result<(), StoreError> {
        files::replace(&self.cancelled_path(), b"")
    }

    /// Withdraws [`RunDir::cancel`].
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be written.
    pub fn clear_cancelled(&self) -> Result<(), StoreError> {
        files::remove(&self.cancelled_path())
    }

    /// Whether the run is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled_path().exists()
    }

    /// Returns the path of the file that cancels the run, whether or not it exists.
    pub fn cancelled_path(&self) -> PathBuf {
        self.path.join("cancelled")
    }

    /// Records that a process died without recording an error. Returns `None`, and writes nothing, if another process
    /// has claimed or finished the run since.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be written.
    pub fn record_crash(&self, message: &str) -> Result<Option<Failure>, StoreError> {
        let Some(_lock) = lock(&self.lock_path())? else { return Ok(None) };
        if self.result().is_some() {
            return Ok(None);
        }
        self.write_failure(message, self.last_attempt()).map(Some)
    }

    /// Sizes and times of change of what the run's processes write, by which a change is noticed without reading.
    pub fn progress_stamp(&self) -> [Option<(u64, SystemTime)>; 4] {
        let stamp = |path: PathBuf| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.len(), file.modified().ok()?))
        };
        [self.result_path(), self.failure_path(), self.attempts_path(), self.metrics_path()].map(stamp)
    }

    /// Lists the attempts that began, oldest first.
    pub fn attempts(&self) -> Vec<Attempt> {
        let bytes = files::read(&self.attempts_path()).unwrap_or_default();
        // A line that a dying process left half-written is skipped.
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Reads the points that training recorded, up to the first damaged line.
    pub fn metrics(&self) -> Vec<Point> {
        journal::read(&self.metrics_path()).into_iter().map(|(point, _)| point).collect()
    }

    /// Reads the checkpoint to resume from. A damaged one is ignored with a warning.
    pub fn read_checkpoint(&self) -> Option<Vec<u8>> {
        checkpoint::read(&self.path)
    }

    /// The number of the last attempt that began, 0 if none did.
    pub(super) fn last_attempt(&self) -> u32 {
        self.attempts().last().map_or(0, |attempt| attempt.attempt)
    }

    pub(super) fn write_failure(&self, message: &str, attempt: u32) -> Result<Failure, StoreError> {
        let failure = Failure { message: message.to_owned(), attempt, time: unix_time() };
        files::replace_json(&self.failure_path(), &failure)?;
        Ok(failure)
    }

    pub(super) fn config_path(&self) -> PathBuf {
        self.path.join("config.json")
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.path.join(".lock")
    }

    pub(super) fn attempts_path(&self) -> PathBuf {
        self.path.join("attempts.jsonl")
    }

    pub(super) fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    pub(super) fn failure_path(&self) -> PathBuf {
        self.path.join("error.json")
    }

    pub(super) fn stopped_path(&self) -> PathBuf {
        self.path.join("stopped.json")
    }

    pub(super) fn queries_path(&self) -> PathBuf {
        self.path.join("queries.json")
    }

    pub(super) fn items_path(&self) -> PathBuf {
        self.path.join("items.json")
    }

    pub(super) fn codes_path(&self) -> PathBuf {
        self.path.join("codes.json")
    }

    /// The result, and the files that belong to it.
    pub(super) fn files_of_result(&self) -> [PathBuf; 6] {
        [
            self.result_path(),
            self.queries_path(),
            self.items_path(),
            self.codes_path(),
            self.model_path(),
            self.stopped_path(),
        ]
    }

    pub(crate) fn result_path(&self) -> PathBuf {
        self.path.join("result.json")
    }
}
