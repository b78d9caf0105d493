//! What the metrics are called and how they are defined, in words a table's header can carry.

use std::collections::BTreeSet;

use super::{Outcome, ReportError, SweepReport};

/// The metric that selects trials and that the first table shows.
pub const HEADLINE: &str = "map_at_k";

/// Shown below the headline: it depends neither on the depth nor on the order of equal distances.
const EXPECTED: &str = "map_all_expected";

/// Resolves which metrics to show; checks that they were measured.
pub(super) fn chosen(report: &SweepReport, asked: &[String]) -> Result<Vec<String>, ReportError> {
    let known = measured(report);
    if asked.is_empty() {
        let second = known.contains(EXPECTED).then_some(EXPECTED);
        return Ok([HEADLINE].into_iter().chain(second).map(str::to_owned).collect());
    }
    match asked.iter().find(|m| !known.is_empty() && !known.contains(m.as_str())) {
        Some(metric) => Err(ReportError::Metric {
            sweep: report.name.clone(),
            metric: metric.clone(),
            known: known.into_iter().collect::<Vec<_>>().join(", "),
        }),
        None => Ok(asked.to_vec()),
    }
}

/// Names of the metrics that finished runs have.
fn measured(report: &SweepReport) -> BTreeSet<&str> {
    let finished = report.entries.iter().filter_map(|e| match &e.outcome {
        Outcome::Finished(result) => Some(result),
        _ => None,
    });
    finished.flat_map(|r| r.test.keys().map(String::as_str)).collect()
}

/// The depth as papers write it: `mAP@1000`, `mAP@all`.
pub(super) fn map_at(depth: usize) -> String {
    if depth == 0 { "mAP@all".to_owned() } else { format!("mAP@{depth}") }
}

/// A metric's name for a heading.
pub(super) fn title(metric: &str, depth: usize) -> String {
    let map = map_at(depth);
    match metric {
        HEADLINE => map,
        "map_at_k_skip_empty" => format!("{map}, queries with a hit"),
        "map_at_k_total" => format!("{map}, over all relevant items"),
        "map_all" => map_at(0),
        EXPECTED => format!("{}, expectation over ties", map_at(0)),
        "ndcg_at_k" => map.replacen("mAP", "NDCG", 1),
        "precision_radius2" => "precision within Hamming radius 2".to_owned(),
        other => other.to_owned(),
    }
}

/// A metric's definition in words; none for a metric this module does not know.
pub(super) fn definition(metric: &str, depth: usize) -> Option<String> {
    let zero = "a query without a hit counts 0";
    let ranked = "ranked by (Hamming distance, database position)";
    let top = if depth == 0 { String::new() } else { format!(" among the top {depth}") };
    let best = if depth == 0 { "the relevant items".to_owned() } else { format!("min({depth}, relevant items)") };
    Some(match metric {
        HEADLINE => format!("AP divided by the relevant items{top}; {zero}; {ranked}"),
        "map_at_k_skip_empty" => {
            format!("AP divided by the relevant items{top}; without queries that have none; {ranked}")
        }
        "map_at_k_total" => format!("AP divided by {best}; {zero}; {ranked}"),
        "map_all" => format!("whole ranking, AP divided by the relevant items; {zero}; {ranked}"),
        EXPECTED => format!(
            "whole ranking, averaged over all orders of items at equal distance; AP divided by the relevant items; \
             {zero}"
        ),
        "ndcg_at_k" => format!("gain 1 per relevant item, discount log2(rank + 1); {ranked}"),
        "precision_radius2" => {
            "relevant fraction of the items within Hamming distance 2; a query that finds none counts 0".to_owned()
        }
        _ => return None,
    })
}

/// Whether the best of a column is its greatest value. Of a count of failures it is not, so that is left unmarked.
pub(super) fn more_is_better(metric: &str) -> bool {
    metric != "queries_without_hit"
}
