//! What runs left beside their results, as far as figures and pages show it.

use std::collections::BTreeMap;

use hashlab_store::{CodeProfile, Point, QueryResults, RunConfig, RunId, ShownItems};

use crate::aggregate::{Comparison, Row};
use crate::encodings::apart;
use crate::sweep_report::SweepReport;

/// What runs left beside their results. Without it, as for a file of results, a page shows less.
pub type Details = BTreeMap<RunId, RunDetails>;

/// What a run left beside its result.
#[derive(Clone, Debug, Default)]
pub struct RunDetails {
    /// Its configuration.
    pub config: Option<Box<RunConfig>>,
    /// `running` or `interrupted`, where that is known of a run without a result.
    pub state: Option<&'static str>,
    /// What training measured: the loss, its terms, and the primary metric on the validation queries.
    pub journal: Vec<Point>,
    /// Statistics of single bits and of distances.
    pub codes: Option<CodeProfile>,
    /// The best and the worst queries; needed of the [`runs_with_queries`] alone.
    pub queries: Option<QueryResults>,
    /// What the items of these queries look like.
    pub items: Option<ShownItems>,
    /// The error of the last attempt, whole.
    pub error: Option<String>,
    /// Why and how attempts were repeated.
    pub retries: Vec<String>,
    /// The last lines of the log.
    pub log: String,
    /// The run's directory.
    pub directory: String,
}

/// The runs whose best and worst queries a page shows: of each row the first finished seed of the longest code.
pub fn runs_with_queries(report: &SweepReport) -> Vec<RunId> {
    let runs = apart(&report.runs);
    let comparison = Comparison::of(&runs);
    let of_row = |row: &Row<'_>| {
        let settings: Vec<_> = row.shown().filter(|s| s.any_finished()).collect();
        let longest = settings.into_iter().max_by_key(|s| s.bits)?;
        longest.runs.iter().find(|r| r.finished().is_some()).map(|r| r.run.clone())
    };
    comparison.rows.iter().filter_map(of_row).collect()
}
