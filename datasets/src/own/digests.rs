//! Digests of a user's files, remembered between processes.
//!
//! A file that has the path, size and time of change of a remembered one has its digest. Notes are a folder of small
//! binary files, one per list of files; what is damaged or missing there is computed again.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hashlab_data::DataError;
use rayon::prelude::*;

use super::places::{damaged, unreadable};

/// A digest of content.
pub(crate) type Digest = [u8; 32];

/// Bytes of a stamp: half a digest of path, size and time of change.
const STAMP: usize = 16;
/// Bytes of a note: stamp, digest, and what is known of the image.
const NOTE: usize = STAMP + 32 + 1;
/// Files between two times that notes are written, so that an interruption loses little.
const STRIDE: usize = 1 << 16;

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Digest of its content.
    pub(crate) digest: Digest,
    /// Whether it decodes, where that was asked for.
    pub(crate) state: State,
}

/// Whether a file is an image that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was not decoded.
    Unknown = 0,
    /// It decodes.
    Good = 1,
    /// It does not.
    Bad = 2,
    /// There is no such file.
    Missing = 3,
}

impl State {
    fn of(byte: u8) -> Option<Self> {
        [Self::Unknown, Self::Good, Self::Bad].into_iter().find(|state| *state as u8 == byte)
    }
}

/// Digests `count` files, the first time in parallel from their content, later from what was noted. With `decode`, every
/// file is decoded, too.
///
/// # Errors
/// If a file is there and cannot be read.
pub(crate) fn digest_files(
    count: usize,
    path: impl Fn(usize) -> PathBuf + Sync,
    decode: bool,
    notes: Option<&Path>,
) -> Result<Vec<Known>, DataError> {
    let notes = notes.filter(|_| count > 0).map(|dir| Notes::open(dir, &path(0), count));
    let mut known: Vec<([u8; STAMP], Known)> = Vec::with_capacity(count);
    for start in (0..count).step_by(STRIDE) {
        let part = start..(start + STRIDE).min(count);
        let one = |index: usize| -> Result<(([u8; STAMP], Known), bool), DataError> {
            let path = path(index);
            let Ok(metadata) = fs::metadata(&path) else {
                return Ok((([0; STAMP], Known { digest: [0; 32], state: State::Missing }), false));
            };
            if !metadata.is_file() {
                return Err(damaged(&path, "this is no file but a folder, pipe or device", "correct the path"));
            }
            let stamp = stamp(&path, &metadata);
            let remembered = notes.as_ref().and_then(|notes| notes.get(index, &stamp));
            match remembered.filter(|known| !decode || known.state != State::Unknown) {
                Some(known) => Ok(((stamp, known), false)),
                None => Ok(((stamp, examine(&path, decode)?), true)),
            }
        };
        let found = part.into_par_iter().map(one).collect::<Result<Vec<_>, DataError>>()?;
        let new = found.iter().any(|(_, new)| *new);
        known.extend(found.into_iter().map(|(known, _)| known));
        if let Some(notes) = notes.as_ref().filter(|_| new) {
            notes.write(&known);
        }
    }
    Ok(known.into_iter().map(|(_, known)| known).collect())
}

/// Digests one file from its content.
///
/// # Errors
/// If it cannot be read.
fn examine(path: &Path, decode: bool) -> Result<Known, DataError> {
    if decode {
        let bytes = fs::read(path).map_err(unreadable(path))?;
        let state = if hashlab_image::decode(&bytes).is_ok() { State::Good } else { State::Bad };
        return Ok(Known { digest: *blake3::hash(&bytes).as_bytes(), state });
    }
    let mut hasher = blake3::Hasher::new();
    let file = File::open(path).map_err(unreadable(path))?;
    hasher.update_reader(file).map_err(unreadable(path))?;
    Ok(Known { digest: *hasher.finalize().as_bytes(), state: State::Unknown })
}

fn stamp(path: &Path, metadata: &fs::Metadata) -> [u8; STAMP] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(path.as_os_str().as_encoded_bytes());
    for number in [metadata.len() as i64, metadata.mtime(), metadata.mtime_nsec()] {
        hasher.update(&number.to_le_bytes());
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a digest is longer")
}

/// What is noted of a list of files.
struct Notes {
    file: PathBuf,
    bytes: Vec<u8>,
    /// Positions of the notes by stamp; made once the list turns out to be another one than the noted.
    sorted: OnceLock<Vec<u32>>,
}

impl Notes {
    /// Reads the notes of a list, which its first file and its length name.
    fn open(dir: &Path, first: &Path, count: usize) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(first.as_os_str().as_encoded_bytes()).update(&(count as u64).to_le_bytes());
        let file = dir.join(&hasher.finalize().to_hex()[..24]);
        let bytes = fs::read(&file).ok().filter(|bytes| bytes.len() % NOTE == 0).unwrap_or_default();
        Self { file, bytes, sorted: OnceLock::new() }
    }

    fn sorted(&self) -> &[u32] {
        self.sorted.get_or_init(|| {
            let mut sorted: Vec<u32> = (0..(self.bytes.len() / NOTE) as u32).collect();
            sorted.sort_unstable_by_key(|&at| self.stamp(at as usize));
            sorted
        })
    }

    fn stamp(&self, at: usize) -> &[u8] {
        &self.bytes[at * NOTE..][..STAMP]
    }

    /// What is noted of a file that has this stamp: most often at its place in the list.
    fn get(&self, index: usize, stamp: &[u8; STAMP]) -> Option<Known> {
        let there = |at: &usize| (at + 1) * NOTE <= self.bytes.len() && self.stamp(*at) == stamp;
        let at = Some(index).filter(there).or_else(|| {
            let sorted = self.sorted();
            let found = sorted.binary_search_by_key(&&stamp[..], |&at| self.stamp(at as usize)).ok()?;
            Some(sorted[found] as usize)
        })?;
        let note = &self.bytes[at * NOTE..][..NOTE];
        let digest = note[STAMP..].first_chunk().copied().expect("a note holds a digest");
        Some(Known { digest, state: State::of(note[NOTE - 1])? })
    }

    /// Writes notes. Where that fails, digests are computed again next time.
    fn write(&self, known: &[([u8; STAMP], Known)]) {
        let mut bytes = Vec::with_capacity(known.len() * NOTE);
        for (stamp, known) in known.iter().filter(|(_, known)| known.state != State::Missing) {
            bytes.extend_from_slice(stamp);
            bytes.extend_from_slice(&known.digest);
            bytes.push(known.state as u8);
        }
        // A name of its own for each process, so that a rename replaces whole notes by whole notes.
        let own = self.file.with_extension(std::process::id().to_string());
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(self.file.parent().unwrap_or(Path::new(".")))?;
            File::create(&own)?.write_all(&bytes)?;
            fs::rename(&own, &self.file)
        };
        if let Err(error) = write() {
            tracing::debug!("cannot note digests in {}: {error}", self.file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder {
        dir: tempfile::TempDir,
        names: Vec<&'static str>,
    }

    impl Folder {
        fn digests(&self, decode: bool) -> Vec<Known> {
            let notes = self.dir.path().join("notes");
            let path = |index: usize| self.dir.path().join(self.names[index]);
            digest_files(self.names.len(), path, decode, Some(&notes)).unwrap()
        }

        /// Changes the noted digests, so that what is remembered shows.
        fn forge(&self) {
            let note = fs::read_dir(self.dir.path().join("notes")).unwrap().next().unwrap().unwrap().path();
            let mut bytes = fs::read(&note).unwrap();
            bytes.chunks_mut(NOTE).for_each(|note| note[STAMP] ^= 1);
            fs::write(note, bytes).unwrap();
        }
    }

    fn folder() -> Folder {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        Folder { dir, names: vec!["a", "b", "c"] }
    }

    #[test]
    fn digests_are_those_of_the_content_and_are_remembered() {
        let folder = folder();
        let first = folder.digests(false);
        assert_eq!(first[1].digest, *blake3::hash(b"b").as_bytes());
        folder.forge();
        assert!(folder.digests(false).iter().zip(&first).all(|(forged, true_one)| forged.digest != true_one.digest));
        assert_ne!(folder.digests(true)[0].digest, [0; 32]);
        assert_eq!(folder.digests(true)[0], Known { digest: first[0].digest, state: State::Bad });
    }

    #[test]
    fn a_file_that_changed_is_read_again_and_a_missing_one_is_named() {
        let folder = folder();
        folder.digests(false);
        folder.forge();
        fs::write(folder.dir.path().join("b"), "other").unwrap();
        fs::remove_file(folder.dir.path().join("c")).unwrap();
        let again = folder.digests(false);
        assert_ne!(again[0].digest, *blake3::hash(b"a").as_bytes(), "remembered");
        assert_eq!(again[1].digest, *blake3::hash(b"other").as_bytes());
        assert_eq!(again[2].state, State::Missing);
    }

    #[test]
    fn another_order_is_remembered_and_a_damaged_note_is_not() {
        let mut folder = folder();
        folder.names = vec!["a", "c", "b"];
        folder.digests(false);
        folder.forge();
        folder.names = vec!["a", "b", "c"];
        assert_ne!(folder.digests(false)[1].digest, *blake3::hash(b"b").as_bytes());
        let note = fs::read_dir(folder.dir.path().join("notes")).unwrap().next().unwrap().unwrap().path();
        fs::write(note, "short").unwrap();
        assert_eq!(folder.digests(false)[1].digest, *blake3::hash(b"b").as_bytes());
    }
}
