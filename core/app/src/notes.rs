//! Digests of files that are remembered by path, size and time of change, so that planning reads no file twice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

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
    /// What the file was found to fit: names of encoders.
    #[serde(default)]
    fits: BTreeSet<String>,
}

/// The digest of a file that fits `purpose`: as it was noted in the folder `notes`, or by reading it.
///
/// # Errors
/// As `read`.
pub(crate) fn digest(
    notes: &Path,
    path: &Path,
    purpose: &str,
    read: impl Fn(&Path) -> Result<String, String>,
) -> Result<String, String> {
    let note = Note::of(path);
    let noted = note.as_ref().and_then(|note| note.read(notes));
    match noted {
        Some(noted) if noted.fits.contains(purpose) => Ok(noted.digest),
        noted => {
            let digest = read(path)?;
            if let Some(note) = note {
                let mut fits = noted.map(|noted| noted.fits).unwrap_or_default();
                fits.insert(purpose.to_owned());
                note.write(notes, &digest, fits);
            }
            Ok(digest)
        }
    }
}

/// The files whose digests are noted and that are unchanged since, with the digests.
pub(crate) fn known(notes: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(notes) else { return Vec::new() };
    let unchanged = |path: PathBuf| {
        let noted: Noted = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (Note::of(&noted.file.path)? == noted.file).then_some((noted.digest, noted.file.path))
    };
    entries.flatten().filter_map(|entry| unchanged(entry.path())).collect()
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
