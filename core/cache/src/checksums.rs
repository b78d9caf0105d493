//! Checksums of chunks: the proof that a chunk is complete and in its place.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;

use crate::key::Identity;

/// A chunk's checksum. All zeros, or missing at the file's end: the chunk was never extracted.
pub(crate) type Record = [u8; 32];

const BLANK: Record = [0; 32];

/// Bytes hashed at a time: few enough for the processor's cache, enough for blake3's widest instructions.
const BLOCK: usize = 256 << 10;

/// Least number of bytes per thread.
const THREAD_BYTES: u64 = 16 << 20;

/// State of a chunk on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not extracted, or not completely.
    Missing,
    /// Extracted, and changed since.
    Damaged,
    /// Extracted and unchanged.
    Intact,
}

/// Computes and compares the checksums of one feature file.
pub(crate) struct Checker<'a> {
    identity: &'a Identity,
    /// Key of every checksum, so that data of another feature file never match.
    digest: blake3::Hash,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(identity: &'a Identity) -> Self {
        Self { identity, digest: identity.digest() }
    }

    /// Computes the record of a chunk from its data.
    pub(crate) fn record(&self, chunk: usize, data: &[u8]) -> Record {
        *self.hasher(chunk).update(data).finalize().as_bytes()
    }

    /// Compares every chunk on disk with its record, in parallel.
    pub(crate) fn inspect(&self, data: &File, records: &[Record]) -> Vec<State> {
        let mut states = vec![State::Missing; self.identity.shape.chunks()];
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = threads.min((self.identity.bytes() / THREAD_BYTES) as usize + 1);
        let share = states.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            for (part, states) in states.chunks_mut(share).enumerate() {
                scope.spawn(move || {
                    for (state, chunk) in states.iter_mut().zip(part * share..) {
                        *state = self.state(data, chunk, records.get(chunk).unwrap_or(&BLANK));
                    }
                });
            }
        });
        states
    }

    fn state(&self, data: &File, chunk: usize, record: &Record) -> State {
        if record == &BLANK {
            return State::Missing;
        }
        // Unreadable data, beyond the file's end or on a bad block, count as damaged.
        match self.record_on_disk(data, chunk) {
            Ok(found) if found == *record => State::Intact,
            _ => State::Damaged,
        }
    }

    fn record_on_disk(&self, data: &File, chunk: usize) -> io::Result<Record> {
        let rows = self.identity.shape.chunk(chunk);
        let (mut at, end) = (self.identity.offset(rows.start), self.identity.offset(rows.end));
        let mut hasher = self.hasher(chunk);
        let mut block = vec![0; BLOCK.min((end - at) as usize)];
        while at < end {
            let length = block.len().min((end - at) as usize);
            data.read_exact_at(&mut block[..length], at)?;
            hasher.update(&block[..length]);
            at += length as u64;
        }
        Ok(*hasher.finalize().as_bytes())
    }

    fn hasher(&self, chunk: usize) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(self.digest.as_bytes());
        hasher.update(&(chunk as u64).to_le_bytes());
        hasher
    }
}

/// Position of a chunk's record in the file, in bytes.
pub(crate) fn position(chunk: usize) -> u64 {
    (chunk * size_of::<Record>()) as u64
}

/// Reads all whole records of a file; none if there is no file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<Record>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes.as_chunks().0.to_vec())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts the rows whose chunks have a record.
pub(crate) fn rows_recorded(identity: &Identity, records: &[Record]) -> usize {
    let recorded = (0..identity.shape.chunks()).zip(records).filter(|(_, record)| **record != BLANK);
    recorded.map(|(chunk, _)| identity.shape.chunk(chunk).len()).sum()
}
