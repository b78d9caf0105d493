//! The cache: lookup, extraction and listing of feature files.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::checksums;
use crate::extraction::Extraction;
use crate::folder::Folder;
use crate::key::Identity;
use crate::lock::Lock;
use crate::{CacheError, CachedFile, FeatureFile, FeatureKey, Pruned, Shape};
use crate::{eviction, feature_file};

/// Polling interval of a process that waits for another one's extraction.
const POLL: Duration = Duration::from_millis(100);

/// A directory of feature files, shared by any number of processes.
#[derive(Clone, Debug)]
pub struct FeatureCache {
    root: PathBuf,
    limit: Option<u64>,
}

/// Progress of an extraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another process extracts; this one waits.
    Waiting {
        /// Rows on disk.
        done: usize,
        /// Total rows.
        total: usize,
    },
    /// This process extracts.
    Extracting {
        /// Rows on disk, including those of an earlier, interrupted extraction.
        done: usize,
        /// Total rows.
        total: usize,
    },
}

impl Progress {
    /// The same progress as a part of a larger work of `total` rows, behind `before` rows of it.
    pub fn within(self, before: usize, total: usize) -> Self {
        match self {
            Self::Waiting { done, .. } => Self::Waiting { done: before + done, total },
            Self::Extracting { done, .. } => Self::Extracting { done: before + done, total },
        }
    }
}

impl FeatureCache {
    /// Opens the cache at `root`, creating the folder if need be. The cache takes at most `limit` bytes; `None`: no
    /// limit.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open(root: impl Into<PathBuf>, limit: Option<u64>) -> Result<Self, CacheError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(CacheError::io("create", &root))?;
        Ok(Self { root, limit })
    }

    /// Checks that features can be stored, by making a file and removing it. In a folder that cannot be written, those that
    /// are there can still be read.
    ///
    /// # Errors
    /// If nothing can be written and nothing is there.
    pub fn check_usable(&self) -> Result<(), CacheError> {
        match self.probe() {
            Ok(()) => Ok(()),
            Err(_) if self.list().is_ok_and(|files| !files.is_empty()) => Ok(()),
            Err(error) => Err(CacheError::io("write in", &self.root)(error)),
        }
    }

    /// The cache's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Size limit in bytes.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Returns the feature file for `key`, extracting what is missing or damaged of it.
    ///
    /// `extract` gets a range of rows, always one of the chunks that `shape` fixes, in ascending order, and returns
    /// their features, row-major. If several processes or threads request the same feature file, one extracts and the
    /// others wait. To respect the cache's limit, the least recently used feature files that are not in use are
    /// removed.
    ///
    /// `progress` is called at the start, after every chunk, and regularly while waiting. An error that it returns ends
    /// the extraction or the wait, which is how a process can be interrupted. Complete chunks are always kept.
    ///
    /// # Errors
    /// An error of `extract` or `progress`; or of the cache: impossible shape, wrong number of features, features that
    /// are not finite, no room, full disk, unusable files.
    pub fn ensure<E: From<CacheError>>(
        &self,
        key: &FeatureKey,
        shape: Shape,
        mut extract: impl FnMut(Range<usize>) -> Result<Vec<f32>, E>,
        mut progress: impl FnMut(Progress) -> Result<(), E>,
    ) -> Result<FeatureFile, E> {
        let identity = Identity::new(key, shape)?;
        let folder = Folder::of(&self.root, &identity);
        let in_use = folder.hold()?;
        if let Some(data) = feature_file::open_data(&folder, &identity)? {
            return Ok(FeatureFile::new(data, &folder, &identity, in_use));
        }
        let _building = wait_to_build(&folder, &identity, &mut progress)?;
        if let Some(data) = feature_file::open_data(&folder, &identity)? {
            return Ok(FeatureFile::new(data, &folder, &identity, in_use));
        }
        eviction::reserve(&self.root, self.limit, &folder, &identity)?;
        let mut extraction = Extraction::resume(&folder, &identity)?;
        progress(Progress::Extracting { done: extraction.rows_done(), total: shape.rows })?;
        while let Some(chunk) = extraction.next_chunk() {
            extraction.store(chunk, &extract(shape.chunk(chunk))?)?;
            progress(Progress::Extracting { done: extraction.rows_done(), total: shape.rows })?;
        }
        Ok(FeatureFile::new(extraction.finish()?, &folder, &identity, in_use))
    }

    /// Lists the feature files, least recently used first, including those under extraction.
    ///
    /// # Errors
    /// If the cache's folder cannot be read.
    pub fn list(&self) -> Result<Vec<CachedFile>, CacheError> {
        eviction::list(&self.root)
    }

    /// Removes unused feature files, least recently used first, until the cache takes at most `keep` bytes or only
    /// feature files in use are left.
    ///
    /// # Errors
    /// If the cache's folder cannot be read or a file cannot be removed.
    pub fn prune(&self, keep: u64) -> Result<Pruned, CacheError> {
        eviction::prune(&self.root, keep)
    }

    /// Removes feature files that `unwanted` names, but for those in use.
    ///
    /// # Errors
    /// If the cache cannot be read or written.
    pub fn remove(&self, unwanted: impl Fn(&CachedFile) -> bool) -> Result<Pruned, CacheError> {
        eviction::remove(&self.root, unwanted)
    }
}

/// Takes the build lock, and reports the progress of its present holder while waiting.
fn wait_to_build<E: From<CacheError>>(
    folder: &Folder,
    identity: &Identity,
    progress: &mut impl FnMut(Progress) -> Result<(), E>,
) -> Result<Lock, E> {
    loop {
        if let Some(lock) = Lock::try_exclusive(&folder.build_lock())? {
            return Ok(lock);
        }
        let records = checksums::read(&folder.partial_checksums()).ok().flatten().unwrap_or_default();
        let done = checksums::rows_recorded(identity, &records);
        progress(Progress::Waiting { done, total: identity.shape.rows })?;
        thread::sleep(POLL);
    }
}
