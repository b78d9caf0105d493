//! How much of a large sweep a page shows.

use std::collections::{BTreeMap, BTreeSet};

use hashlab_store::{RunId, counted};

use crate::aggregate::{Comparison, in_plan_order};
use crate::encodings::apart;
use crate::sweep_report::{Outcome, ReportedRun, SweepReport};

/// The most runs that a page lists, with a drawer for each. A browser is slow with many more.
const RUNS: usize = 1000;

/// The most settings that a page's tables and figures of all settings hold.
pub(crate) const SETTINGS: usize = 1000;

/// The most reasons that a list of failures quotes.
pub(crate) const REASONS: usize = 20;

/// The runs that a page lists: all, or of a large sweep those that failed or diverged, then those of the settings that
/// its tables show, seed by seed, then the others in the order of the plan.
pub fn runs_of_page(report: &SweepReport) -> Vec<RunId> {
    let runs = in_plan_order(&report.runs);
    if runs.len() <= RUNS {
        return runs.iter().map(|run| run.run.clone()).collect();
    }
    let failed = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed { .. } | Outcome::Diverged(_)));
    let ordered =
        failed.map(|run| run.run.clone()).chain(shown_runs(report)).chain(runs.iter().map(|run| run.run.clone()));
    let mut seen = BTreeSet::new();
    ordered.filter(|run| seen.insert(run.clone())).take(RUNS).collect()
}

/// The runs of the settings that tables show: the first of each setting, then the second of each, and so on.
pub fn shown_runs(report: &SweepReport) -> Vec<RunId> {
    let runs = apart(&report.runs);
    let comparison = Comparison::of(&runs);
    let shown: Vec<&Vec<&ReportedRun>> =
        comparison.rows.iter().flat_map(|row| row.shown()).map(|setting| &setting.runs).collect();
    let seeds = shown.iter().map(|runs| runs.len()).max().unwrap_or(0);
    let mut seen = BTreeSet::new();
    let by_seed = (0..seeds).flat_map(|at| shown.iter().filter_map(move |runs| runs.get(at)));
    by_seed.map(|run| run.run.clone()).filter(|run| seen.insert(run.clone())).collect()
}

/// A run of every setting, whose configuration stands for the setting's; none where there are too many settings.
pub fn run_of_each_setting(report: &SweepReport) -> Vec<RunId> {
    let mut first: BTreeMap<&str, &RunId> = BTreeMap::new();
    for run in &report.runs {
        first.entry(&run.setting).or_insert(&run.run);
    }
    if first.len() > SETTINGS { Vec::new() } else { first.into_values().cloned().collect() }
}

/// Says which runs a page leaves out, and what shows them; `None` if it lists all.
pub(crate) fn left_out(report: &SweepReport, listed: usize) -> Option<String> {
    let all = in_plan_order(&report.runs).len();
    (listed < all).then(|| {
        format!(
            "{listed} of {} are listed, with their curves, codes and training: those that failed or diverged, then \
             those of the settings that the tables show, seed by seed, then the first of the others. The tables are over \
             all runs. `hashlab table {} --format jsonl` prints every run.",
            counted(all, "run"),
            report.name
        )
    })
}
