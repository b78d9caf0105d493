//! The section of an encoder with the encoder that it names, and its files on the hub.

use std::path::Path;

use hashlab_data::Modality;
use hashlab_encoders::EncoderEntry;
use hashlab_hub::Remote;
use hashlab_pipeline::config::EncoderConfig;

/// The section of an encoder.
#[derive(Clone, Copy)]
pub(super) struct EncoderSection<'s> {
    pub(super) modality: Modality,
    pub(super) config: &'s EncoderConfig,
    pub(super) encoder: &'static EncoderEntry,
}

impl EncoderSection<'_> {
    /// Whether an encoder of images starts from random weights: one that is trained, where none are named. The sizes of a
    /// network of texts are those of its file.
    pub(super) fn is_random(&self) -> bool {
        self.config.weights().is_none() && self.config.finetune() && self.modality == Modality::Image
    }

    /// The weights on the hub, if they are there: by an address, a public file of the encoder by its name, or,
    /// where none are named, the encoder's own.
    pub(super) fn weights_on_hub(&self) -> Result<Option<Remote>, String> {
        let mut published = self.published();
        Ok(match self.config.weights() {
            _ if !self.encoder.needs_weights() || self.is_random() => None,
            None => published.next(),
            Some(address) if Remote::is_address(address) => Some(Remote::parse(address)?),
            Some(name) => published.next().filter(|remote| remote.place == Path::new("weights").join(name)),
        })
    }

    /// The tokenizer on the hub: by an address, or beside the weights.
    pub(super) fn tokenizer_on_hub(&self, names: &[&str]) -> Result<Option<Remote>, String> {
        match self.config.tokenizer() {
            Some(address) if Remote::is_address(address) => Remote::parse(address).map(Some),
            Some(_) => Ok(None),
            None => Ok(self.weights_on_hub()?.map(|weights| {
                let of_weights = self.published().nth(1);
                let of_weights = of_weights.filter(|one| one.repo == weights.repo && one.revision == weights.revision);
                of_weights.unwrap_or_else(|| weights.beside(names[0]))
            })),
        }
    }

    /// The encoder's public files: its weights, then its tokenizer.
    fn published(&self) -> impl Iterator<Item = Remote> {
        self.encoder.published().into_iter().flat_map(|published| published.remotes())
    }

    /// Description of a file, for messages.
    pub(super) fn named(&self, what: &str) -> String {
        format!("the {what} of encoder `{}`", self.encoder.name())
    }
}
