//! Listing and eviction of feature files under the cache's size limit.

use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checksums::{self, Record};
use crate::folder::Folder;
use crate::key::Identity;
use crate::lock::Lock;
use crate::{CacheError, FeatureKey, Shape};

/// A feature file in the cache.
#[derive(Clone, Debug)]
pub struct CachedFile {
    /// Folder of the feature file.
    pub path: PathBuf,
    /// Its identity; `None` if the stored one is damaged.
    pub key: Option<FeatureKey>,
    /// Its size; `None` if the stored identity is damaged.
    pub shape: Option<Shape>,
    /// Rows on disk.
    pub rows_done: usize,
    /// Whether every row is on disk.
    pub complete: bool,
    /// Bytes that count against the cache's limit. A feature file counts in full from the start of its extraction, so
    /// that concurrent extractions respect the limit together.
    pub bytes: u64,
    /// Time of the last opening.
    pub last_used: SystemTime,
}

/// Result of [`FeatureCache::prune`](crate::FeatureCache::prune).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Feature files removed.
    pub feature_files: usize,
    /// Bytes freed.
    pub bytes: u64,
    /// Bytes that the cache still takes.
    pub left: u64,
}

/// Lists all feature files, least recently used first.
pub(crate) fn list(root: &Path) -> Result<Vec<CachedFile>, CacheError> {
    let mut entries = Vec::new();
    for shard in subfolders(root)? {
        for path in subfolders(&shard)? {
            entries.extend(describe(Folder::at(path)));
        }
    }
    entries.sort_by(|a, b| (a.last_used, &a.path).cmp(&(b.last_used, &b.path)));
    Ok(entries)
}

/// Makes room for a feature file within `limit`, and reserves it by writing the file's identity.
pub(crate) fn reserve(root: &Path, limit: Option<u64>, folder: &Folder, identity: &Identity) -> Result<(), CacheError> {
    let _lock = lock(root)?;
    if let Some(limit) = limit {
        let needed = size(identity);
        let mut others = list(root)?;
        others.retain(|entry| entry.path != folder.path());
        let plan = Plan::new(others, limit.saturating_sub(needed))?;
        // No file is removed if that would not suffice.
        if needed > limit || plan.left > limit - needed {
            return Err(CacheError::Full { root: root.to_owned(), needed, in_use: plan.left, limit });
        }
        plan.carry_out()?;
    }
    folder.describe(identity)
}

/// Removes unused feature files until the cache takes at most `keep` bytes, or none is left to remove.
pub(crate) fn prune(root: &Path, keep: u64) -> Result<Pruned, CacheError> {
    let _lock = lock(root)?;
    Plan::new(list(root)?, keep)?.carry_out()
}

/// Removes the feature files that `unwanted` names, but for those in use.
pub(crate) fn remove(root: &Path, unwanted: impl Fn(&CachedFile) -> bool) -> Result<Pruned, CacheError> {
    let _lock = lock(root)?;
    let (unwanted, wanted): (Vec<CachedFile>, Vec<CachedFile>) = list(root)?.into_iter().partition(unwanted);
    let mut plan = Plan::new(unwanted, 0)?;
    plan.left += wanted.iter().map(|entry| entry.bytes).sum::<u64>();
    plan.carry_out()
}

/// Feature files to remove, each locked against use until it is removed.
struct Plan {
    evicted: Vec<(CachedFile, Lock)>,
    left: u64,
}

impl Plan {
    /// Chooses from `entries`, least recently used first, until the rest takes at most `keep` bytes.
    fn new(entries: Vec<CachedFile>, keep: u64) -> Result<Self, CacheError> {
        let mut plan = Self { left: entries.iter().map(|entry| entry.bytes).sum(), evicted: Vec::new() };
        for entry in entries {
            if plan.left <= keep {
                break;
            }
            if let Some(unused) = Lock::try_exclusive(&Folder::at(entry.path.clone()).use_lock())? {
                plan.left -= entry.bytes;
                plan.evicted.push((entry, unused));
            }
        }
        Ok(plan)
    }

    fn carry_out(self) -> Result<Pruned, CacheError> {
        let mut pruned = Pruned { feature_files: 0, bytes: 0, left: self.left };
        for (entry, _unused) in self.evicted {
            tracing::info!(feature_file = %entry.path.display(), bytes = entry.bytes, "removed to make room in the cache");
            Folder::at(entry.path).clear()?;
            pruned.feature_files += 1;
            pruned.bytes += entry.bytes;
        }
        Ok(pruned)
    }
}

fn lock(root: &Path) -> Result<Lock, CacheError> {
    Lock::exclusive(&root.join("lock"))
}

/// Bytes of a feature file, once it is complete.
pub(crate) fn size(identity: &Identity) -> u64 {
    identity.bytes() + checksums::position(identity.shape.chunks())
}

/// Describes a feature file; `None` if the folder is empty, as after a removal.
fn describe(folder: Folder) -> Option<CachedFile> {
    let last_used = fs::metadata(folder.use_lock()).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let (complete, records) = records(&folder);
    let identity = folder.identity();
    let stored = folder.stored_bytes();
    if identity.is_none() && stored == 0 {
        return None;
    }
    Some(CachedFile {
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

fn subfolders(path: &Path) -> Result<Vec<PathBuf>, CacheError> {
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
        done => done.map_err(CacheError::io("read", path)),
    }
}
