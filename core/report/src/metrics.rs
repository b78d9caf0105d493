//! Which metrics a table shows.

use std::collections::BTreeSet;

use hashlab_eval::{Depth, MetricInfo, known_metrics};
use hashlab_store::Name;

use crate::error::ReportError;
use crate::sweep_report::{ReportedRun, SweepReport};

/// Shown below the primary metric: depends neither on the depth nor on the order of equal distances.
const SECOND_METRIC: &str = "map_all_expected";

/// Looks a metric up.
pub(crate) fn info(name: &str) -> Option<&'static MetricInfo> {
    MetricInfo::named(name)
}

/// Heading of a metric; its name where it is unknown.
pub(crate) fn title(name: &str, depth: Depth) -> String {
    info(name).map_or_else(|| name.to_owned(), |metric| metric.title_at(depth))
}

/// Refuses names that are no metric, before anything runs.
pub(crate) fn check_names(names: &[String]) -> Result<(), ReportError> {
    names.iter().find(|name| info(name).is_none()).map_or(Ok(()), |name| Err(unknown(name)))
}

fn unknown(name: &str) -> ReportError {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let closest = known_metrics().iter().map(|m| m.name).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    ReportError::UnknownMetric {
        metric: name.to_owned(),
        closest: closest.filter(|known| likeness(known) > 0.8),
        known: known_metrics().iter().map(|m| m.name).collect::<Vec<_>>().join(", "),
    }
}

/// Resolves which metrics to show: those asked for, if any run was measured by them.
pub(crate) fn chosen(report: &SweepReport, asked: &[String]) -> Result<Vec<String>, ReportError> {
    let measured = measured(report);
    if asked.is_empty() {
        let second = measured.contains(SECOND_METRIC).then_some(SECOND_METRIC);
        return Ok([report.header.primary()].into_iter().chain(second).map(str::to_owned).collect());
    }
    for metric in asked.iter().filter(|name| !measured.contains(name.as_str())) {
        if info(metric).is_none() {
            return Err(unknown(metric));
        }
        if !measured.is_empty() {
            return Err(ReportError::UnmeasuredMetric {
                sweep: report.name.clone(),
                metric: metric.clone(),
                measured: measured.into_iter().collect::<Vec<_>>().join(", "),
            });
        }
    }
    Ok(asked.to_vec())
}

/// Names of the metrics that finished runs have.
pub(crate) fn measured(report: &SweepReport) -> BTreeSet<&str> {
    let results = report.runs.iter().filter_map(ReportedRun::finished);
    results.flat_map(|r| r.test.values()).flat_map(|task| task.metrics.keys().map(Name::as_str)).collect()
}
