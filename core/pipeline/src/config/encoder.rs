//! The section of an encoder, `[image]` or `[text]`, by its modality.

use anyhow::Result;
use hashlab_data::Modality;
use hashlab_settings::Settings;

use super::{ImageConfig, NO_ENCODER, TextConfig, section};

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
}
