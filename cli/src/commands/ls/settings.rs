//! The settings of a run by the keys that experiment files write, defaults included.

use std::collections::BTreeSet;

use hashlab_app::Registry;
use hashlab_data::{DataDirs, Modality};
use hashlab_settings::Schema;
use hashlab_store::RunConfig;
use hashlab_sweep::Catalog;
use serde_json::Value;

/// What configurations leave out, because it is the default.
pub(super) struct Settings {
    catalog: Catalog,
    keys: BTreeSet<String>,
}

impl Settings {
    pub(super) fn of(registry: &Registry) -> Self {
        let catalog = registry.catalog(&DataDirs::of(vec![]));
        let dotted = |section: &str, schema: &Schema| -> Vec<String> {
            schema.defaults.keys().map(|key| format!("{section}.{key}")).collect()
        };
        let mut keys: BTreeSet<String> = BTreeSet::new();
        keys.extend(dotted("train", &catalog.train));
        keys.extend(dotted("eval", &catalog.eval));
        keys.extend(catalog.encoders.iter().flat_map(|(modality, schema)| dotted(modality.name(), schema)));
        keys.extend(catalog.datasets.iter().flat_map(|dataset| dotted("data", &dataset.settings)));
        keys.extend(catalog.methods.iter().flat_map(|method| method.params.defaults.keys().cloned()));
        Self { catalog, keys }
    }

    /// All keys of sections and methods.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.keys.iter()
    }

    pub(super) fn knows(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// The value of a key in a configuration; `None` where it is not set or does not apply.
    pub(super) fn value(&self, config: &RunConfig, key: &str) -> Option<Value> {
        let method = self.catalog.methods.iter().find(|method| method.name == config.method);
        let (set, schema, key) = match key.split_once('.') {
            // Another revision may have had other defaults.
            None => (&config.params, method.filter(|one| one.revision == config.revision).map(|one| &one.params), key),
            Some(("train", key)) => {
                (&config.train, method.filter(|method| method.deep).map(|_| &self.catalog.train), key)
            }
            Some(("eval", key)) => (&config.eval, Some(&self.catalog.eval), key),
            Some(("data", key)) => {
                let dataset = self.catalog.datasets.iter().find(|dataset| dataset.name == config.dataset);
                (&config.data, dataset.map(|dataset| &dataset.settings), key)
            }
            Some((section, key)) => {
                let modality = Modality::ALL.into_iter().find(|modality| modality.name() == section)?;
                (config.encoders.get(modality)?, self.catalog.encoders.get(modality), key)
            }
        };
        let default = || schema.and_then(|schema| schema.defaults.get(key));
        set.get(key).or_else(default).filter(|value| !value.is_null()).cloned()
    }
}
