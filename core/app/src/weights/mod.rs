//! Files of encoders, weights and tokenizers: where they lie, and their digests.
//!
//! A digest is remembered beside the feature cache with the file's size and modification time, so that planning an
//! experiment reads no file twice.

mod files;
mod place;
mod section;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use hashlab_data::{DataDirs, EncoderFacts, Modality};
use hashlab_encoders::{EncoderEntry, TextEntry, TokenSource, Tokenizer, Weights};
use hashlab_hub::Remote;
use hashlab_pipeline::config::{EncoderConfig, RANDOM_WEIGHTS};
use hashlab_settings::{Settings, Violations};

use crate::hub_files::HubFiles;
use crate::notes;

pub use files::EncoderFiles;
use place::{about, beside, hint};
use section::EncoderSection;

/// Looks the files of an experiment's encoders up.
pub(crate) struct Lookup {
    pub(crate) encoders: &'static [EncoderEntry],
    pub(crate) dirs: DataDirs,
    /// Folder of the experiment file.
    pub(crate) folder: PathBuf,
    /// Where digests are remembered.
    pub(crate) notes: PathBuf,
    /// The digests of files, and of which encoders they fit, for one plan.
    pub(crate) digests: Mutex<BTreeMap<(PathBuf, &'static str), String>>,
    /// Files of the hub.
    pub(crate) hub: HubFiles,
}

/// The weights that a network starts from.
enum Initial {
    /// A network without weights.
    Nothing,
    /// Random numbers.
    Random,
    /// A file, with its digest.
    File(String, PathBuf),
}

impl Lookup {
    /// Looks for what an encoder section names, and says what is known of its features.
    ///
    /// # Errors
    /// As [`Lookup::resolve`].
    pub(crate) fn inspect(&self, modality: Modality, settings: &Settings) -> Result<EncoderFacts, Violations> {
        // What does not fit its type was reported with its place.
        let Ok(config) = EncoderConfig::read(modality, settings) else { return Ok(EncoderFacts::default()) };
        let encoder = config.network().and_then(|name| self.encoder(modality, name));
        let facts = EncoderFacts { dim: encoder.map(EncoderEntry::dim), views: config.views() };
        let misses = self.hub.misses();
        let resolved = self.resolve(modality, settings, &mut EncoderFiles::default());
        // What is to be had from the hub is told of all sections at once, and is no mistake in the file.
        if resolved.is_err() && self.hub.misses() == misses {
            resolved?;
        }
        Ok(facts)
    }

    /// Puts the digests of an encoder section's files in the place of their names. A section of texts also gets the
    /// pooling and the number of tokens that are its encoder's own.
    ///
    /// # Errors
    /// A violation of the keys that name no file that fits the encoder.
    pub(crate) fn resolve(
        &self,
        modality: Modality,
        settings: &Settings,
        files: &mut EncoderFiles,
    ) -> Result<Settings, Violations> {
        let wrong = |key: &'static str| move |message: String| Violations::one([key, "weights", "encoder"], message);
        let invalid = |error: anyhow::Error| wrong("encoder")(format!("{error:#}"));
        let config = EncoderConfig::read(modality, settings).map_err(invalid)?;
        let Some(name) = config.network() else { return config.with_digests(None, None, None).map_err(invalid) };
        let encoder = self.encoder(modality, name);
        let encoder =
            encoder.ok_or_else(|| format!("unknown {modality} encoder `{name}`")).map_err(wrong("encoder"))?;
        let section = EncoderSection { modality, config: &config, encoder };
        let weights = self.weights(section);
        let tokenizer = match encoder {
            EncoderEntry::Image(_) => Ok(None),
            EncoderEntry::Text(entry) => {
                let weights = match &weights {
                    Ok(Initial::File(_, path)) => Some(path.as_path()),
                    _ => None,
                };
                self.tokenizer(section, entry, weights)
            }
        };
        let weights = match weights.map_err(wrong("weights"))? {
            Initial::Nothing => None,
            Initial::Random => Some(RANDOM_WEIGHTS.to_owned()),
            Initial::File(digest, path) => Some(files.insert(digest, path)),
        };
        let tokenizer = tokenizer.map_err(wrong("tokenizer"))?.map(|(digest, path)| files.insert(digest, path));
        config.with_digests(Some(encoder), weights, tokenizer).map_err(invalid)
    }

    fn encoder(&self, modality: Modality, name: &str) -> Option<&'static EncoderEntry> {
        self.encoders.iter().find(|entry| entry.name() == name && is_of(entry, modality))
    }

    /// The weights that the network of a section starts from.
    fn weights(&self, section: EncoderSection<'_>) -> Result<Initial, String> {
        let EncoderSection { modality, config, encoder } = section;
        let name = encoder.name();
        match (encoder.needs_weights(), config.weights()) {
            (false, None) => return Ok(Initial::Nothing),
            (false, Some(_)) => return Err(format!("encoder `{name}` reads no weights file\nhelp: remove `weights`")),
            (true, _) if section.is_random() => return Ok(Initial::Random),
            (true, _) => {}
        }
        let path = match (section.weights_on_hub()?, config.weights()) {
            (None, None) => {
                return Err(format!(
                    "encoder `{name}` needs pretrained weights\nhelp: set `weights` in [{modality}] to a safetensors file{}",
                    hint(encoder)
                ));
            }
            (None, Some(named)) => self.find(section, "weights", named)?,
            (Some(remote), Some(named)) if !Remote::is_address(named) => {
                self.find(section, "weights", named).or_else(|_| self.hub.find(section.named("weights"), remote))?
            }
            (Some(remote), _) => self.hub.find(section.named("weights"), remote)?,
        };
        Ok(Initial::File(self.digest(&path, name, |path| weights_digest(path, encoder))?, path))
    }

    /// The digest of the tokenizer of a section, and its file.
    fn tokenizer(
        &self,
        section: EncoderSection<'_>,
        entry: &TextEntry,
        weights: Option<&Path>,
    ) -> Result<Option<(String, PathBuf)>, String> {
        let path = match (entry.tokens, section.config.tokenizer()) {
            (TokenSource::Bytes, None) => return Ok(None),
            (TokenSource::Bytes, Some(_)) => {
                return Err(format!("encoder `{}` reads no tokenizer; remove `tokenizer`", entry.name));
            }
            (TokenSource::File(names), named) => match (section.tokenizer_on_hub(names)?, named) {
                (Some(remote), _) if self.hub.place(&remote).is_none() && weights.is_some() => {
                    beside(weights, names).or_else(|_| self.hub.find(section.named("tokenizer"), remote))?
                }
                (Some(remote), _) => self.hub.find(section.named("tokenizer"), remote)?,
                (None, Some(named)) => self.find(section, "tokenizer", named)?,
                (None, None) => beside(weights, names)?,
            },
        };
        let read = |path: &Path| match Tokenizer::read(path, entry.max_tokens, None) {
            Ok(tokenizer) => Ok(tokenizer.digest().to_owned()),
            Err(error) => Err(about(path, &error.to_string())),
        };
        Ok(Some((self.digest(&path, entry.name, read)?, path)))
    }

    /// The digest of a file that fits an encoder: as it was found before, as it was noted, or by reading it.
    fn digest(
        &self,
        path: &Path,
        encoder: &'static str,
        read: impl Fn(&Path) -> Result<String, String>,
    ) -> Result<String, String> {
        let known = (path.to_owned(), encoder);
        if let Some(digest) = self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(&known) {
            return Ok(digest.clone());
        }
        let digest = notes::digest(&self.notes, path, encoder, read)?;
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(known, digest.clone());
        Ok(digest)
    }
}

/// The digest of a weights file. An encoder of images is opened with it once, so that a file of another network is
/// refused before anything starts.
fn weights_digest(path: &Path, encoder: &EncoderEntry) -> Result<String, String> {
    let weights = Weights::read(path).map_err(|error| about(path, &error.to_string()))?;
    if let EncoderEntry::Image(entry) = encoder {
        (entry.open)(Some(&weights), 0, (&Device::Cpu).into()).map_err(|error| about(path, &error.to_string()))?;
    }
    Ok(weights.digest().to_owned())
}

fn is_of(entry: &EncoderEntry, modality: Modality) -> bool {
    match entry {
        EncoderEntry::Image(_) => modality == Modality::Image,
        EncoderEntry::Text(_) => modality == Modality::Text,
    }
}
