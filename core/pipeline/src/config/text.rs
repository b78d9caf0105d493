//! The section `[text]`.

use hashlab_cache::CacheDtype;
use hashlab_settings::{Params, Schema, Settings, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NO_ENCODER;

/// The section `[text]`: the encoder between texts and methods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextConfig {
    /// Network: `none` passes the features of the data set through.
    pub encoder: String,
    /// How the feature cache stores features: `f32`, or `f16` in half the space, which rounds them to 11 bits.
    pub cache_dtype: CacheDtype,
    /// Digest of the weights; filled in when the experiment is planned.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self { encoder: NO_ENCODER.into(), cache_dtype: CacheDtype::F32, digest: None }
    }
}

impl Params for TextConfig {
    fn inactive(&self) -> Vec<&'static str> {
        if self.encoder == NO_ENCODER { vec!["cache_dtype"] } else { Vec::new() }
    }
}

/// The schema of `[text]`.
pub fn text_schema() -> Schema {
    Schema::of::<TextConfig>().with_rules(|settings: &Settings| {
        let encoder = settings.get("encoder").and_then(|name| name.as_str()).unwrap_or_default();
        let message = format!("`encoder` must be a text encoder (none), got `{encoder}`");
        Violations::none().require(encoder == NO_ENCODER, ["encoder"], message)
    })
}
