//! Files of encoders, weights and tokenizers: where they lie, and their digests.
//!
//! A digest is remembered beside the feature cache with the file's size and modification time, so that planning an
//! experiment reads no file twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use candle_core::Device;
use hashlab_data::{DataDirs, EncoderFacts, Modality};
use hashlab_encoders::{EncoderEntry, TextEntry, TokenSource, Tokenizer, Weights};
use hashlab_pipeline::config::NO_ENCODER;
use hashlab_settings::{Settings, Violations};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands for a digest where an encoder starts from random weights.
pub const RANDOM: &str = "random";

/// The files of a plan's encoders, by digest.
#[derive(Clone, Debug, Default)]
pub struct EncoderFiles(BTreeMap<String, PathBuf>);

/// Looks the files of an experiment's encoders up.
pub(crate) struct Lookup {
    pub(crate) encoders: &'static [EncoderEntry],
    pub(crate) dirs: DataDirs,
    /// Where digests are remembered.
    pub(crate) notes: PathBuf,
    /// The digests of files, and of which encoders they fit, for one plan.
    pub(crate) digests: Mutex<BTreeMap<(PathBuf, &'static str), String>>,
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
}

impl Lookup {
    /// Looks for what an encoder section names, and says what is known of its features.
    ///
    /// # Errors
    /// As [`Lookup::resolve`].
    pub(crate) fn inspect(&self, modality: Modality, settings: &Settings) -> Result<EncoderFacts, Violations> {
        self.resolve(modality, settings, &mut EncoderFiles::default())?;
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
        let weights = self.weights(section).map_err(wrong("weights"))?;
        if let Some((digest, _)) = &weights {
            resolved.insert("digest".into(), digest.as_str().into());
        }
        let tokenizer = match encoder {
            EncoderEntry::Image(_) => None,
            EncoderEntry::Text(entry) => {
                complete(&mut resolved, entry);
                let weights = weights.as_ref().and_then(|(_, path)| path.as_deref());
                self.tokenizer(section, entry, weights).map_err(wrong("tokenizer"))?
            }
        };
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
        let Section { modality, settings, encoder } = section;
        let (name, trained) = (encoder.name(), settings.get("finetune").is_some_and(|on| on == true));
        match (encoder.needs_weights(), section.text("weights")) {
            (false, None) => Ok(None),
            // The sizes of a network of texts are those of its file.
            (true, None) if trained && modality == Modality::Image => Ok(Some((RANDOM.to_owned(), None))),
            (false, Some(_)) => Err(format!("encoder `{name}` reads no weights file\nhelp: remove `weights`")),
            (true, None) => Err(format!(
                "encoder `{name}` needs pretrained weights\nhelp: set `weights` in [{modality}] to a safetensors file{}",
                hint(encoder)
            )),
            (true, Some(_)) => {
                let path = self.find(section, "weights")?;
                Ok(Some((self.digest(&path, name, |path| weights_digest(path, encoder))?, Some(path))))
            }
        }
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
            (TokenSource::File(_), Some(_)) => self.find(section, "tokenizer")?,
            (TokenSource::File(names), None) => beside(weights, names)?,
        };
        let read = |path: &Path| match Tokenizer::read(path, entry.max_tokens, None) {
            Ok(tokenizer) => Ok(tokenizer.digest().to_owned()),
            Err(error) => Err(about(path, &error.to_string())),
        };
        Ok(Some((self.digest(&path, entry.name, read)?, path)))
    }

    /// Looks the file of a key up: as a path, then in the folder `weights` of each data directory.
    fn find(&self, section: Section<'_>, key: &str) -> Result<PathBuf, String> {
        let (named, modality) = (section.text(key).unwrap_or_default(), section.modality);
        let mut looked = vec![PathBuf::from(named)];
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
        let note = Note::of(path);
        let noted = note.as_ref().and_then(|note| note.read(&self.notes));
        let digest = match &noted {
            Some(noted) if noted.fits.contains(encoder) => noted.digest.clone(),
            _ => {
                let digest = read(path)?;
                if let Some(note) = note {
                    let mut fits = noted.map(|noted| noted.fits).unwrap_or_default();
                    fits.insert(encoder.to_owned());
                    note.write(&self.notes, &digest, fits);
                }
                digest
            }
        };
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

/// A file as it was when its digest was taken.
#[derive(PartialEq, Serialize, Deserialize)]
struct Note {
    path: PathBuf,
    size: u64,
    /// Nanoseconds since 1970.
    modified: u128,
}

#[derive(Serialize, Deserialize)]
struct Noted {
    file: Note,
    digest: String,
    /// The encoders that the file was found to fit.
    #[serde(default)]
    fits: BTreeSet<String>,
}

impl Note {
    fn of(path: &Path) -> Option<Self> {
        let path = std::fs::canonicalize(path).ok()?;
        let file = std::fs::metadata(&path).ok()?;
        let modified = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Self { size: file.len(), modified, path })
    }

    fn place(&self, notes: &Path) -> PathBuf {
        let name = blake3::hash(self.path.to_string_lossy().as_bytes()).to_hex();
        notes.join(format!("{}.json", &name[..16]))
    }

    fn read(&self, notes: &Path) -> Option<Noted> {
        let noted: Noted = serde_json::from_slice(&std::fs::read(self.place(notes)).ok()?).ok()?;
        (noted.file == *self).then_some(noted)
    }

    /// Writes the note; where that fails, the next plan reads the file again.
    fn write(self, notes: &Path, digest: &str, fits: BTreeSet<String>) {
        let place = self.place(notes);
        let noted = Noted { file: self, digest: digest.to_owned(), fits };
        let partial = place.with_extension(format!("{}.tmp", std::process::id()));
        let write = || {
            std::fs::create_dir_all(notes)?;
            std::fs::write(&partial, serde_json::to_vec(&noted)?)?;
            std::fs::rename(&partial, &place)
        };
        if let Err(error) = write() {
            tracing::debug!("cannot note the digest of {}: {error}", noted.file.path.display());
            let _ = std::fs::remove_file(&partial);
        }
    }
}

/// A message with the file that it is about.
fn about(path: &Path, message: &str) -> String {
    let path = path.display().to_string();
    if message.contains(&path) { message.to_owned() } else { format!("{path}: {message}") }
}

/// Says where weights of an encoder can be had, as the end of a message.
fn hint(encoder: &EncoderEntry) -> String {
    let file = encoder.published().and_then(|published| Path::new(published.files.first()?.place).file_name());
    match (file, encoder.hub_model()) {
        (Some(file), _) => format!("; `hashlab fetch {}` downloads {}", encoder.name(), file.to_string_lossy()),
        (None, Some(model)) => format!("; it reads those of `{model}` on the Hugging Face hub"),
        (None, None) => String::new(),
    }
}
