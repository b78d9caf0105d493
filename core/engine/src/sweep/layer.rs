//! Layers of checked settings, and figment's merge of them.

use figment::providers::Serialized;
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::diagnose::Place;
use super::keys::Scope;
use crate::Settings;

/// A table of settings. The keys at the top of the file, such as `bits`, have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// `[data]`.
    Data,
    /// `[backbone]`.
    Backbone,
    /// `[train]`.
    Train,
    /// `[eval]`.
    Eval,
    /// A method's hyperparameters.
    Params,
}

impl Section {
    /// The sections that a file shares between its arms.
    pub(crate) const SHARED: [Self; 4] = [Self::Data, Self::Backbone, Self::Train, Self::Eval];
    /// The shared sections that an arm may override and a grid may vary.
    pub(crate) const VARIED: [Self; 2] = [Self::Backbone, Self::Train];

    /// The table's key.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Backbone => "backbone",
            Self::Train => "train",
            Self::Eval => "eval",
            Self::Params => "params",
        }
    }
}

/// One checked key.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) section: Option<Section>,
    pub(crate) key: String,
    /// The value, in the type of the key's default.
    pub(crate) value: Value,
    /// Where the value stands.
    pub(crate) place: Place,
}

impl Setting {
    /// The key as a grid writes it: `tau`, `train.epochs`.
    pub(crate) fn name(&self) -> String {
        match self.section {
            None | Some(Section::Params) => self.key.clone(),
            Some(section) => format!("{}.{}", section.key(), self.key),
        }
    }

    /// Whether both set the same key.
    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.section == other.section && self.key == other.key
    }
}

/// Checked settings of one origin: the file, an arm, a grid point, the environment, the flags.
pub(crate) type Layer = Vec<Setting>;

/// Hands a layer to figment.
struct Merged<'a>(&'a [Setting]);

impl Provider for Merged<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("checked settings")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        let mut tables: Map<String, Dict> = Map::new();
        for setting in self.0 {
            let value = figment::value::Value::serialize(&setting.value)?;
            match setting.section {
                Some(section) => tables.entry(section.key().to_owned()).or_default().insert(setting.key.clone(), value),
                None => root.insert(setting.key.clone(), value),
            };
        }
        root.extend(tables.into_iter().map(|(key, table)| (key, table.into())));
        Ok(Profile::Default.collect(root))
    }
}

/// Everything that an arm's runs share at one grid point.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) dataset: String,
    pub(crate) protocol: String,
    pub(crate) split_seed: u64,
    pub(crate) bits: Vec<usize>,
    pub(crate) seeds: Vec<u64>,
    pub(crate) data: Settings,
    pub(crate) backbone: Settings,
    pub(crate) train: Settings,
    pub(crate) eval: Settings,
    pub(crate) params: Settings,
}

impl Resolved {
    /// The lowest layer: the declared defaults. Data set and code lengths have none.
    pub(crate) fn defaults(scope: Scope<'_>) -> Self {
        let protocol = scope.dataset.and_then(|dataset| dataset.protocols.first());
        Self {
            dataset: String::new(),
            protocol: protocol.map(|p| p.name.clone()).unwrap_or_default(),
            split_seed: 0,
            bits: Vec::new(),
            seeds: vec![0],
            data: scope.defaults(Section::Data),
            backbone: scope.defaults(Section::Backbone),
            train: scope.defaults(Section::Train),
            eval: scope.defaults(Section::Eval),
            params: scope.defaults(Section::Params),
        }
    }

    /// Merges `layers` over the defaults, each above the one before it.
    pub(crate) fn merge(scope: Scope<'_>, layers: &[&[Setting]]) -> Self {
        let defaults = Self::defaults(scope);
        let base = Figment::from(Serialized::defaults(&defaults));
        let figment = layers.iter().fold(base, |below, layer| below.merge(Merged(layer)));
        let mut merged: Self = figment.extract().expect("every value was checked against its default's type");
        for section in [Section::Data, Section::Backbone, Section::Train, Section::Eval, Section::Params] {
            // figment sorts keys; the declared order is the one to read.
            let order = defaults.table(section);
            let table = merged.table_mut(section);
            *table = order.keys().filter_map(|key| table.remove_entry(key)).collect();
        }
        merged
    }

    /// The settings of a section.
    pub(crate) fn table(&self, section: Section) -> &Settings {
        match section {
            Section::Data => &self.data,
            Section::Backbone => &self.backbone,
            Section::Train => &self.train,
            Section::Eval => &self.eval,
            Section::Params => &self.params,
        }
    }

    fn table_mut(&mut self, section: Section) -> &mut Settings {
        match section {
            Section::Data => &mut self.data,
            Section::Backbone => &mut self.backbone,
            Section::Train => &mut self.train,
            Section::Eval => &mut self.eval,
            Section::Params => &mut self.params,
        }
    }
}
