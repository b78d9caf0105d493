//! What is kept of a run: its resolved configuration, its identity and its result.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Settings;

/// Version of the stored formats; raised when their meaning changes.
pub const SCHEMA: u32 = 1;

/// A run's complete, resolved configuration. Only what can change a result is in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// [`SCHEMA`] when the run was planned.
    pub schema: u32,
    /// Method name.
    pub method: String,
    /// The method's revision.
    pub revision: u32,
    /// Every hyperparameter of the method.
    pub params: Settings,
    /// Code length in bits.
    pub bits: usize,
    /// Seed of everything random in the run but the split.
    pub seed: u64,
    /// Data set name.
    pub dataset: String,
    /// The data set's declared identity.
    pub dataset_identity: String,
    /// The data set's settings.
    pub data: Settings,
    /// Protocol name.
    pub protocol: String,
    /// Seed of the split and of the database's order.
    pub split_seed: u64,
    /// `[backbone]`, with the weights' digest in place of where the file lies. Without `views` where the method
    /// sees no augmented views.
    pub backbone: Settings,
    /// `[train]`; empty for closed-form methods.
    pub train: Settings,
    /// `[eval]`.
    pub eval: Settings,
}

impl RunConfig {
    /// Derives the run's identity: the readable part and twelve hexadecimal digits of the configuration's digest.
    pub fn id(&self) -> RunId {
        let digest = self.digest();
        RunId(format!("{}-b{}-s{}-{}", self.method, self.bits, self.seed, &digest[..12]))
    }

    /// Derives the identity of the run's trial: all but the seed.
    pub fn trial(&self) -> String {
        Self { seed: 0, ..self.clone() }.digest()[..12].to_owned()
    }

    /// Digests the canonical form (sorted keys, no white space).
    fn digest(&self) -> String {
        let value = serde_json::to_value(self).expect("a configuration is plain data");
        blake3::hash(canonical(&value).as_bytes()).to_hex().to_string()
    }
}

/// Renders JSON with sorted keys, so that equal values have equal text.
pub fn canonical(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let body: Vec<String> =
                sorted.iter().map(|(k, v)| format!("{}:{}", serde_json::json!(k), canonical(v))).collect();
            format!("{{{}}}", body.join(","))
        }
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
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

/// How a run ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Trained and evaluated.
    Finished,
    /// Stopped by NaN or divergence: a result in itself, not retried.
    Diverged,
}

/// What a run found. Written last; a run without one is not finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA`] when the run finished.
    pub schema: u32,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub status: Status,
    /// Why it diverged: the step and the loss terms.
    pub message: Option<String>,
    /// Metrics on the protocol's queries, by name: `map_at_k`, `map_all_expected`, `map_at_k_total`, `precision_radius2` … Fractions.
    pub test: BTreeMap<String, f64>,
    /// The same metrics on the validation queries.
    pub validation: BTreeMap<String, f64>,
    /// Epoch whose state was evaluated, counted from 1; 0 for closed-form methods.
    pub epoch: usize,
    /// Curves by name: `precision_at`, `recall_at` over `grid`, `radius_precision` … Empty where not asked for.
    pub curves: BTreeMap<String, Vec<f64>>,
    /// Wall-clock seconds by stage: `train`, `encode`, `evaluate`. The only part that differs between repetitions.
    pub seconds: BTreeMap<String, f64>,
    /// Provenance by name: `hashlab` version, `commit`, `dataset_digest`, `weights_digest`, `host`, `device`, `peak_rss_mb` …
    pub provenance: BTreeMap<String, String>,
}
