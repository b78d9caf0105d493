//! Filling a segment chunk by chunk, so that it can be interrupted at any moment.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::BankError;
use crate::checksums::{self, Checker, State};
use crate::folder::Folder;
use crate::key::Identity;

/// A segment under construction. Whoever has one holds the segment's build lock.
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
    /// Opens what an earlier extraction left, or nothing, and finds the chunks that are missing or damaged.
    pub(crate) fn resume(folder: &'a Folder, identity: &'a Identity) -> Result<Self, BankError> {
        let was_complete = reopen(folder)?;
        let data = open(&folder.data(identity.precision()))?;
        let partial = folder.partial_checksums();
        let checksums = open(&partial)?;
        let records = checksums::read(&partial).map_err(BankError::io("read", &partial))?.unwrap_or_default();
        let checker = Checker::new(identity);
        let states = checker.inspect(&data, &records);
        warn_of_damage(folder, &states, was_complete);
        let todo: Vec<usize> = (0..states.len()).filter(|&chunk| states[chunk] != State::Intact).collect();
        let rows_done =
            identity.shape.rows - todo.iter().map(|&chunk| identity.shape.chunk(chunk).len()).sum::<usize>();
        Ok(Self { folder, identity, checker, data, checksums, todo: todo.into_iter(), rows_done })
    }

    /// The next chunk to extract and [store](Self::store), ascending; none when all are on disk.
    pub(crate) fn next_chunk(&mut self) -> Option<usize> {
        self.todo.next()
    }

    /// Rows that are on disk.
    pub(crate) fn rows_done(&self) -> usize {
        self.rows_done
    }

    /// Stores the features of a chunk; its record follows once the data are on the disk.
    pub(crate) fn store(&mut self, chunk: usize, features: &[f32]) -> Result<(), BankError> {
        self.check(chunk, features)?;
        let bytes = self.identity.precision().encode(features);
        let rows = self.identity.shape.chunk(chunk);
        let write = || {
            self.data.write_all_at(&bytes, self.identity.offset(rows.start))?;
            self.data.sync_data()
        };
        write().map_err(BankError::io("write", &self.folder.data(self.identity.precision())))?;
        let record = self.checker.record(chunk, &bytes);
        self.checksums
            .write_all_at(&record, checksums::position(chunk))
            .map_err(BankError::io("write", &self.folder.partial_checksums()))?;
        self.rows_done += rows.len();
        Ok(())
    }

    /// Marks the segment as complete and returns its data.
    pub(crate) fn finish(self) -> Result<File, BankError> {
        let (partial, complete) = (self.folder.partial_checksums(), self.folder.checksums());
        self.checksums.sync_all().map_err(BankError::io("write", &partial))?;
        // Should a power failure undo the renaming, the next start finds nothing to extract and renames again.
        fs::rename(&partial, &complete).map_err(BankError::io("rename", &partial))?;
        Ok(self.data)
    }

    fn check(&self, chunk: usize, features: &[f32]) -> Result<(), BankError> {
        let (shape, precision) = (self.identity.shape, self.identity.precision());
        let path = self.folder.data(precision);
        let rows = shape.chunk(chunk);
        let (first, expected, got) = (rows.start, rows.len() * shape.dim, features.len());
        if got != expected {
            return Err(BankError::Extracted { path, first, expected, got });
        }
        let Some(at) = features.iter().position(|&value| !value.is_finite() || !precision.holds(value)) else {
            return Ok(());
        };
        let (row, column, value) = (first + at / shape.dim, at % shape.dim, features[at]);
        if value.is_finite() {
            return Err(BankError::OutOfRange { path, row, column, value });
        }
        Err(BankError::NotFinite { path, row, column, value })
    }
}

/// Takes the mark of completeness from a segment that turned out to be damaged, and tells whether it had one.
fn reopen(folder: &Folder) -> Result<bool, BankError> {
    let complete = folder.checksums();
    match fs::rename(&complete, folder.partial_checksums()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BankError::io("rename", &complete)(error)),
    }
}

fn open(path: &Path) -> Result<File, BankError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(BankError::io("open", path))
}

/// A chunk that is missing is news only in a segment that had all of them.
fn warn_of_damage(folder: &Folder, states: &[State], was_complete: bool) {
    let lost = |state: &&State| **state == State::Damaged || was_complete && **state == State::Missing;
    let damaged = states.iter().filter(lost).count();
    if damaged > 0 {
        let (segment, chunks) = (folder.path().display(), states.len());
        tracing::warn!(%segment, damaged, chunks, "damaged segment: its damaged chunks are extracted again");
    }
}
