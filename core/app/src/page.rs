//! Gathers what a page shows beside a report: what runs left in their directories, and nothing else.

use std::collections::BTreeSet;

use anyhow::Result;
use hashlab_report::{Details, Outcome, RunDetails, SweepReport, run_of_each_setting, runs_with_queries};
use hashlab_store::{RunDir, RunId, RunState, Store};

use crate::Workspace;

/// Bytes of a log's end that a page shows.
const LOG: u64 = 3000;

impl Workspace {
    /// Reads what some of a report's runs left beside their results, and completes their results by the curves that a
    /// report of many runs does without. Of every setting, if they are not too many, the configuration is read, too.
    ///
    /// # Errors
    /// If a run's name is none.
    pub fn details(&self, report: &mut SweepReport, runs: &[RunId]) -> Result<Details> {
        let store: Store = self.dirs.store();
        let shown = runs_with_queries(report);
        let wanted: BTreeSet<&RunId> = runs.iter().collect();
        let mut all = Details::new();
        for run in run_of_each_setting(report).into_iter().filter(|run| !wanted.contains(run)) {
            let config = store.run(&run)?.config().ok().map(Box::new);
            all.insert(run, RunDetails { config, ..RunDetails::default() });
        }
        for run in runs {
            all.insert(run.clone(), details(&store.run(run)?, shown.contains(run)));
        }
        for run in report.runs.iter_mut().filter(|run| wanted.contains(&run.run)) {
            if let Outcome::Finished(result) | Outcome::Diverged(result) = &mut run.outcome
                && let Some(whole) = store.run(&run.run)?.result()
            {
                **result = whole;
            }
        }
        Ok(all)
    }

    /// Reads the average precision of the single queries that runs kept, and nothing else of them.
    ///
    /// # Errors
    /// If a run's name is none.
    pub fn queries<'r>(&self, runs: impl IntoIterator<Item = &'r RunId>) -> Result<Details> {
        let store = self.dirs.store();
        let mut details = Details::new();
        for run in runs {
            let Some(mut queries) = store.run(run)?.queries() else { continue };
            for task in queries.tasks.values_mut() {
                (task.best, task.worst) = Default::default();
                task.average_precision.shrink_to_fit();
            }
            details.insert(run.clone(), RunDetails { queries: Some(queries), ..RunDetails::default() });
        }
        Ok(details)
    }
}

fn details(dir: &RunDir, queries: bool) -> RunDetails {
    let state = match dir.state() {
        RunState::Running => Some("running"),
        RunState::Interrupted { .. } => Some("interrupted"),
        _ => None,
    };
    RunDetails {
        config: dir.config().ok().map(Box::new),
        state,
        journal: dir.metrics(),
        codes: dir.codes(),
        queries: if queries { dir.queries() } else { None },
        items: if queries { dir.items() } else { None },
        error: dir.failure().map(|failure| failure.message),
        retries: dir.attempts().into_iter().filter_map(|attempt| attempt.retry).collect(),
        log: dir.log_tail(LOG),
        directory: dir.path().display().to_string(),
    }
}
