//! The runs of an experiment.

use std::io;
use std::sync::Arc;

use hashlab_data::Modality;
use hashlab_settings::Settings;
use hashlab_store::{RunConfig, RunId, SharedConfig};

use crate::external::CodesFile;
use crate::pruning::Pruning;

/// All runs of an experiment, and their common facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The experiment's name: the stem of its file.
    pub name: String,
    /// Data set name.
    pub dataset: String,
    /// The data set's name as papers print it.
    pub dataset_title: String,
    /// Protocol name.
    pub protocol: String,
    /// Description of the protocol, one line: sizes and source.
    pub protocol_description: String,
    /// How runs are stopped early; `None` if all go on to their end.
    pub pruning: Option<Pruning>,
    /// The runs: by method, then grid point, then code length, then seed.
    pub runs: Vec<PlannedRun>,
    /// The runs of external rows: by row, then code length, then seed.
    pub external: Vec<PlannedExternal>,
}

/// A run that measures codes which others computed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedExternal {
    /// The run. Its configuration has the digests of the files in the place of hyperparameters.
    pub run: PlannedRun,
    /// Whether each seed has files of its own.
    pub seeded: bool,
    /// The path of the row's files as the experiment has it, with places for what differs.
    pub codes: String,
    /// The run's files.
    pub files: Vec<CodesFile>,
}

/// One run of a plan. Runs share common parts, as there may be a hundred thousand.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// The run.
    pub id: RunId,
    /// Identity of the setting, which the run shares with its repetitions under other seeds.
    pub setting: Arc<str>,
    /// Index of the `[[method]]`, counted from 0.
    pub method: usize,
    /// The row of its result in a table.
    pub label: Arc<str>,
    /// Point of the run's setting in its row, e.g. `tau` and `train.epochs`: the keys that a grid varies, and all
    /// others in which the row differs. A key that is not set is `null`.
    pub point: Arc<Settings>,
    /// Code length in bits.
    pub bits: usize,
    /// Seed.
    pub seed: u64,
    pub(crate) template: Arc<RunConfig>,
}

impl PlannedRun {
    /// A run outside of any experiment: the row is called after its method, and nothing varies.
    pub fn alone(config: RunConfig) -> Self {
        let (id, setting, label) = (config.id(), config.setting().into(), config.method.clone().into());
        let SharedConfig { template, bits, seed } = config.into();
        Self { id, setting, method: 0, label, point: Arc::default(), bits, seed, template }
    }

    /// The run's configuration.
    pub fn config(&self) -> RunConfig {
        self.template.of_run(self.bits, self.seed)
    }

    /// The configuration that the run shares with those of other code lengths and seeds; these two are 0 in it.
    pub fn template(&self) -> &RunConfig {
        &self.template
    }

    /// Whether two runs differ in code length, seed and what follows from them alone.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let same_row = self.method == other.method && self.label == other.label;
        same_row && self.shares_template(other) && (Arc::ptr_eq(&self.point, &other.point) || self.point == other.point)
    }

    /// Whether two runs share one template, as neighbors of a plan do that differ in code length and seed.
    pub fn shares_template(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.template, &other.template)
    }
}

/// The most runs of a plan. More can only be a mistake, and would not fit into memory.
pub const MOST_RUNS: usize = 1_000_000;

/// Reason why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An encoder of the experiment is not available.
    #[error("{message}")]
    Encoder {
        /// The modality.
        modality: Modality,
        /// The resolver's message.
        message: String,
    },
    /// Two rows of the table would hold one run.
    #[error(
        "rows `{first}` and `{second}` both hold run {id}\nhelp: give both methods one `label`, or drop one of them"
    )]
    SharedRun {
        /// The run.
        id: RunId,
        /// Label of the first row.
        first: String,
        /// Label of the other.
        second: String,
    },
    /// A file of codes of an external row cannot be read.
    #[error("{0}")]
    Codes(String),
    /// Two external rows have the same files.
    #[error("rows `{first}` and `{second}` have the same codes (run {id})\nhelp: drop one of them")]
    SharedCodes {
        /// The run.
        id: RunId,
        /// Label of the first row.
        first: String,
        /// Label of the other.
        second: String,
    },
    /// More than [`MOST_RUNS`].
    #[error(
        "the experiment has more than {} runs: methods × points of grids × code lengths × seeds\n\
         help: shorten `seeds`, `bits` or a grid, or divide the experiment into several files",
        MOST_RUNS
    )]
    TooManyRuns,
    /// The system cannot read a stored plan.
    #[error("cannot read line {line} of the plan: {error}")]
    Unreadable {
        /// Line, counted from 1.
        line: usize,
        /// The system's error.
        error: io::Error,
    },
    /// A stored plan is damaged, or of another version.
    #[error("line {line} of the plan: {message}")]
    Stored {
        /// Line, counted from 1.
        line: usize,
        /// The problem.
        message: String,
    },
}
