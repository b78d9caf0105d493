//! Checkpoints: files whose names are digests of their contents.
//!
//! The name reveals damage, one rename makes writing atomic, and the file stays a plain safetensors file. A process
//! killed between writing a checkpoint and removing its predecessor leaves both; resuming from either gives the same
//! result.

use std::fs;
use std::path::{Path, PathBuf};

use super::{StoreError, files};

const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".safetensors";

/// Writes a checkpoint to `directory`, then removes its predecessors.
pub(super) fn write(directory: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let path = directory.join(file_name(bytes));
    files::replace(&path, bytes)?;
    remove_except(directory, Some(&path))
}

/// Reads a sound checkpoint, the newest if there are several.
pub(super) fn read(directory: &Path) -> Option<Vec<u8>> {
    let mut found = list(directory);
    found.sort_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
    found.iter().rev().find_map(|path| {
        let bytes = files::read(path)?;
        if path.file_name()?.to_str()? == file_name(&bytes) {
            return Some(bytes);
        }
        tracing::warn!("checkpoint `{}` is damaged: its content does not match its name; ignored", path.display());
        None
    })
}

/// Whether `directory` holds a checkpoint, sound or not.
pub(super) fn exists(directory: &Path) -> bool {
    !list(directory).is_empty()
}

/// Removes every checkpoint.
pub(super) fn remove_all(directory: &Path) -> Result<(), StoreError> {
    remove_except(directory, None)
}

fn remove_except(directory: &Path, kept: Option<&Path>) -> Result<(), StoreError> {
    list(directory).iter().filter(|path| Some(path.as_path()) != kept).try_for_each(|path| files::remove(path))
}

fn file_name(bytes: &[u8]) -> String {
    format!("{PREFIX}{}{SUFFIX}", &blake3::hash(bytes).to_hex()[..16])
}

pub(super) fn list(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_checkpoint = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
    };
    entries.flatten().map(|entry| entry.path()).filter(is_checkpoint).collect()
}
