//! Weights files: where they lie, and their digests.
//!
//! A digest is remembered beside the feature cache with the file's size and modification time, so that planning an
//! experiment reads no weights twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hashlab_data::{DataDirs, Modality};
use hashlab_encoders::{Entry as EncoderEntry, Weights};
use hashlab_pipeline::config::NO_ENCODER;
use hashlab_settings::Settings;
use serde::{Deserialize, Serialize};

/// What stands for a digest where an encoder starts from random weights.
pub const RANDOM: &str = "random";

/// The weights files of a plan, by digest.
#[derive(Clone, Debug, Default)]
pub struct WeightFiles(BTreeMap<String, PathBuf>);

/// Looks weights up for the encoders of an experiment.
pub(crate) struct Lookup<'a> {
    pub(crate) encoders: &'static [EncoderEntry],
    pub(crate) dirs: &'a DataDirs,
    /// Where digests are remembered.
    pub(crate) notes: PathBuf,
}

impl WeightFiles {
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

impl Lookup<'_> {
    /// Puts the digest of an encoder section's weights in the place of their name.
    pub(crate) fn resolve(
        &self,
        modality: Modality,
        section: &Settings,
        files: &mut WeightFiles,
    ) -> Result<Settings, String> {
        let text = |key: &str| section.get(key).and_then(|value| value.as_str());
        let name = text("encoder").unwrap_or_default();
        let mut resolved = section.clone();
        resolved.shift_remove("weights");
        if name == NO_ENCODER {
            return Ok(resolved);
        }
        let network = self.encoders.iter().find(|encoder| encoder.name == name);
        let network = network.ok_or_else(|| format!("unknown {modality} encoder `{name}`"))?;
        let trained = section.get("finetune").is_some_and(|on| on == true);
        let digest = match (network.needs_weights, text("weights")) {
            (false, None) => None,
            (true, None) if trained => Some(RANDOM.to_owned()),
            (false, Some(_)) => return Err(format!("encoder `{name}` reads no weights file; remove `weights`")),
            (true, None) => {
                return Err(format!(
                    "encoder `{name}` needs pretrained weights\nhelp: set `weights` in [{modality}] to a safetensors file{}",
                    hint(network)
                ));
            }
            (true, Some(weights)) => {
                let path = self.find(modality, weights, network)?;
                let digest = self.digest(&path)?;
                files.insert(digest.clone(), path);
                Some(digest)
            }
        };
        if let Some(digest) = digest {
            resolved.insert("digest".into(), digest.into());
        }
        Ok(resolved)
    }

    /// Looks a weights file up: as a path, then in the folder `weights` of each data directory.
    fn find(&self, modality: Modality, weights: &str, network: &EncoderEntry) -> Result<PathBuf, String> {
        let mut looked = vec![PathBuf::from(weights)];
        for dir in &self.dirs.0 {
            looked.extend([dir.join("weights").join(weights), dir.join(weights)]);
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
        Err(format!(
            "`weights` of [{modality}], `{weights}`, was not found\n{}\nhelp: put the file into `weights` in your data directory \
             (--data-dir, HASHLAB_DATA or ./data), or name its path in [{modality}]{}",
            places.join("\n"),
            hint(network)
        ))
    }

    /// The digest of a file: as it was noted, or by reading it.
    fn digest(&self, path: &Path) -> Result<String, String> {
        let note = Note::of(path);
        if let Some(digest) = note.as_ref().and_then(|note| note.read(&self.notes)) {
            return Ok(digest);
        }
        let weights = Weights::read(path).map_err(|error| about(path, &error.to_string()))?;
        if let Some(note) = note {
            note.write(&self.notes, weights.digest());
        }
        Ok(weights.digest().to_owned())
    }
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

    fn read(&self, notes: &Path) -> Option<String> {
        let noted: Noted = serde_json::from_slice(&std::fs::read(self.place(notes)).ok()?).ok()?;
        (noted.file == *self).then_some(noted.digest)
    }

    /// Writes the note; where that fails, the next plan reads the file again.
    fn write(self, notes: &Path, digest: &str) {
        let place = self.place(notes);
        let noted = Noted { file: self, digest: digest.to_owned() };
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

/// Says which weights of a network can be downloaded, as the end of a message.
fn hint(network: &EncoderEntry) -> String {
    let file = network.published().and_then(|published| Path::new(published.files.first()?.place).file_name());
    file.map_or(String::new(), |file| {
        format!("; `hashlab fetch {}` downloads {}", network.name, file.to_string_lossy())
    })
}
