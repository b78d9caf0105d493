//! The exclusive right to execute a run: a lock, and the writers of files that only its holder may change.

use super::lock::{Lock, lock};
use super::{Attempt, Journal, RunDir, Stopped, StoreError, checkpoint, files, journal, sealed, unix_time};
use crate::RunResult;
use crate::{CodeProfile, QueryResults, ShownItems};

/// The exclusive right to execute a run; released when dropped, and when the process dies. Where it is a lease, it may be
/// lost before: every writer of files then ends with [`StoreError::Lost`] and writes nothing.
#[derive(Debug)]
pub struct Claim {
    run: RunDir,
    attempt: u32,
    lock: Lock,
}

impl Claim {
    /// Returns the run that is claimed.
    pub fn run(&self) -> &RunDir {
        &self.run
    }

    /// Returns the attempt's number, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Opens the journal of metrics and removes the points after `resumed`, the step of the checkpoint from which
    /// training resumes; all points if it starts anew.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file cannot be written.
    pub fn journal(&self, resumed: Option<u64>) -> Result<Journal, StoreError> {
        journal::open(&self.run.metrics_path(), resumed, self.lock.loss())
    }

    /// Replaces the checkpoint atomically, after syncing the journal to disk.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written; the previous checkpoint is then still there.
    pub fn write_checkpoint(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        journal::sync(&self.run.metrics_path())?;
        checkpoint::write(self.run.path(), bytes)
    }

    /// Removes every checkpoint, so that the next attempt starts anew.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a file cannot be removed.
    pub fn remove_checkpoint(&self) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        checkpoint::remove_all(self.run.path())
    }

    /// Stores the results of single test queries, atomically.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn write_queries(&self, queries: &QueryResults) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        files::replace_json_line(&self.run.queries_path(), queries)
    }

    /// Stores thumbnails and captions of these queries' items, atomically.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn write_items(&self, items: &ShownItems) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        files::replace_json_line(&self.run.items_path(), items)
    }

    /// Stores the statistics of bits and distances, atomically.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn write_codes(&self, codes: &CodeProfile) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        files::replace_json_line(&self.run.codes_path(), codes)
    }

    /// Stores the model of the selected state, atomically.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn write_model(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        files::replace(&self.run.model_path(), bytes)
    }

    /// Writes the result, which ends the run for good, then removes its checkpoint. Other files of the run may follow
    /// while the claim is held.
    ///
    /// # Errors
    /// [`StoreError::OtherRun`] or [`StoreError::NotFinite`] if `result` is not one of this run that can be read
    /// back; [`StoreError::Io`] if it cannot be written.
    pub fn finish(&self, result: &RunResult) -> Result<(), StoreError> {
        if result.run != *self.run.id() {
            return Err(StoreError::OtherRun { expected: self.run.id().clone(), got: result.run.clone() });
        }
        check_finite(result)?;
        self.lock.check(self.run.path())?;
        files::replace(&self.run.result_path(), &sealed::seal(result))?;
        self.run.remove_previous()?;
        self.remove_checkpoint()
    }

    /// Records that the attempt stopped after `epoch` epochs as it was asked to, with a checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn stop(&self, epoch: usize) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        files::replace_json(&self.run.stopped_path(), &Stopped { epoch, attempt: self.attempt })
    }

    /// Records why the attempt failed.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn fail(self, message: &str) -> Result<(), StoreError> {
        self.lock.check(self.run.path())?;
        self.run.write_failure(message, self.attempt).map(drop)
    }
}

impl RunDir {
    /// Claims the run for this process and begins an attempt. Returns `None` if there is nothing to do here: another
    /// process holds the run, or it is finished.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory was not prepared or cannot be written.
    pub fn try_claim(&self) -> Result<Option<Claim>, StoreError> {
        self.try_claim_again(None)
    }

    /// Claims the run as [`RunDir::try_claim`], for a repetition: `retry` says why and how, for the list of attempts.
    ///
    /// # Errors
    /// As of [`RunDir::try_claim`].
    pub fn try_claim_again(&self, retry: Option<String>) -> Result<Option<Claim>, StoreError> {
        let Some(lock) = lock(&self.lock_path())? else { return Ok(None) };
        if self.result().is_some() {
            return Ok(None);
        }
        let attempt = self.last_attempt() + 1;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        files::append_json(
            &self.attempts_path(),
            &Attempt { attempt, time: unix_time(), host, pid: std::process::id(), retry },
        )?;
        files::remove(&self.failure_path())?;
        for name in [".checkpoint-", ".result.json-", ".error.json-"] {
            files::remove_partial(self.path(), name)?;
        }
        Ok(Some(Claim { run: self.clone(), attempt, lock }))
    }
}

/// Rejects numbers that JSON turns into `null`, which readers reject as a metric.
fn check_finite(result: &RunResult) -> Result<(), StoreError> {
    let tasks = || result.test.values().chain(result.validation.values());
    let scalars = tasks().flat_map(|task| &task.metrics).chain(&result.seconds).map(|(name, value)| (name, *value));
    let curves = tasks().flat_map(|task| &task.curves);
    let curves = curves.flat_map(|(name, values)| values.iter().map(move |value| (name, *value)));
    match scalars.chain(curves).find(|(_, value)| !value.is_finite()) {
        Some((name, value)) => Err(StoreError::NotFinite { run: result.run.clone(), name: name.to_string(), value }),
        None => Ok(()),
    }
}
