//! Many runs at once, with what a list shows of each.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Templates;
use crate::results::{Hit, WAITING, in_parallel};
use crate::{Remarks, RunDir, RunId, RunResult, SharedConfig, Status, Store, StoreError};

/// A run with what a list shows of it.
#[derive(Clone, Debug)]
pub struct ListedRun {
    /// Its name.
    pub run: RunId,
    /// Its state in one word: those of [`RunState::name`](crate::RunState::name), and `diverged` for a finished run
    /// that diverged.
    pub state: &'static str,
    /// Its configuration, from the index where that holds it; `None` if it is absent or damaged.
    pub config: Option<SharedConfig>,
    /// Its result without the curves of its tasks.
    pub result: Option<Box<RunResult>>,
    /// Tags and note.
    pub remarks: Remarks,
    /// When its result was written or, if it has none, when its processes last wrote, in seconds since 1970.
    pub changed: Option<u64>,
}

impl Store {
    /// Lists the runs that have a directory, in the order of their ids. Results are those of [`Store::results`], which
    /// reads the index where there is one.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a directory cannot be read.
    pub fn listed(&self) -> Result<Vec<ListedRun>, StoreError> {
        // A directory that is no run's is no reason to list none.
        let runs: Vec<RunId> = self.begun()?.into_iter().collect();
        let hits = self.hits(&runs)?;
        let templates = Templates::default();
        let pairs: Vec<_> = runs.iter().zip(&hits).collect();
        let beside = in_parallel(&pairs, WAITING, |(run, hit)| {
            self.run(run).map(|dir| Beside::of(&dir, hit.as_ref(), &templates))
        });
        drop(pairs);
        let listed = runs.into_iter().zip(hits).zip(beside);
        listed.map(|((run, hit), beside)| Ok(listed_as(run, hit, beside?))).collect()
    }
}

/// What the other files of a run tell.
struct Beside {
    /// State and last change of a run without a result.
    unfinished: Option<(&'static str, Option<u64>)>,
    /// The configuration, if the index does not hold it.
    config: Option<SharedConfig>,
    remarks: Remarks,
}

impl Beside {
    fn of(dir: &RunDir, hit: Option<&Hit>, templates: &Templates) -> Self {
        let changed = || dir.progress_stamp().into_iter().flatten().map(|(_, time)| seconds(time)).max();
        Self {
            unfinished: hit.is_none().then(|| (dir.state_of_unfinished().name(), changed())),
            config: match hit {
                Some(Hit { config: Some(_), .. }) => None,
                _ => dir.config().ok().map(|config| templates.shared(config)),
            },
            remarks: dir.remarks(),
        }
    }
}

fn listed_as(run: RunId, hit: Option<Hit>, beside: Beside) -> ListedRun {
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
    ListedRun { run, state, config, result, remarks, changed }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
