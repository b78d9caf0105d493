//! What the engine is told about methods, data sets and settings, so that it can check an experiment file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Settings;

/// Everything an experiment file may name.
#[derive(Clone)]
pub struct Catalog {
    /// The registered methods.
    pub methods: Vec<MethodDecl>,
    /// The registered data sets.
    pub datasets: Vec<DatasetDecl>,
    /// The section `[backbone]`.
    pub backbone: Schema,
    /// The section `[train]`.
    pub train: Schema,
    /// The section `[eval]`.
    pub eval: Schema,
}

/// What is known of a method without building it.
#[derive(Clone)]
pub struct MethodDecl {
    /// Snake-case name, as experiment files write it.
    pub name: String,
    /// Name as papers print it, e.g. `CIBHash`.
    pub title: String,
    /// Paper: authors, venue and year.
    pub paper: String,
    /// Raised whenever the method's results change; part of a run's identity.
    pub revision: u32,
    /// Whether the method is trained by gradient steps, so that `[train]` applies to it.
    pub gradient: bool,
    /// Whether the method learns from augmented views, so that `backbone.views` applies to it.
    pub augmented: bool,
    /// The method's hyperparameters.
    pub params: Schema,
}

/// What is known of a data set without reading it.
#[derive(Clone)]
pub struct DatasetDecl {
    /// Snake-case name, as experiment files write it.
    pub name: String,
    /// One line: what it holds.
    pub title: String,
    /// Identity of the content (a version or a digest), part of a run's identity.
    pub identity: String,
    /// The section `[data]`: the data set's own settings.
    pub settings: Schema,
    /// Its protocols; the first is the default.
    pub protocols: Vec<ProtocolDecl>,
}

/// A named split recipe.
#[derive(Clone, Debug)]
pub struct ProtocolDecl {
    /// Name, e.g. `cifar10-1`.
    pub name: String,
    /// One line: sizes and source.
    pub description: String,
    /// The depth K of the headline mAP@K that papers use with it; 0 is the whole ranking.
    pub map_at: usize,
}

/// The keys of a section: their defaults, their documentation and their rules.
#[derive(Clone)]
pub struct Schema {
    /// Every key with its default. A key that is absent here is unknown.
    pub defaults: Settings,
    /// A sentence or two per key: meaning, unit, source of the default.
    pub docs: BTreeMap<String, String>,
    /// Checks a complete table: types first, then ranges and constraints between keys.
    pub check: Check,
    /// Names the keys of a valid, complete table that change nothing under its other values.
    pub idle: Idle,
}

/// Lists keys without effect.
pub type Idle = Arc<dyn Fn(&Settings) -> Vec<&'static str> + Send + Sync>;

/// Checks a table of settings.
pub type Check = Arc<dyn Fn(&Settings) -> Result<(), SchemaError> + Send + Sync>;

/// Why a table of settings does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// The key at fault, where it is known.
    pub key: Option<String>,
    /// What is wrong: lowercase, no full stop, e.g. "`tau` must be positive".
    pub message: String,
}
