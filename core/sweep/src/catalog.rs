//! Methods, data sets and sections that an experiment file may name.

use std::sync::Arc;

use hashlab_data::{ByModality, DataError, DataKind, EncoderFacts, Modality, Needs, RunFacts};
use hashlab_settings::{Schema, Settings, Violations};
use serde::{Deserialize, Serialize};

/// Everything an experiment file may name.
///
/// A key of a shared section can be meant for some methods only: `#[schemars(extend("appliesTo" = "deep"))]` for deep
/// methods, `"augmented"` for those that learn from augmented views. The runs of other methods do not include it.
#[derive(Clone)]
pub struct Catalog {
    /// The registered methods.
    pub methods: Vec<MethodDecl>,
    /// The registered data sets.
    pub datasets: Vec<DatasetDecl>,
    /// The sections `[image]` and `[text]`: the encoder of each modality.
    pub encoders: ByModality<Schema>,
    /// Inspects the files that a complete encoder section names, such as its weights.
    pub inspect: Inspect,
    /// Inspects a file of codes of an external row.
    pub codes: InspectCodes,
    /// The section `[train]`.
    pub train: Schema,
    /// The section `[eval]`.
    pub eval: Schema,
}

/// A method, before it is built.
#[derive(Clone)]
pub struct MethodDecl {
    /// Snake-case name, as experiment files write it.
    pub name: String,
    /// Name as papers print it, e.g. `CIBHash`.
    pub title: String,
    /// Paper: authors, venue and year.
    pub paper: String,
    /// Revision, raised whenever the method's results change; part of a run's identity.
    pub revision: u32,
    /// Whether the method is trained in epochs, so that `[train]` applies to it.
    pub deep: bool,
    /// Whether the method learns from augmented views.
    pub augmented: bool,
    /// Whether the result depends on the run's seed. A method without randomness runs once, for any `seeds`.
    pub seeded: bool,
    /// The modalities that it needs.
    pub needs: Needs,
    /// The method's hyperparameters.
    pub params: Schema,
    /// Validates the hyperparameters against the facts of a run.
    pub check: CheckRun,
}

/// Inspects the files of a complete `[image]` or `[text]`, once per different section and one at a time.
pub type Inspect = Arc<dyn Fn(Modality, &Settings) -> Result<EncoderFacts, Violations> + Send + Sync>;

/// Inspects a file of codes of so many bits, at a path with the array behind `#`; or says why there are none.
pub type InspectCodes = Arc<dyn Fn(&str, usize) -> Result<CodesFacts, String> + Send + Sync>;

/// Facts of a file of codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodesFacts {
    /// Number of codes.
    pub items: usize,
    /// SHA-256 of the file, and the array's name behind `#` where it has several.
    pub digest: String,
}

/// Validates complete hyperparameters against the facts of a run. The keys of a violation are hyperparameters, `bits`,
/// or keys of other sections as grids write them.
pub type CheckRun = Arc<dyn Fn(&Settings, &RunFacts) -> Violations + Send + Sync>;

/// A data set, before it is read.
#[derive(Clone)]
pub struct DatasetDecl {
    /// Snake-case name, as experiment files write it.
    pub name: String,
    /// Name as papers print it, e.g. `CIFAR-10`.
    pub title: String,
    /// The section `[data]`: the data set's own settings.
    pub settings: Schema,
    /// Describes the data set with a complete `[data]` section, once per experiment. Data sets of a user's files may
    /// read them.
    pub describe: Describe,
    /// Splits the data set, to count its training items.
    pub train_items: CountTrainItems,
}

/// Counts the training items of a data set with a complete `[data]` section, a protocol and a `split_seed`. `None` stands
/// for a data set that is not here.
///
/// # Errors
/// The reason why it cannot be split.
pub type CountTrainItems = Arc<dyn Fn(&Settings, &str, u64) -> Result<Option<usize>, String> + Send + Sync>;

/// Describes a data set with a complete `[data]` section.
pub type Describe = Arc<dyn Fn(&Settings) -> Result<DatasetDescription, DataError> + Send + Sync>;

/// A data set with its settings.
#[derive(Clone, Debug)]
pub struct DatasetDescription {
    /// Identity of the content (a version or a digest), part of a run's identity.
    pub identity: String,
    /// The modalities of its items, and the form in which it holds them.
    pub modalities: ByModality<DataKind>,
    /// Its protocols; the first is the default.
    pub protocols: Vec<ProtocolDecl>,
}

/// A named split recipe.
#[derive(Clone, Debug)]
pub struct ProtocolDecl {
    /// Name, e.g. `cifar10-1`.
    pub name: String,
    /// Description, one line: sizes and source.
    pub description: String,
    /// The depth K of the primary metric mAP@K that papers use with it; `None` for the whole ranking.
    pub map_at: Option<usize>,
}
