//! Tables of an experiment file.

use hashlab_data::Modality;
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::search::{DEFAULT_GENERATION, SearchKind};

/// A table of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// The keys at the top of the file: [`General`].
    General,
    /// A method's hyperparameters.
    Params,
    /// `[data]`: the data set's own settings.
    Data,
    /// `[image]` or `[text]`: the encoder of a modality.
    Encoder(Modality),
    /// `[train]`.
    Train,
    /// `[eval]`.
    Eval,
    /// `[pruning]`.
    Pruning,
}

impl Section {
    /// The tables that a file shares between its methods.
    pub(crate) fn shared() -> Vec<Self> {
        let mut sections = Self::varied();
        sections.insert(0, Self::Data);
        sections.extend([Self::Eval, Self::Pruning]);
        sections
    }

    /// The shared tables that a method may override and a grid may vary.
    pub(crate) fn varied() -> Vec<Self> {
        Modality::ALL.map(Self::Encoder).into_iter().chain([Self::Train]).collect()
    }

    /// All tables, in the order in which their keys are listed.
    pub(crate) fn all() -> Vec<Self> {
        [Self::General, Self::Params].into_iter().chain(Self::shared()).collect()
    }

    /// The table's key.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::General => "experiment",
            Self::Data => "data",
            Self::Encoder(modality) => modality.name(),
            Self::Train => "train",
            Self::Eval => "eval",
            Self::Pruning => "pruning",
            Self::Params => "params",
        }
    }

    /// A key of the table as a grid writes it: `tau`, `train.epochs`.
    pub(crate) fn path(self, key: &str) -> String {
        match self {
            Self::General | Self::Params => key.to_owned(),
            section => format!("{}.{key}", section.key()),
        }
    }
}

/// The items of some modalities: `images`, `images and texts`.
pub(crate) fn names(modalities: impl IntoIterator<Item = Modality>) -> String {
    let plural = |modality: Modality| format!("{modality}s");
    modalities.into_iter().map(plural).collect::<Vec<_>>().join(" and ")
}

/// The keys at the top of the file.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct General {
    /// Name of the data set.
    pub(crate) dataset: Option<String>,
    /// Name of the protocol; the data set's first by default.
    pub(crate) protocol: Option<String>,
    /// Seed of the split.
    pub(crate) split_seed: u64,
    /// Code lengths.
    #[schemars(inner(range(min = 1, max = 1024)))]
    pub(crate) bits: Vec<usize>,
    /// Seeds, one run each.
    pub(crate) seeds: Vec<u64>,
    /// Points of a method's `grid`: all combinations of its lists (`grid`), or `trials` points that draw from lists and
    /// ranges: of a pseudo-random (`random`) or a Sobol sequence (`sobol`), or proposed from the validation mAP of
    /// earlier points (`tpe`).
    pub(crate) search: SearchKind,
    /// Number of points of a search that is no `grid`.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) trials: Option<usize>,
    /// Seed of the points of a search.
    pub(crate) search_seed: u64,
    /// `tpe`: number of points that are proposed at once, and run side by side.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) generation: usize,
}

impl Default for General {
    fn default() -> Self {
        Self {
            dataset: None,
            protocol: None,
            split_seed: 0,
            bits: Vec::new(),
            seeds: vec![0],
            search: SearchKind::Grid,
            trials: None,
            search_seed: 0,
            generation: DEFAULT_GENERATION,
        }
    }
}

impl Params for General {
    fn check(&self) -> Violations {
        Violations::none()
    }
}

impl General {
    /// An example line with a key.
    pub(crate) fn example(key: &str) -> Option<&'static str> {
        match key {
            "bits" => Some("`bits = [16, 32]`: the code lengths to try"),
            "seeds" => Some("`seeds = [0, 1, 2]`: one run per seed"),
            "search" => Some("default: grid"),
            "trials" => Some("`trials = 20`: the number of points of a search"),
            _ => None,
        }
    }
}
