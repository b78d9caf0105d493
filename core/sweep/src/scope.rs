//! Declarations that apply to a part of an experiment.

use std::sync::LazyLock;

use hashlab_data::DataKind;
use hashlab_settings::{Schema, Settings};

use crate::catalog::{Catalog, DatasetDecl, DatasetDescription, MethodDecl};
use crate::pruning::Pruning;
use crate::section::{General, Section};

/// The key of `[image]` and `[text]` that names the encoder.
pub(crate) const ENCODER: &str = "encoder";

/// The encoder of data sets of features, which returns them unchanged.
pub(crate) const NO_ENCODER: &str = "none";

/// The keys at the top of the file.
pub(crate) fn general() -> &'static Schema {
    &GENERAL
}

/// The keys of `[pruning]`.
pub(crate) fn pruning() -> &'static Schema {
    &PRUNING
}

static GENERAL: LazyLock<Schema> = LazyLock::new(Schema::of::<General>);
static PRUNING: LazyLock<Schema> = LazyLock::new(Schema::of::<Pruning>);

/// The declarations that settings are checked against.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) catalog: &'a Catalog,
    /// `None` if the experiment names no existing data set; `[data]` is not checked then.
    pub(crate) dataset: Option<&'a DatasetDecl>,
    /// `None` if the data set is unknown.
    pub(crate) description: Option<&'a DatasetDescription>,
    /// `None` outside of methods.
    pub(crate) method: Option<&'a MethodDecl>,
}

impl<'a> Scope<'a> {
    /// The keys of a section; `None` if no data set, method or encoder declares any.
    pub(crate) fn schema(self, section: Section) -> Option<&'a Schema> {
        match section {
            Section::General => Some(&*GENERAL),
            Section::Data => self.dataset.map(|dataset| &dataset.settings),
            Section::Encoder(modality) => self.catalog.encoders.get(modality),
            Section::Train => Some(&self.catalog.train),
            Section::Eval => Some(&self.catalog.eval),
            Section::Pruning => Some(&*PRUNING),
            Section::Params => self.method.map(|method| &method.params),
        }
    }

    /// The defaults of a section; empty if it has no schema. A modality that the data set holds as features has no
    /// encoder by default.
    pub(crate) fn defaults(self, section: Section) -> Settings {
        let mut defaults = self.schema(section).map(|schema| schema.defaults.clone()).unwrap_or_default();
        if let Section::Encoder(modality) = section {
            let kind = self.description.and_then(|description| description.modalities.get(modality));
            if let (Some(DataKind::Features), Some(encoder)) = (kind, defaults.get_mut(ENCODER)) {
                *encoder = NO_ENCODER.into();
            }
        }
        defaults
    }

    /// A section's default of a key, in words; `None` if it has none.
    pub(crate) fn default_text(self, section: Section, key: &str) -> Option<String> {
        let schema = self.schema(section)?;
        (section != Section::General).then(|| schema.default_text(key)).flatten()
    }
}
