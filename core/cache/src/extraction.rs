//! Extraction of a feature file chunk by chunk, interruptible at any moment.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::CacheError;
use crate::checksums::{self, Checker, State};
use crate::folder::Folder;
use crate::key::Identity;

/// A feature file under extraction. The owner holds the feature file's build lock.
pub(crate) struct Extraction<'a> {
    folder: &'a Folder,
    identity: &'a Identity,
    checker: Checker<'a>,
    data: File,
    checksums: File,
    todo: std::vec::IntoIter<usize>,
    rows_done: usize,
}

impl<'a> Extraction<'a> {
    /// Opens the data of an earlier extraction, if any, and finds the chunks that are missing or damaged.
    pub(crate) fn resume(folder: &'a Folder, identity: &'a Identity) -> Result<Self, CacheError> {
        let was_complete = reopen(folder)?;
        let data = open(&folder.data(identity.dtype()))?;
        let partial = folder.partial_checksums();
        let checksums = open(&partial)?;
        let records = checksums::read(&partial).map_err(CacheError::io("read", &partial))?.unwrap_or_default();
        let checker = Checker::new(identity);
        let states = checker.inspect(&data, &records);
        warn_of_damage(folder, &states, was_complete);
        let todo: Vec<usize> = (0..states.len()).filter(|&chunk| states[chunk] != State::Intact).collect();
        let rows_done =
            identity.shape.rows - todo.iter().map(|&chunk| identity.shape.chunk(chunk).len()).sum::<usize>();
        Ok(Self { folder, identity, checker, data, checksums, todo: todo.into_iter(), rows_done })
    }

    /// The next chunk to extract and [store](Self::store), ascending; `None` once all are on disk.
    pub(crate) fn next_chunk(&mut self) -> Option<usize> {
        self.todo.next()
    }

    /// Rows that are on disk.
    pub(crate) fn rows_done(&self) -> usize {
        self.rows_done
    }

    /// Stores the features of a chunk, and its record once the data are on disk.
    pub(crate) fn store(&mut self, chunk: usize, features: &[f32]) -> Result<(), CacheError> {
        self.check(chunk, features)?;
        let bytes = self.identity.dtype().encode(features);
        let rows = self.identity.shape.chunk(chunk);
        let write = || {
            self.data.write_all_at(&bytes, self.identity.offset(rows.start))?;
            self.data.sync_data()
        };
        write().map_err(CacheError::io("write", &self.folder.data(self.identity.dtype())))?;
        let record = self.checker.record(chunk, &bytes);
        self.checksums
            .write_all_at(&record, checksums::position(chunk))
            .map_err(CacheError::io("write", &self.folder.partial_checksums()))?;
        self.rows_done += rows.len();
        Ok(())
    }

    /// Marks the feature file as complete and returns its data.
    pub(crate) fn finish(self) -> Result<File, CacheError> {
        let (partial, complete) = (self.folder.partial_checksums(), self.folder.checksums());
        self.checksums.sync_all().map_err(CacheError::io("write", &partial))?;
        // If a power failure undoes the renaming, the next start finds no missing chunk and renames again.
        fs::rename(&partial, &complete).map_err(CacheError::io("rename", &partial))?;
        Ok(self.data)
    }

    fn check(&self, chunk: usize, features: &[f32]) -> Result<(), CacheError> {
        let (shape, dtype) = (self.identity.shape, self.identity.dtype());
        let path = self.folder.data(dtype);
        let rows = shape.chunk(chunk);
        let (first, expected, got) = (rows.start, rows.len() * shape.dim, features.len());
        if got != expected {
            return Err(CacheError::Extracted { path, first, expected, got });
        }
        let Some(at) = features.iter().position(|&value| !value.is_finite() || !dtype.holds(value)) else {
            return Ok(());
        };
        let (row, column, value) = (first + at / shape.dim, at % shape.dim, features[at]);
        if value.is_finite() {
            return Err(CacheError::OutOfRange { path, row, column, value });
        }
        Err(CacheError::NotFinite { path, row, column, value })
    }
}

/// Removes the mark of completeness from a damaged feature file; returns whether there was one.
fn reopen(folder: &Folder) -> Result<bool, CacheError> {
    let complete = folder.checksums();
    match fs::rename(&complete, folder.partial_checksums()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CacheError::io("rename", &complete)(error)),
    }
}

fn open(path: &Path) -> Result<File, CacheError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(CacheError::io("open", path))
}

/// Logs a missing chunk only for a feature file that was complete before.
fn warn_of_damage(folder: &Folder, states: &[State], was_complete: bool) {
    let lost = |state: &&State| **state == State::Damaged || was_complete && **state == State::Missing;
    let damaged = states.iter().filter(lost).count();
    if damaged > 0 {
        let (feature_file, chunks) = (folder.path().display(), states.len());
        tracing::warn!(%feature_file, damaged, chunks, "damaged feature file: its damaged chunks are extracted again");
    }
}
