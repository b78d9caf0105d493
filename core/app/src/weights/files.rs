//! The files of a plan's encoders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::notes;

/// The files of a plan's encoders, by digest.
#[derive(Clone, Debug, Default)]
pub struct EncoderFiles(BTreeMap<String, PathBuf>);

impl EncoderFiles {
    /// The file with this digest.
    pub fn path_of(&self, digest: &str) -> Option<&Path> {
        self.0.get(digest).map(PathBuf::as_path)
    }

    /// All files with their digests.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(digest, path)| (digest.as_str(), path.as_path()))
    }

    /// The files whose digests were noted by earlier plans, and that are unchanged since.
    pub(crate) fn noted(notes: &Path) -> Self {
        notes::known(notes).into_iter().collect()
    }

    /// Adds files whose digests are not known yet.
    pub(crate) fn extend(&mut self, others: Self) {
        for (digest, path) in others.0 {
            self.0.entry(digest).or_insert(path);
        }
    }

    /// Adds a file, and returns its digest.
    pub fn insert(&mut self, digest: String, path: PathBuf) -> String {
        self.0.insert(digest.clone(), path);
        digest
    }
}

impl FromIterator<(String, PathBuf)> for EncoderFiles {
    fn from_iter<I: IntoIterator<Item = (String, PathBuf)>>(files: I) -> Self {
        Self(files.into_iter().collect())
    }
}
