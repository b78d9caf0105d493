//! Records of a run: configuration, identity and result.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hashlab_data::{ByModality, SmallMap, Task};
use hashlab_settings::{Settings, canonical};
use serde::{Deserialize, Serialize};

use crate::Name;

/// Version of the stored formats; raised when their meaning changes.
pub const SCHEMA: u32 = 2;

/// A run's configuration: everything that can change its result, and nothing else.
///
/// Sections hold the keys that differ from their defaults, so that a key that is new in a later version changes no
/// [id](Self::id). A changed default raises the revision of the method or data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// [`SCHEMA`] when the run was planned.
    pub schema: u32,
    /// Method name.
    pub method: String,
    /// The method's revision.
    pub revision: u32,
    /// Hyperparameters of the method.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub params: Settings,
    /// Code length in bits.
    pub bits: usize,
    /// Seed of all randomness of the run except the split.
    pub seed: u64,
    /// Data set name.
    pub dataset: String,
    /// Identity of the data set's content.
    pub dataset_identity: String,
    /// `[data]`: the data set's settings.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub data: Settings,
    /// Protocol name.
    pub protocol: String,
    /// Seed of the split and of the database's order.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub split_seed: u64,
    /// `[image]` and `[text]`: the encoder of each modality that the run uses, with the digest of its weights instead
    /// of their file.
    pub encoders: ByModality<Settings>,
    /// `[train]`; empty for shallow methods.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub train: Settings,
    /// `[eval]`; `map_at` is always there, with the protocol's depth filled in.
    pub eval: Settings,
}

/// A run's configuration, of which it shares all but code length and seed with other runs, as there may be a hundred
/// thousand of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedConfig {
    template: Arc<RunConfig>,
    /// Code length in bits.
    pub bits: usize,
    /// Seed.
    pub seed: u64,
}

impl SharedConfig {
    /// Joins a configuration whose code length and seed are 0 with those of a run.
    pub(crate) fn new(template: Arc<RunConfig>, bits: usize, seed: u64) -> Self {
        Self { template, bits, seed }
    }

    /// The configuration without code length and seed, which are 0 in it.
    pub fn template(&self) -> &RunConfig {
        &self.template
    }

    /// The configuration of the run.
    pub fn config(&self) -> RunConfig {
        RunConfig { bits: self.bits, seed: self.seed, ..self.template().clone() }
    }
}

/// Configurations that were met without code length and seed, by their settings' identities.
#[derive(Default)]
pub(crate) struct Templates(Mutex<BTreeMap<String, Arc<RunConfig>>>);

impl Templates {
    /// The configuration, which shares its parts with those before it.
    pub(crate) fn shared(&self, config: RunConfig) -> SharedConfig {
        let (bits, seed) = (config.bits, config.seed);
        let template = RunConfig { bits: 0, seed: 0, ..config };
        let setting = template.setting();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let template = known.entry(setting).or_insert_with(|| Arc::new(template));
        SharedConfig::new(Arc::clone(template), bits, seed)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl RunConfig {
    /// Derives the run's identity: the readable part and twelve hexadecimal digits of the configuration's digest.
    pub fn id(&self) -> RunId {
        self.ids().id(self.bits, self.seed)
    }

    /// Derives the identity of the run's setting, which excludes the seed.
    pub fn setting(&self) -> String {
        self.ids().setting(self.bits)
    }

    /// Prepares the identities of all runs that differ from this one only in code length and seed.
    pub fn ids(&self) -> RunIds {
        let serde_json::Value::Object(fields) = serde_json::to_value(self).expect("a configuration is plain data")
        else {
            unreachable!("a configuration serializes to a table")
        };
        let mut keys: Vec<&String> = fields.keys().collect();
        keys.sort();
        // The text of [`canonical`], in pieces around the two numbers.
        let (mut parts, mut text) = (Vec::new(), String::new());
        for (at, key) in keys.into_iter().enumerate() {
            text += if at == 0 { "{" } else { "," };
            text += &format!("{}:", serde_json::Value::from(key.as_str()));
            let number = match key.as_str() {
                "bits" => Number::Bits,
                "seed" => Number::Seed,
                _ => {
                    text += &canonical(&fields[key]);
                    continue;
                }
            };
            parts.push((std::mem::take(&mut text), number));
        }
        RunIds { method: self.method.clone(), parts, end: text + "}" }
    }
}

/// Identities of runs that differ only in code length and seed; see [`RunConfig::ids`].
#[derive(Clone, Debug)]
pub struct RunIds {
    method: String,
    /// Text of the configuration, each piece with the number behind it.
    parts: Vec<(String, Number)>,
    end: String,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Bits,
    Seed,
}

impl RunIds {
    /// Derives a run's identity.
    pub fn id(&self, bits: usize, seed: u64) -> RunId {
        RunId(format!("{}-b{bits}-s{seed}-{}", self.method, self.digest(bits, seed)))
    }

    /// Derives the identity of the setting of a code length: that of its runs with any seed.
    pub fn setting(&self, bits: usize) -> String {
        self.digest(bits, 0)
    }

    /// Derives the identities of the runs of one code length. What comes before the seed is hashed once.
    pub fn of_seeds<'i>(&'i self, bits: usize, seeds: &'i [u64]) -> impl Iterator<Item = RunId> + 'i {
        let of_seed = |(_, number): &(String, Number)| matches!(number, Number::Seed);
        let at = self.parts.iter().position(of_seed).expect("every configuration has a seed");
        let mut common = blake3::Hasher::new();
        update(&mut common, &self.parts[..at], bits, 0);
        common.update(self.parts[at].0.as_bytes());
        seeds.iter().map(move |&seed| {
            let mut hasher = common.clone();
            hasher.update(seed.to_string().as_bytes());
            update(&mut hasher, &self.parts[at + 1..], bits, seed);
            RunId(format!("{}-b{bits}-s{seed}-{}", self.method, self.end_digest(hasher)))
        })
    }

    fn digest(&self, bits: usize, seed: u64) -> String {
        let mut hasher = blake3::Hasher::new();
        update(&mut hasher, &self.parts, bits, seed);
        self.end_digest(hasher)
    }

    fn end_digest(&self, mut hasher: blake3::Hasher) -> String {
        hasher.update(self.end.as_bytes());
        hasher.finalize().to_hex()[..12].to_owned()
    }
}

/// Hashes pieces of a configuration's text, each with the number behind it.
fn update(hasher: &mut blake3::Hasher, parts: &[(String, Number)], bits: usize, seed: u64) {
    for (text, number) in parts {
        hasher.update(text.as_bytes());
        let number = match number {
            Number::Bits => bits as u64,
            Number::Seed => seed,
        };
        hasher.update(number.to_string().as_bytes());
    }
}

/// A run's identity, e.g. `cibhash-b32-s0-1f0c2a9b7d3e`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The primary metric of results that name none.
pub const PRIMARY_METRIC: &str = "map_at_k";

/// Key of the numbers of items by role in the provenance of a run.
pub const SPLIT: &str = "split";

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
    /// Wall-clock seconds by stage: `train`, `encode`, `evaluate`. The only numbers that differ between repetitions.
    #[serde(default)]
    pub seconds: SmallMap<Name, f64>,
    /// Attempts to execute the run, this one included.
    #[serde(default)]
    pub attempts: u32,
    /// Provenance by name: `hashlab` version, `commit`, `diff_digest`, `core_digest`, `sources_digest`, `lock_digest`,
    /// `toolchain`, `dataset_digest`, `split`, `argv`, `host`, `system`, `processor`, `device`, `peak_rss_mib` … Seeds are in the
    /// configuration, attempts in a file of their own.
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
