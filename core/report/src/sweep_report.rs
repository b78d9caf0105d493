//! Data of a report: what a sweep's runs share, and what became of each of them.

use std::sync::Arc;

use hashlab_eval::{Definition, Depth};
use hashlab_settings::Settings;
use hashlab_store::{Name, RunId, RunResult};
use serde::{Deserialize, Serialize};

use crate::metrics;
use crate::setup::Setup;

/// Everything a sweep's tables are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepReport {
    /// Name of the sweep, e.g. `cifar10_methods`.
    pub name: String,
    /// What all its runs share.
    pub header: Header,
    /// The planned runs, in any order.
    pub runs: Vec<ReportedRun>,
}

/// What all runs of a sweep share. Versions and commits are read from the runs' own provenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Registered name of the data set, e.g. `cifar10`.
    pub dataset: String,
    /// Its name in a title, e.g. `CIFAR-10`.
    pub dataset_display: String,
    /// The data set in one line, e.g. `60,000 color photos of 32 × 32 pixels, ten classes`.
    pub dataset_description: String,
    /// Digest of the data set's content; `None` where it is unknown.
    pub dataset_digest: Option<String>,
    /// Protocol name, e.g. `cibhash`.
    pub protocol: String,
    /// The protocol in one line: sizes and source.
    pub protocol_description: String,
    /// Depth K of the primary metric mAP@K.
    pub map_at: Depth,
    /// Definition of the primary metric.
    #[serde(default, skip_serializing_if = "is_default")]
    pub definition: Definition,
    /// Digest of the settings that draw the items and the split, `[data]` and `split_seed`; `None` where it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// Command that made the sweep and repeats it.
    pub command: String,
    /// Further facts, e.g. `database order drawn by split_seed 0; ties in distance rank by position`.
    pub notes: Vec<String>,
}

fn is_default(definition: &Definition) -> bool {
    *definition == Definition::default()
}

impl Header {
    /// Name of the primary metric: it selects epochs and settings, on validation queries, and the first table shows it.
    pub(crate) fn primary(&self) -> &'static str {
        self.definition.metric()
    }

    /// Heading of the primary metric.
    pub(crate) fn primary_title(&self) -> String {
        metrics::title(self.primary(), self.map_at)
    }
}

/// A planned run and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedRun {
    /// Position in the plan, counted from 0; orders rows, settings and seeds.
    pub position: usize,
    /// Label of its row, e.g. `CIBHash` or `τ .5`.
    pub label: Name,
    /// Registered name of its method, e.g. `cibhash`.
    pub method: Name,
    /// Identity of its setting, [`RunConfig::setting`](hashlab_store::RunConfig::setting).
    pub setting: Name,
    /// The keys in which the settings of its row differ, with the setting's values.
    #[serde(with = "shared")]
    pub point: Arc<Settings>,
    /// Code length in bits.
    pub bits: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Whether the result depends on the seed. Methods without randomness run once and have no deviation.
    pub seeded: bool,
    /// Epoch selection and encoders.
    #[serde(with = "shared")]
    pub setup: Arc<Setup>,
    /// Identity of the run.
    pub run: RunId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a planned run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Trained and evaluated.
    Finished(Box<RunResult>),
    /// Stopped by NaN or divergence; its metrics enter no mean.
    Diverged(Box<RunResult>),
    /// Failed; can be tried again.
    Failed {
        /// First line of the error.
        first_line: String,
    },
    /// Stopped with a checkpoint before its end, as others did better on the validation queries; can go on.
    Stopped {
        /// Epochs done.
        epoch: usize,
    },
    /// Not started, running or interrupted.
    Missing,
}

/// What runs share, written with each.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

impl ReportedRun {
    /// Holds in common with another run what both have.
    pub(crate) fn sharing(&mut self, other: &Self) {
        if self.point == other.point {
            self.point = Arc::clone(&other.point);
        }
        if self.setup == other.setup {
            self.setup = Arc::clone(&other.setup);
        }
    }

    /// The result of a run that was trained and evaluated.
    pub fn finished(&self) -> Option<&RunResult> {
        match &self.outcome {
            Outcome::Finished(result) => Some(result),
            _ => None,
        }
    }

    /// Why the run has no metrics: the first line of its error, or how it diverged.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Failed { first_line } => Some(first_line),
            Outcome::Diverged(result) => result.message.as_deref(),
            _ => None,
        }
    }
}

impl Outcome {
    /// Name in files and notes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Diverged(_) => "diverged",
            Self::Failed { .. } => "failed",
            Self::Stopped { .. } => "stopped",
            Self::Missing => "missing",
        }
    }
}
