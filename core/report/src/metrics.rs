//! Metrics: names, titles, definitions, and which of them a table shows.

use std::collections::BTreeSet;

use crate::depth::Depth;
use crate::error::ReportError;
use crate::sweep_report::{ReportedRun, SweepReport};

/// The primary metric: it selects epochs and settings, on validation queries, and the first table shows it.
pub const PRIMARY_METRIC: &str = "map_at_k";

/// Shown below the primary metric: depends neither on the depth nor on the order of equal distances.
const SECOND_METRIC: &str = "map_all_expected";

/// A metric that runs are measured by. In its texts, `K` stands for the depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name in results and options, e.g. `map_at_k`.
    pub name: &'static str,
    /// Heading, e.g. `mAP@K`.
    pub title: &'static str,
    /// What is measured of a query.
    pub definition: &'static str,
    /// What it is divided by; empty for a count.
    pub divisor: &'static str,
    /// Which queries enter the mean; empty for a count.
    pub averaged: &'static str,
    /// Papers and code that use this definition.
    pub used_by: &'static [&'static str],
}

const BY_POSITION: &str = "average precision of the ranking by (Hamming distance, database position)";
const ALL_QUERIES: &str = "all queries, one without a hit counts 0";

const KNOWN: &[MetricInfo] = &[
    MetricInfo {
        name: PRIMARY_METRIC,
        title: "mAP@K",
        definition: BY_POSITION,
        divisor: "the relevant items among the top K",
        averaged: ALL_QUERIES,
        used_by: &["CIBHash", "DeepHash-pytorch", "UCMFH", "NSH"],
    },
    MetricInfo {
        name: "map_at_k_hit_queries",
        title: "mAP@K of queries with a hit",
        definition: BY_POSITION,
        divisor: "the relevant items among the top K",
        averaged: "the queries with a relevant item among the top K",
        used_by: &["HashNet's PyTorch code"],
    },
    MetricInfo {
        name: "map_at_k_min_divisor",
        title: "mAP@K over min(K, relevant)",
        definition: BY_POSITION,
        divisor: "min(K, the relevant items)",
        averaged: ALL_QUERIES,
        used_by: &[],
    },
    MetricInfo {
        name: "map_all",
        title: "mAP@all",
        definition: BY_POSITION,
        divisor: "the relevant items",
        averaged: ALL_QUERIES,
        used_by: &["DCMH"],
    },
    MetricInfo {
        name: SECOND_METRIC,
        title: "mAP@all, expected over ties",
        definition: "average precision of the whole ranking, expected over the orders of items at equal distance",
        divisor: "the relevant items",
        averaged: ALL_QUERIES,
        used_by: &[],
    },
    MetricInfo {
        name: "ndcg_at_k",
        title: "NDCG@K",
        definition: "gain 1 per relevant item among the top K, discounted by log2(rank + 1)",
        divisor: "the best ranking's",
        averaged: ALL_QUERIES,
        used_by: &[],
    },
    MetricInfo {
        name: "precision_radius2",
        title: "Precision within Hamming radius 2",
        definition: "relevant items within Hamming distance 2",
        divisor: "all items there",
        averaged: "all queries, one with no item there counts 0",
        used_by: &["HashNet"],
    },
    MetricInfo {
        name: "queries_without_hit",
        title: "Queries without a hit",
        definition: "number of queries without a relevant item among the top K",
        divisor: "",
        averaged: "",
        used_by: &[],
    },
];

/// Every metric that runs are measured by.
pub fn known_metrics() -> &'static [MetricInfo] {
    KNOWN
}

impl MetricInfo {
    /// The definition in one sentence, for a depth.
    pub fn sentence(&self, depth: Depth) -> String {
        let mean = match self.divisor {
            "" => self.definition.to_owned(),
            divisor => format!("{}, divided by {divisor}; mean over {}", self.definition, self.averaged),
        };
        at_depth(&mean, depth)
    }

    /// Whether the best value of a column is its greatest; of a count of misses it is not.
    pub(crate) fn more_is_better(&self) -> bool {
        !self.divisor.is_empty()
    }
}

/// Replaces `K` by the depth.
fn at_depth(text: &str, depth: Depth) -> String {
    match depth {
        Depth::At(depth) => text.replace('K', &depth.to_string()),
        Depth::All => text
            .replace("@K", "@all")
            .replace(" among the top K", "")
            .replace("min(K, the relevant items)", "the relevant items")
            .replace("min(K, relevant)", "relevant"),
    }
}

/// Looks a metric up.
pub(crate) fn info(name: &str) -> Option<&'static MetricInfo> {
    KNOWN.iter().find(|metric| metric.name == name)
}

/// Heading of a metric; its name where it is unknown.
pub(crate) fn title(name: &str, depth: Depth) -> String {
    info(name).map_or_else(|| name.to_owned(), |metric| at_depth(metric.title, depth))
}

/// Refuses names that are no metric, before anything runs.
pub(crate) fn check_names(names: &[String]) -> Result<(), ReportError> {
    names.iter().find(|name| info(name).is_none()).map_or(Ok(()), |name| Err(unknown(name)))
}

fn unknown(name: &str) -> ReportError {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let closest = KNOWN.iter().map(|m| m.name).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    ReportError::UnknownMetric {
        metric: name.to_owned(),
        closest: closest.filter(|known| likeness(known) > 0.8),
        known: KNOWN.iter().map(|m| m.name).collect::<Vec<_>>().join(", "),
    }
}

/// Resolves which metrics to show: those asked for, if any run was measured by them.
pub(crate) fn chosen(report: &SweepReport, asked: &[String]) -> Result<Vec<String>, ReportError> {
    let measured = measured(report);
    if asked.is_empty() {
        let second = measured.contains(SECOND_METRIC).then_some(SECOND_METRIC);
        return Ok([PRIMARY_METRIC].into_iter().chain(second).map(str::to_owned).collect());
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
    results.flat_map(|r| r.test.values()).flat_map(|task| task.metrics.keys().map(String::as_str)).collect()
}
