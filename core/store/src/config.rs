//! The configuration of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hashlab_data::ByModality;
use hashlab_settings::Settings;
use serde::{Deserialize, Serialize};

use crate::{RunId, RunIds};

/// Version of the stored formats; raised when their meaning changes.
pub const SCHEMA: u32 = 2;

/// In configurations and results, the name in the place of a method's where others computed the codes.
pub const EXTERNAL_METHOD: &str = "external";

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
    /// The configuration without code length and seed, which are 0 in it.
    pub template: Arc<RunConfig>,
    /// Code length in bits.
    pub bits: usize,
    /// Seed.
    pub seed: u64,
}

impl SharedConfig {
    /// The configuration of the run.
    pub fn config(&self) -> RunConfig {
        self.template.of_run(self.bits, self.seed)
    }
}

impl From<RunConfig> for SharedConfig {
    fn from(config: RunConfig) -> Self {
        let RunConfig { bits, seed, .. } = config;
        Self { template: Arc::new(RunConfig { bits: 0, seed: 0, ..config }), bits, seed }
    }
}

/// Configurations that were met without code length and seed, by their settings' identities.
#[derive(Default)]
pub(crate) struct Templates(Mutex<BTreeMap<String, Arc<RunConfig>>>);

impl Templates {
    /// The configuration, which shares its parts with an equal one before it.
    pub(crate) fn shared(&self, config: RunConfig) -> SharedConfig {
        let mut config = SharedConfig::from(config);
        let setting = config.template.setting();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let template = known.entry(setting).or_insert_with(|| Arc::clone(&config.template));
        // Equal identities of different settings are rare, not impossible.
        if *template == config.template {
            config.template = Arc::clone(template);
        }
        config
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

    /// This configuration with the code length and the seed of a run.
    pub fn of_run(&self, bits: usize, seed: u64) -> Self {
        Self { bits, seed, ..self.clone() }
    }

    /// Derives the identity of the run's setting, which excludes the seed.
    pub fn setting(&self) -> String {
        self.ids().setting(self.bits)
    }

    /// Prepares the identities of all runs that differ from this one only in code length and seed.
    pub fn ids(&self) -> RunIds {
        RunIds::of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(seed: u64) -> RunConfig {
        let text = r#"{"schema":2,"method":"nsh","revision":1,"bits":16,"seed":0,"dataset":"shapes",
            "dataset_identity":"1","protocol":"shapes-1","encoders":{},"eval":{}}"#;
        RunConfig { seed, ..serde_json::from_str(text).unwrap() }
    }

    #[test]
    fn only_equal_configurations_share_their_parts() {
        let templates = Templates::default();
        let [first, second] = [1, 2].map(|seed| templates.shared(config(seed)));
        assert!(Arc::ptr_eq(&first.template, &second.template));
        assert_eq!(second.config(), config(2));
        // Another setting that had the same identity.
        let other = RunConfig { revision: 2, ..RunConfig::clone(&first.template) };
        let collided = Templates(Mutex::new([(first.template.setting(), Arc::new(other))].into()));
        assert_eq!(collided.shared(config(3)).config(), config(3));
    }
}
