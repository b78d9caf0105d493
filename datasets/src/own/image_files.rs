//! Images in files of their own.

use std::fs;
use std::path::{Path, PathBuf};

use hashlab_data::{DataError, Images, Rgb};
use hashlab_image::{Exif, decode_with};

use super::digests::{Known, State, digest_files};
use super::opened::{Examined, Pictures};
use super::places::{damaged, unreadable};
use super::strings::Strings;

/// Image files under a folder.
pub(crate) struct ImageFiles {
    root: PathBuf,
    /// Paths from the folder, by item.
    paths: Strings,
    exif: Exif,
    /// What is known of every file, once it was examined.
    known: Vec<Known>,
}

impl ImageFiles {
    /// Names the files; none is opened yet.
    pub(crate) fn new(root: PathBuf, paths: Strings, exif: Exif) -> Self {
        Self { root, paths, exif, known: Vec::new() }
    }

    fn path(&self, index: usize) -> PathBuf {
        self.root.join(self.paths.get(index))
    }

    /// The bytes of a file, which are those that its digest promises.
    fn bytes(&self, index: usize) -> Result<Vec<u8>, DataError> {
        let path = self.path(index);
        let bytes = fs::read(&path).map_err(unreadable(&path))?;
        if self.known.get(index).is_some_and(|known| known.digest != *blake3::hash(&bytes).as_bytes()) {
            let help = "results belong to the content that was planned with: plan again";
            return Err(damaged(&path, "the file changed since it was digested", help));
        }
        Ok(bytes)
    }
}

impl Images for ImageFiles {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        decode_with(&self.bytes(index)?, self.exif).map_err(|error| undecodable(&self.path(index), &error.to_string()))
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, DataError> {
        self.bytes(index).map(Some)
    }
}

const LEAVE_OUT: &str = "`image_folder`, `image_list`, `table` and `parquet` can leave such items out: \
                         `unreadable = \"skip\"` in [data]";

/// An error of decoding, with its own help or that of leaving the item out.
pub(crate) fn undecodable(path: &Path, error: &str) -> DataError {
    let (problem, help) = error.split_once("\nhelp: ").unwrap_or((error, ""));
    damaged(path, problem, format!("{help}; {LEAVE_OUT}"))
}

impl Pictures for ImageFiles {
    fn examine(&mut self, decode: bool, notes: Option<&Path>) -> Result<Examined, DataError> {
        self.known = digest_files(self.paths.len(), |index| self.path(index), decode, notes)?;
        let mut hasher = blake3::Hasher::new();
        self.known.iter().for_each(|known| {
            hasher.update(&known.digest);
        });
        let with = |wanted: State| -> Vec<u32> {
            let at = |(index, known): (usize, &Known)| (known.state == wanted).then_some(index as u32);
            self.known.iter().enumerate().filter_map(at).collect()
        };
        Ok(Examined {
            digest: *hasher.finalize().as_bytes(),
            missing: with(State::Missing),
            undecodable: with(State::Bad),
        })
    }

    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }
}
