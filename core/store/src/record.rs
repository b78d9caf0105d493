//! The result of a run, and results of its single queries.

use std::collections::BTreeMap;

use hashlab_data::{ByModality, SmallMap, Task};
use serde::{Deserialize, Serialize};

use crate::{Name, RunId, SCHEMA};

/// The primary metric of results that name none.
pub const PRIMARY_METRIC: &str = "map_at_k";

/// Key of the numbers of items by role in the provenance of a run.
pub const SPLIT: &str = "split";

/// Key of the number of runs that one process trained together, in the provenance of each. Its training time is a share
/// of theirs, and its peak memory that of the process.
pub const STACKED: &str = "stacked";

/// Key, among the seconds of a run, of the time in which an item is encoded, in a batch with others: that of all items of
/// all modalities, by their number.
pub const ENCODE_ITEM: &str = "encode_item";

/// Key, among the seconds of a run, of the time in which one thread finds the ten nearest items of a query: the median
/// of some queries, averaged over tasks.
pub const SEARCH_QUERY: &str = "search_query";

fn default_primary() -> Name {
    Name::new(PRIMARY_METRIC)
}

fn is_default_primary(name: &Name) -> bool {
    *name == PRIMARY_METRIC
}

/// Final status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Trained and evaluated.
    Finished,
    /// Stopped by NaN or divergence: a final result that is not retried.
    Diverged,
}

/// The result of a run. Written last; a run without one is not finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// [`SCHEMA`] when the run finished.
    pub schema: u32,
    /// The run.
    pub run: RunId,
    /// Final status.
    pub status: Status,
    /// Name of the primary metric, which selects and is reported first.
    #[serde(default = "default_primary", skip_serializing_if = "is_default_primary")]
    pub primary: Name,
    /// Reason of the divergence: the step and the loss terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Epoch whose state was evaluated, counted from 1; none for shallow methods and diverged runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<usize>,
    /// Epochs that were trained to their end; none for shallow methods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs_done: Option<usize>,
    /// Metrics on the protocol's queries, by task.
    #[serde(default)]
    pub test: SmallMap<Task, TaskResult>,
    /// Metrics on the validation queries, by task.
    #[serde(default)]
    pub validation: SmallMap<Task, TaskResult>,
    /// Statistics of the codes of all items.
    #[serde(default)]
    pub codes: ByModality<CodeStatistics>,
    /// Name of the encoding, for a method that has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Results of the same trained state with the method's other encodings, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_encodings: BTreeMap<String, EncodingResult>,
    /// Wall-clock seconds by stage: `train`, `encode`, `evaluate`; and of one item and one query, [`ENCODE_ITEM`] and
    /// [`SEARCH_QUERY`]. The only numbers that differ between repetitions.
    #[serde(default)]
    pub seconds: SmallMap<Name, f64>,
    /// Attempts to execute the run, this one included.
    #[serde(default)]
    pub attempts: u32,
    /// Provenance by name: `hashlab` version, `commit`, `diff_digest`, `core_digest`, `sources_digest`, `lock_digest`,
    /// `toolchain`, `dataset_digest`, `split`, `argv`, `host`, `system`, `processor`, `device`, `peak_rss_mib` … Seeds
    /// are in the configuration, attempts in a file of their own.
    #[serde(default)]
    pub provenance: SmallMap<Name, Name>,
}

/// Metrics of one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskResult {
    /// Metrics by name: `map_at_k`, `map_all_expected`, `precision_radius2` … Fractions, but for counts and gains.
    pub metrics: SmallMap<Name, f64>,
    /// Curves by name: `precision_at`, `recall_at` over `ranks`, `radius_precision` …
    #[serde(default, skip_serializing_if = "SmallMap::is_empty")]
    pub curves: SmallMap<Name, Vec<f64>>,
}

/// Result of another encoding than the one that selects the epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodingResult {
    /// Metrics on the protocol's queries, by task.
    pub test: SmallMap<Task, TaskResult>,
    /// Metrics on the validation queries, by task.
    pub validation: SmallMap<Task, TaskResult>,
    /// Statistics of the codes of all items.
    pub codes: ByModality<CodeStatistics>,
}

/// Statistics of codes that show a collapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeStatistics {
    /// Codes counted.
    pub items: usize,
    /// Different codes among them.
    pub distinct: usize,
    /// Items that share the most common code.
    pub most_common: usize,
    /// Bits that are the same in all codes.
    pub constant_bits: usize,
    /// Relaxed codes that are exactly 0, where the bit is defined by convention.
    pub zero_outputs: u64,
    /// Whether more than half of the items share one code.
    pub collapsed: bool,
}

/// Results of single test queries, in a file of their own beside the result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryResults {
    /// By task.
    pub tasks: SmallMap<Task, TaskQueries>,
}

/// Results of single queries of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskQueries {
    /// Average precision of the primary metric per query, in the split's order.
    pub average_precision: Vec<f32>,
    /// The queries with the highest average precision, best first.
    pub best: Vec<Neighbors>,
    /// The queries with the lowest average precision, worst first.
    pub worst: Vec<Neighbors>,
}

/// The nearest items of a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbors {
    /// The query's item index.
    pub query: u32,
    /// Its average precision.
    pub average_precision: f32,
    /// Item indices of the nearest database items, nearest first.
    pub items: Vec<u32>,
    /// Whether each of them is relevant.
    pub relevant: Vec<bool>,
}

impl RunResult {
    /// Wall-clock seconds of all stages, over all attempts.
    pub fn total_seconds(&self) -> f64 {
        let stages = self.seconds.iter().filter(|(name, _)| ![ENCODE_ITEM, SEARCH_QUERY].contains(&name.as_ref()));
        stages.map(|(_, seconds)| seconds).sum()
    }

    /// A result without metrics.
    pub fn empty(run: RunId, status: Status) -> Self {
        Self {
            schema: SCHEMA,
            run,
            status,
            primary: default_primary(),
            message: None,
            epoch: None,
            epochs_done: None,
            test: SmallMap::new(),
            validation: SmallMap::new(),
            codes: ByModality::default(),
            encoding: None,
            other_encodings: BTreeMap::new(),
            seconds: SmallMap::new(),
            attempts: 0,
            provenance: SmallMap::new(),
        }
    }

    /// The result without the curves of its tasks, which no table shows.
    pub(crate) fn without_curves(mut self) -> Self {
        let others = self.other_encodings.values_mut().flat_map(|found| [&mut found.test, &mut found.validation]);
        let all = [&mut self.test, &mut self.validation].into_iter().chain(others);
        all.flat_map(SmallMap::values_mut).for_each(|task| task.curves = SmallMap::new());
        self
    }

    /// The mean of the primary metric of the validation queries over the run's tasks.
    pub fn primary_validation(&self) -> Option<f64> {
        self.mean_validation(&self.primary)
    }

    /// The mean of a validation metric over the run's tasks; `None` if a task lacks it.
    pub fn mean_validation(&self, metric: &str) -> Option<f64> {
        mean(&self.validation, metric)
    }

    /// The mean of a test metric over the run's tasks; `None` if a task lacks it.
    pub fn mean_test(&self, metric: &str) -> Option<f64> {
        mean(&self.test, metric)
    }
}

fn mean(tasks: &SmallMap<Task, TaskResult>, metric: &str) -> Option<f64> {
    let values: Option<Vec<f64>> = tasks.values().map(|task| task.metrics.get(metric).copied()).collect();
    let values = values.filter(|values| !values.is_empty())?;
    Some(values.iter().sum::<f64>() / values.len() as f64)
}
