//! Places of weights and tokenizers on this machine, and what messages say of them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hashlab_encoders::EncoderEntry;

use super::Lookup;
use super::section::EncoderSection;

impl Lookup {
    /// Looks the file of a key up: as a path, beside the experiment file, then in the folder `weights` of each data
    /// directory.
    pub(super) fn find(&self, section: EncoderSection<'_>, key: &str, named: &str) -> Result<PathBuf, String> {
        let modality = section.modality;
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
                Err(error) if error.kind() == ErrorKind::PermissionDenied => denied = Some((path, error)),
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
}

/// The tokenizer in the folder of the weights.
pub(super) fn beside(weights: Option<&Path>, names: &[&str]) -> Result<PathBuf, String> {
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
pub(super) fn about(path: &Path, message: &str) -> String {
    let path = path.display().to_string();
    if message.contains(&path) { message.to_owned() } else { format!("{path}: {message}") }
}

/// Says where weights of an encoder can be had, as the end of a message.
pub(super) fn hint(encoder: &EncoderEntry) -> String {
    match encoder.published().and_then(|published| Path::new(published.files.first()?.place).file_name()) {
        Some(file) => format!("; `hashlab fetch {}` downloads {}", encoder.name(), file.to_string_lossy()),
        None if encoder.is_in_torchvision() => {
            let name = encoder.name();
            format!("; `hashlab encoders {name}` says how to make it of torchvision's")
        }
        None => String::new(),
    }
}
