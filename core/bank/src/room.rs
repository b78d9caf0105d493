//! Room for segments: what the bank holds, and what is removed when it is full.

use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checksums::{self, Record};
use crate::folder::Folder;
use crate::key::Identity;
use crate::lock::Lock;
use crate::{BankError, SegmentKey, Shape};

/// A segment in the bank.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The segment's folder.
    pub path: PathBuf,
    /// What it holds; none if its description is damaged.
    pub key: Option<SegmentKey>,
    /// Its size; none if its description is damaged.
    pub shape: Option<Shape>,
    /// Rows on disk.
    pub rows_done: usize,
    /// Whether every row is on disk.
    pub complete: bool,
    /// Bytes that count against the bank's limit. A segment counts in full from the start of its extraction, so that
    /// segments that are extracted side by side do not outgrow the limit together.
    pub bytes: u64,
    /// When it was last opened.
    pub last_used: SystemTime,
}

/// What [`Bank::prune`](crate::Bank::prune) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Segments removed.
    pub segments: usize,
    /// Bytes freed.
    pub bytes: u64,
    /// Bytes that the bank still takes.
    pub left: u64,
}

/// Lists all segments, least recently used first.
pub(crate) fn list(root: &Path) -> Result<Vec<Entry>, BankError> {
    let mut entries = Vec::new();
    for shelf in subfolders(root)? {
        for path in subfolders(&shelf)? {
            entries.extend(describe(Folder::at(path)));
        }
    }
    entries.sort_by(|a, b| (a.last_used, &a.path).cmp(&(b.last_used, &b.path)));
    Ok(entries)
}

/// Makes room for a segment within `limit` and takes it by writing the segment's description.
pub(crate) fn reserve(root: &Path, limit: Option<u64>, folder: &Folder, identity: &Identity) -> Result<(), BankError> {
    let _bank = lock(root)?;
    if let Some(limit) = limit {
        let needed = size(identity);
        let mut others = list(root)?;
        others.retain(|entry| entry.path != folder.path());
        let plan = Plan::new(others, limit.saturating_sub(needed))?;
        // Nothing is removed in vain.
        if needed > limit || plan.left > limit - needed {
            return Err(BankError::Full { root: root.to_owned(), needed, in_use: plan.left, limit });
        }
        plan.carry_out()?;
    }
    folder.describe(identity)
}

/// Removes segments that nobody uses until the bank takes at most `keep` bytes, or none is left to remove.
pub(crate) fn prune(root: &Path, keep: u64) -> Result<Pruned, BankError> {
    let _bank = lock(root)?;
    Plan::new(list(root)?, keep)?.carry_out()
}

/// Segments to remove, each locked against use until it is gone.
struct Plan {
    victims: Vec<(Entry, Lock)>,
    left: u64,
}

impl Plan {
    /// Chooses from `entries`, least recently used first, until the rest takes at most `keep` bytes.
    fn new(entries: Vec<Entry>, keep: u64) -> Result<Self, BankError> {
        let mut plan = Self { left: entries.iter().map(|entry| entry.bytes).sum(), victims: Vec::new() };
        for entry in entries {
            if plan.left <= keep {
                break;
            }
            if let Some(unused) = Lock::try_exclusive(&Folder::at(entry.path.clone()).use_lock())? {
                plan.left -= entry.bytes;
                plan.victims.push((entry, unused));
            }
        }
        Ok(plan)
    }

    fn carry_out(self) -> Result<Pruned, BankError> {
        let mut pruned = Pruned { segments: 0, bytes: 0, left: self.left };
        for (entry, _unused) in self.victims {
            tracing::info!(segment = %entry.path.display(), bytes = entry.bytes, "removed to make room in the bank");
            Folder::at(entry.path).clear()?;
            pruned.segments += 1;
            pruned.bytes += entry.bytes;
        }
        Ok(pruned)
    }
}

fn lock(root: &Path) -> Result<Lock, BankError> {
    Lock::exclusive(&root.join("lock"))
}

/// Bytes of a segment, once it is complete.
fn size(identity: &Identity) -> u64 {
    identity.bytes() + checksums::position(identity.shape.chunks())
}

/// Describes a segment; none if the folder holds no content, as after a removal.
fn describe(folder: Folder) -> Option<Entry> {
    let last_used = fs::metadata(folder.use_lock()).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let (complete, records) = records(&folder);
    let identity = folder.identity();
    let stored = folder.stored_bytes();
    if identity.is_none() && stored == 0 {
        return None;
    }
    Some(Entry {
        path: folder.path().to_owned(),
        rows_done: identity.as_ref().map_or(0, |identity| checksums::rows_recorded(identity, &records)),
        bytes: identity.as_ref().map_or(stored, size),
        shape: identity.as_ref().map(|identity| identity.shape),
        key: identity.map(|identity| identity.key),
        complete,
        last_used,
    })
}

fn records(folder: &Folder) -> (bool, Vec<Record>) {
    match checksums::read(&folder.checksums()) {
        Ok(Some(records)) => (true, records),
        _ => (false, checksums::read(&folder.partial_checksums()).ok().flatten().unwrap_or_default()),
    }
}

fn subfolders(path: &Path) -> Result<Vec<PathBuf>, BankError> {
    let read = |entries: ReadDir| -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    };
    match fs::read_dir(path).and_then(read) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        done => done.map_err(BankError::io("read", path)),
    }
}
