//! The section of an encoder, `[image]` or `[text]`, by its modality.

use anyhow::Result;
use hashlab_data::Modality;
use hashlab_encoders::EncoderEntry;
use hashlab_settings::Settings;
use serde_json::Value;

use super::{ImageConfig, NO_ENCODER, TextConfig, section};

/// The digest that a configuration states for weights that are drawn at random.
pub const RANDOM_WEIGHTS: &str = "random";

/// The section of a modality's encoder.
#[derive(Clone, Debug)]
pub enum EncoderConfig {
    /// `[image]`.
    Image(Box<ImageConfig>),
    /// `[text]`.
    Text(Box<TextConfig>),
}

impl EncoderConfig {
    /// Reads the section of a modality from a run's configuration.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn read(modality: Modality, settings: &Settings) -> Result<Self> {
        Ok(match modality {
            Modality::Text => Self::Text(Box::new(section(settings)?)),
            _ => Self::Image(Box::new(section(settings)?)),
        })
    }

    /// The network's name; `None` where the features of the data set pass through.
    pub fn network(&self) -> Option<&str> {
        let name = match self {
            Self::Image(config) => &config.encoder,
            Self::Text(config) => &config.encoder,
        };
        (name != NO_ENCODER).then_some(name)
    }

    /// The weights as an experiment names them: a path, a name or an address.
    pub fn weights(&self) -> Option<&str> {
        match self {
            Self::Image(config) => config.weights.as_deref(),
            Self::Text(config) => config.weights.as_deref(),
        }
    }

    /// The tokenizer as an experiment names it.
    pub fn tokenizer(&self) -> Option<&str> {
        match self {
            Self::Image(_) => None,
            Self::Text(config) => config.tokenizer.as_deref(),
        }
    }

    /// Augmented views kept per training item; `None` where items are augmented in every step or not at all.
    pub fn views(&self) -> Option<usize> {
        match self {
            Self::Image(config) => (!config.finetune).then_some(config.views),
            Self::Text(_) => None,
        }
    }

    /// Whether runs train the network.
    pub fn finetune(&self) -> bool {
        match self {
            Self::Image(config) => config.finetune,
            Self::Text(config) => config.finetune,
        }
    }

    /// Digest of the weights, if the network has any.
    pub fn weights_digest(&self) -> Option<&str> {
        match self {
            Self::Image(config) => config.digest.as_deref(),
            Self::Text(config) => config.digest.as_deref(),
        }
    }

    /// Digest of the tokenizer, of a network of texts.
    pub fn tokenizer_digest(&self) -> Option<&str> {
        match self {
            Self::Image(_) => None,
            Self::Text(config) => config.tokenizer_digest.as_deref(),
        }
    }

    /// The section with digests in the place of names, and with what an encoder of texts has by default, so that a run ID
    /// is the same whether a file names it or not.
    ///
    /// # Errors
    /// If the section is no table, which [`read`](Self::read) excludes.
    pub fn with_digests(
        self,
        encoder: Option<&EncoderEntry>,
        weights: Option<String>,
        tokenizer: Option<String>,
    ) -> Result<Settings> {
        let section = match self {
            Self::Image(config) => serde_json::to_value(ImageConfig { weights: None, digest: weights, ..*config })?,
            Self::Text(mut config) => {
                if let Some(entry) = encoder.and_then(EncoderEntry::text) {
                    config.pooling.get_or_insert(entry.poolings[0].into());
                    config.max_tokens.get_or_insert(entry.max_tokens);
                }
                let (digest, tokenizer_digest) = (weights, tokenizer);
                serde_json::to_value(TextConfig {
                    weights: None,
                    tokenizer: None,
                    digest,
                    tokenizer_digest,
                    ..*config
                })?
            }
        };
        match section {
            Value::Object(settings) => Ok(settings),
            other => anyhow::bail!("the section is no table but {other}"),
        }
    }
}
