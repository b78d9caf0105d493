//! Many runs at once, with what a list shows of each.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::results::{Hit, WAITING, in_parallel};
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
    /// When its result was written or, if it has none, when its processes last wrote, in seconds since 1970.
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
        let hits = self.hits(&dirs)?;
        let pairs: Vec<_> = dirs.iter().zip(&hits).collect();
        let beside = in_parallel(&pairs, WAITING, |(dir, hit)| Beside::of(dir, hit.as_ref()));
        drop(pairs);
        Ok(dirs.into_iter().zip(hits).zip(beside).map(|((dir, hit), beside)| listed(dir, hit, beside)).collect())
    }
}

/// What the other files of a run tell.
struct Beside {
    /// State and last change of a run without a result.
    unfinished: Option<(&'static str, Option<u64>)>,
    /// The configuration, if the index does not hold it.
    config: Option<RunConfig>,
    remarks: Remarks,
}

impl Beside {
    fn of(dir: &RunDir, hit: Option<&Hit>) -> Self {
        let changed = || dir.progress_stamp().into_iter().flatten().map(|(_, time)| seconds(time)).max();
        Self {
            unfinished: hit.is_none().then(|| (dir.state_of_unfinished().name(), changed())),
            config: if hit.is_some_and(|hit| hit.config.is_some()) { None } else { dir.config().ok() },
            remarks: dir.remarks(),
        }
    }
}

fn listed(dir: RunDir, hit: Option<Hit>, beside: Beside) -> ListedRun {
    let Beside { unfinished, config, remarks } = beside;
    let (mut state, mut changed) = unfinished.unwrap_or_default();
    let (mut result, mut config) = (None, config);
    if let Some(hit) = hit {
        state = match hit.result.status {
            Status::Finished => "finished",
            Status::Diverged => "diverged",
        };
        (changed, config, result) = (hit.written, config.or(hit.config), Some(hit.result));
    }
    ListedRun { dir, state, config, result, remarks, changed }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
