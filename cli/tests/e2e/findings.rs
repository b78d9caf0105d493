//! What a sweep found, without what differs between repetitions.

use std::fs;

use hashlab_store::RunDir;
use hashlab_store::{RunConfig, RunResult};

use crate::lab::{Lab, NAME};

/// Everything that must be the same, bit for bit, however a sweep came to its end.
#[derive(Debug, PartialEq)]
pub(crate) struct Findings {
    /// The table without times.
    pub(crate) table: String,
    /// The runs in the order of the plan.
    pub(crate) runs: Vec<RunFindings>,
}

/// What a run found.
#[derive(Debug, PartialEq)]
pub(crate) struct RunFindings {
    pub(crate) config: RunConfig,
    result: RunResult,
    /// `metrics.jsonl`.
    pub(crate) metrics: String,
}

impl Findings {
    /// Reads what the finished sweep of `lab` found.
    pub(crate) fn of(lab: &Lab) -> Self {
        let runs = lab.runs().iter().map(RunFindings::of).collect();
        Self { table: lab.ok(&["table", NAME, "--no-times"]), runs }
    }
}

impl RunFindings {
    pub(crate) fn of(run: &RunDir) -> Self {
        let mut result = run.result().unwrap_or_else(|| panic!("{} has no result", run.id()));
        result.seconds.clear();
        result.attempts = 0;
        for varying in ["argv", "host", "peak_rss_mib", "stacked", "threads"] {
            result.provenance.remove(varying);
        }
        let metrics = fs::read_to_string(run.path().join("metrics.jsonl")).unwrap();
        Self { config: run.config().unwrap(), result, metrics }
    }
}
