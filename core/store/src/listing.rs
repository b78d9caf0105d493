//! Many runs at once, with what a list shows of each.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::results::{WAITING, in_parallel};
use crate::{Remarks, RunConfig, RunDir, RunResult, Status, Store, StoreError};

/// A run with what a list shows of it.
#[derive(Clone, Debug)]
pub struct ListedRun {
    /// Its directory.
    pub dir: RunDir,
    /// Its state in one word: those of [`RunState::name`](crate::RunState::name), and `diverged` for a finished run that
    /// diverged.
    pub state: &'static str,
    /// Its configuration; `None` if it is absent or damaged.
    pub config: Option<RunConfig>,
    /// Its result without the curves of its tasks.
    pub result: Option<RunResult>,
    /// Tags and note.
    pub remarks: Remarks,
    /// When its processes last wrote, in seconds since 1970.
    pub changed: Option<u64>,
}

impl Store {
    /// Lists the runs that have a directory, in the order of their ids. Results are those of [`Store::results`], which reads
    /// the index where there is one.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a directory cannot be read.
    pub fn listed(&self) -> Result<Vec<ListedRun>, StoreError> {
        // A directory that is no run's is no reason to list none.
        let dirs: Vec<RunDir> = self.begun()?.iter().filter_map(|run| self.run(run).ok()).collect();
        let results = self.results(dirs.iter().map(RunDir::id))?;
        let found: Vec<(RunDir, Option<RunResult>)> = dirs.into_iter().zip(results).collect();
        Ok(in_parallel(&found, WAITING, |(dir, result)| listed(dir, result.as_ref())))
    }
}

fn listed(dir: &RunDir, result: Option<&RunResult>) -> ListedRun {
    let state = match result.map(|result| result.status) {
        Some(Status::Finished) => "finished",
        Some(Status::Diverged) => "diverged",
        None => dir.state_of_unfinished().name(),
    };
    ListedRun {
        state,
        config: dir.config().ok(),
        result: result.cloned(),
        remarks: dir.remarks(),
        changed: dir.progress_stamp().into_iter().flatten().map(|(_, time)| seconds(time)).max(),
        dir: dir.clone(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
