//! Gathers what a page shows beside a report: what runs left in their directories, and nothing else.

use anyhow::Result;
use hashlab_report::{Details, ReportedRun, RunDetails, SweepReport, runs_with_queries};
use hashlab_store::{RunDir, RunState, Store};

use crate::Workspace;

/// Bytes of a log's end that a page shows.
const LOG: u64 = 3000;

impl Workspace {
    /// Reads what a report's runs left beside their results.
    ///
    /// # Errors
    /// If a run's name is none.
    pub fn details(&self, report: &SweepReport) -> Result<Details> {
        let store: Store = self.dirs.store();
        let shown = runs_with_queries(report);
        let mut all = Details::new();
        for run in &report.runs {
            let dir = store.run(&run.run)?;
            all.insert(run.run.clone(), details(&dir, shown.contains(&run.run)));
        }
        Ok(all)
    }

    /// Reads the single queries that a report's runs kept, and nothing else of them.
    ///
    /// # Errors
    /// If a run's name is none.
    pub fn queries(&self, report: &SweepReport) -> Result<Details> {
        let store = self.dirs.store();
        let of_run = |run: &ReportedRun| {
            let queries = store.run(&run.run)?.queries();
            Ok((run.run.clone(), RunDetails { queries, ..RunDetails::default() }))
        };
        report.runs.iter().map(of_run).collect()
    }
}

fn details(dir: &RunDir, queries: bool) -> RunDetails {
    let state = match dir.state() {
        RunState::Running => Some("running"),
        RunState::Interrupted { .. } => Some("interrupted"),
        _ => None,
    };
    RunDetails {
        config: dir.config().ok(),
        state,
        journal: dir.metrics(),
        codes: dir.codes(),
        queries: if queries { dir.queries() } else { None },
        items: if queries { dir.items() } else { None },
        error: dir.failure().map(|failure| failure.message),
        log: dir.log_tail(LOG),
        directory: dir.path().display().to_string(),
    }
}
