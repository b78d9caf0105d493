//! Files of encoders, weights and tokenizers: where they lie, and their digests.
//!
//! A digest is remembered beside the feature cache with the file's size and modification time, so that planning an
//! experiment reads no file twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use hashlab_data::{DataDirs, EncoderFacts, Modality};
use hashlab_encoders::{EncoderEntry, TextEntry, TokenSource, Tokenizer, Weights};
use hashlab_hub::Remote;
use hashlab_pipeline::config::NO_ENCODER;
use hashlab_settings::{Settings, Violations};
use serde_json::Value;

use crate::hub_files::HubFiles;
use crate::notes;

/// What stands for a digest where an encoder starts from random weights.
pub const RANDOM: &str = "random";

/// The files of a plan's encoders, by digest.
#[derive(Clone, Debug, Default)]
pub struct EncoderFiles(BTreeMap<String, PathBuf>);

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

impl FromIterator<(String, PathBuf)> for EncoderFiles {
    fn from_iter<I: IntoIterator<Item = (String, PathBuf)>>(files: I) -> Self {
        Self(files.into_iter().collect())
    }
}

impl EncoderFiles {
    /// The file with this digest.
    pub fn path_of(&self, digest: &str) -> Option<&Path> {
        self.0.get(digest).map(PathBuf::as_path)
    }

    /// All files with their digests.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(digest, path)| (digest.as_str(), path.as_path()))
    }

    /// Adds a file whose digest is known.
    pub fn insert(&mut self, digest: String, path: PathBuf) {
        self.0.insert(digest, path);
    }
}

/// The section of an encoder.
#[derive(Clone, Copy)]
struct Section<'s> {
    modality: Modality,
    settings: &'s Settings,
    encoder: &'static EncoderEntry,
}

impl Section<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key).and_then(|value| value.as_str())
    }

    fn is_trained(&self) -> bool {
        self.settings.get("finetune").is_some_and(|on| on == true)
    }

    /// Whether an encoder of images starts from random weights: one that is trained, where none are named. The sizes of a
    /// network of texts are those of its file.
    fn is_drawn(&self) -> bool {
        self.text("weights").is_none() && self.is_trained() && self.modality == Modality::Image
    }

    /// The weights on the hub, if they are there: by an address, a public file of the encoder by its name, or,
    /// where none are named, the encoder's own.
    fn weights_on_hub(&self) -> Result<Option<Remote>, String> {
        let mut published = self.encoder.published().into_iter().flat_map(|published| published.remotes());
        Ok(match self.text("weights") {
            _ if !self.encoder.needs_weights() || self.is_drawn() => None,
            None => published.next(),
            Some(address) if Remote::is_address(address) => Some(Remote::parse(address)?),
            Some(name) => published.next().filter(|remote| remote.place == Path::new("weights").join(name)),
        })
    }

    /// The tokenizer on the hub: by an address, or beside the weights.
    fn tokenizer_on_hub(&self, names: &[&str]) -> Result<Option<Remote>, String> {
        match self.text("tokenizer") {
            Some(address) if Remote::is_address(address) => Remote::parse(address).map(Some),
            Some(_) => Ok(None),
            None => Ok(self.weights_on_hub()?.map(|weights| {
                let mut published = self.encoder.published().into_iter().flat_map(|published| published.remotes());
                let of_weights =
                    published.nth(1).filter(|one| one.repo == weights.repo && one.revision == weights.revision);
                of_weights.unwrap_or_else(|| weights.beside(names[0]))
            })),
        }
    }

    /// Description of a file, for messages.
    fn named(&self, what: &str) -> String {
        format!("the {what} of encoder `{}`", self.encoder.name())
    }
}

impl Lookup {
    /// Looks for what an encoder section names, and says what is known of its features.
    ///
    /// # Errors
    /// As [`Lookup::resolve`].
    pub(crate) fn inspect(&self, modality: Modality, settings: &Settings) -> Result<EncoderFacts, Violations> {
        let misses = self.hub.misses();
        let resolved = self.resolve(modality, settings, &mut EncoderFiles::default());
        // What is to be had from the hub is told of all sections at once, and is no mistake in the file.
        if resolved.is_err() && self.hub.misses() == misses {
            resolved?;
        }
        let name = settings.get("encoder").and_then(Value::as_str).unwrap_or_default();
        let encoder = self.encoders.iter().find(|entry| entry.name() == name && is_of(entry, modality));
        let trained = settings.get("finetune").is_some_and(|on| on == true);
        let views = settings.get("views").and_then(Value::as_u64).and_then(|views| usize::try_from(views).ok());
        Ok(EncoderFacts { dim: encoder.map(EncoderEntry::dim), views: views.filter(|_| !trained) })
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
        let wrong = |key: &str| {
            let key = key.to_owned();
            move |message: String| Violations::one([key.as_str(), "weights", "encoder"], message)
        };
        let name = settings.get("encoder").and_then(|name| name.as_str()).unwrap_or_default();
        let mut resolved = settings.clone();
        resolved.shift_remove("weights");
        resolved.shift_remove("tokenizer");
        if name == NO_ENCODER {
            return Ok(resolved);
        }
        let encoder = self.encoders.iter().find(|entry| entry.name() == name && is_of(entry, modality));
        let encoder =
            encoder.ok_or_else(|| format!("unknown {modality} encoder `{name}`")).map_err(wrong("encoder"))?;
        let section = Section { modality, settings, encoder };
        let weights = self.weights(section);
        let tokenizer = match encoder {
            EncoderEntry::Image(_) => Ok(None),
            EncoderEntry::Text(entry) => {
                complete(&mut resolved, entry);
                let weights = weights.as_ref().ok().and_then(Option::as_ref).and_then(|(_, path)| path.as_deref());
                self.tokenizer(section, entry, weights)
            }
        };
        let weights = weights.map_err(wrong("weights"))?;
        let tokenizer = tokenizer.map_err(wrong("tokenizer"))?;
        if let Some((digest, _)) = &weights {
            resolved.insert("digest".into(), digest.as_str().into());
        }
        if let Some((digest, path)) = tokenizer {
            resolved.insert("tokenizer_digest".into(), digest.as_str().into());
            files.insert(digest, path);
        }
        if let Some((digest, Some(path))) = weights {
            files.insert(digest, path);
        }
        Ok(resolved)
    }

    /// The digest of a section's weights, and their file where they are not drawn.
    fn weights(&self, section: Section<'_>) -> Result<Option<(String, Option<PathBuf>)>, String> {
        let Section { modality, encoder, .. } = section;
        let name = encoder.name();
        match (encoder.needs_weights(), section.text("weights")) {
            (false, None) => return Ok(None),
            (false, Some(_)) => return Err(format!("encoder `{name}` reads no weights file\nhelp: remove `weights`")),
            (true, _) if section.is_drawn() => return Ok(Some((RANDOM.to_owned(), None))),
            (true, _) => {}
        }
        let path = match section.weights_on_hub()? {
            None if section.text("weights").is_none() => {
                return Err(format!(
                    "encoder `{name}` needs pretrained weights\nhelp: set `weights` in [{modality}] to a safetensors file{}",
                    hint(encoder)
                ));
            }
            None => self.find(section, "weights")?,
            Some(remote) => match section.text("weights") {
                Some(name) if !Remote::is_address(name) => {
                    self.find(section, "weights").or_else(|_| self.hub.find(section.named("weights"), remote))?
                }
                _ => self.hub.find(section.named("weights"), remote)?,
            },
        };
        Ok(Some((self.digest(&path, name, |path| weights_digest(path, encoder))?, Some(path))))
    }

    /// The digest of the tokenizer of a section, and its file.
    fn tokenizer(
        &self,
        section: Section<'_>,
        entry: &TextEntry,
        weights: Option<&Path>,
    ) -> Result<Option<(String, PathBuf)>, String> {
        let path = match (entry.tokens, section.text("tokenizer")) {
            (TokenSource::Bytes, None) => return Ok(None),
            (TokenSource::Bytes, Some(_)) => {
                return Err(format!("encoder `{}` reads no tokenizer; remove `tokenizer`", entry.name));
            }
            (TokenSource::File(names), named) => match (section.tokenizer_on_hub(names)?, named) {
                (Some(remote), _) if self.hub.place(&remote).is_none() && weights.is_some() => {
                    beside(weights, names).or_else(|_| self.hub.find(section.named("tokenizer"), remote))?
                }
                (Some(remote), _) => self.hub.find(section.named("tokenizer"), remote)?,
                (None, Some(_)) => self.find(section, "tokenizer")?,
                (None, None) => beside(weights, names)?,
            },
        };
        let read = |path: &Path| match Tokenizer::read(path, entry.max_tokens, None) {
            Ok(tokenizer) => Ok(tokenizer.digest().to_owned()),
            Err(error) => Err(about(path, &error.to_string())),
        };
        Ok(Some((self.digest(&path, entry.name, read)?, path)))
    }

    /// Looks the file of a key up: as a path, beside the experiment file, then in the folder `weights` of each data
    /// directory.
    fn find(&self, section: Section<'_>, key: &str) -> Result<PathBuf, String> {
        let (named, modality) = (section.text(key).unwrap_or_default(), section.modality);
        let mut looked = vec![PathBuf::from(named)];
        if !self.folder.as_os_str().is_empty() {
            looked.push(self.folder.join(named));
        }
        for dir in &self.dirs.search {
            looked.extend([dir.join("weights").join(named), dir.join(named)]);
        }
        let mut denied = None;
        for path in &looked {
            match std::fs::metadata(path) {
                Ok(file) if file.is_file() => return Ok(path.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => denied = Some((path, error)),
                _ => {}
            }
        }
        if let Some((path, error)) = denied {
            return Err(format!("cannot read {}: {error}\nhelp: ask its owner for permission", path.display()));
        }
        let places: Vec<String> = looked.iter().map(|path| format!("  looked at {}", path.display())).collect();
        let hint = if key == "weights" { hint(section.encoder) } else { String::new() };
        Err(format!(
            "`{key}` of [{modality}], `{named}`, was not found\n{}\nhelp: put the file into `weights` in your data directory \
             (--data-dir, HASHLAB_DATA or ./data), or name its path in [{modality}]{hint}",
            places.join("\n"),
        ))
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

/// Fills in what an encoder of texts has by default, so that a run ID is the same whether a file names it or not.
fn complete(settings: &mut Settings, entry: &TextEntry) {
    for (key, value) in [("pooling", entry.poolings[0].name().into()), ("max_tokens", entry.max_tokens.into())] {
        if settings.get(key).is_none_or(serde_json::Value::is_null) {
            settings.insert(key.to_owned(), value);
        }
    }
}

/// The tokenizer in the folder of the weights.
fn beside(weights: Option<&Path>, names: &[&str]) -> Result<PathBuf, String> {
    let folder = weights.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        format!(
            "no {} in {}, the folder of the weights\nhelp: put the tokenizer of the weights there, or set `tokenizer` in [text]",
            names.join(" or "),
            folder.display()
        )
    })
}

/// A message with the file that it is about.
fn about(path: &Path, message: &str) -> String {
    let path = path.display().to_string();
    if message.contains(&path) { message.to_owned() } else { format!("{path}: {message}") }
}

/// Says where weights of an encoder can be had, as the end of a message.
fn hint(encoder: &EncoderEntry) -> String {
    match encoder.published().and_then(|published| Path::new(published.files.first()?.place).file_name()) {
        Some(file) => format!("; `hashlab fetch {}` downloads {}", encoder.name(), file.to_string_lossy()),
        None if encoder.is_in_torchvision() => {
            let name = encoder.name();
            format!("; `hashlab encoders {name}` says how to make it of torchvision's")
        }
        None => String::new(),
    }
}
