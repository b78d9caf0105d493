//! The bank: which segments there are, and who extracts them.

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
use crate::{BankError, Entry, Pruned, Segment, SegmentKey, Shape};
use crate::{room, segment};

/// How often a waiting process looks whether the other one is done.
const POLL: Duration = Duration::from_millis(100);

/// A folder of segments, shared by any number of processes.
#[derive(Clone, Debug)]
pub struct Bank {
    root: PathBuf,
    limit: Option<u64>,
}

/// How far a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another process extracts it, this one waits.
    Waiting {
        /// Rows on disk.
        done: usize,
        /// Rows in all.
        total: usize,
    },
    /// This process extracts it.
    Extracting {
        /// Rows on disk, those of an earlier, interrupted extraction included.
        done: usize,
        /// Rows in all.
        total: usize,
    },
}

impl Bank {
    /// Opens the bank at `root`, creating the folder if need be. The bank takes at most `limit` bytes; without a
    /// limit it takes what it needs.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open(root: impl Into<PathBuf>, limit: Option<u64>) -> Result<Self, BankError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(BankError::io("create", &root))?;
        Ok(Self { root, limit })
    }

    /// The bank's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The most bytes that the bank may take.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Returns the segment for `key`, extracting what is missing or damaged of it.
    ///
    /// `extract` gets a range of rows, always one of the chunks that `shape` fixes, in ascending order, and returns
    /// their features, row-major. Of several processes or threads that want the same segment one extracts and the
    /// others wait. Least recently used segments are removed to respect the bank's limit, never one in use.
    ///
    /// `progress` is called at the start, after every chunk, and now and then while waiting; its error ends the
    /// extraction or the wait, so that an interrupted process need not wait for the end. Whatever ends an extraction,
    /// the chunks before it are kept.
    ///
    /// # Errors
    /// An error of `extract` or `progress`; or of the bank: impossible shape, wrong number of features, features that
    /// are not finite, no room, full disk, unusable files.
    pub fn ensure<E: From<BankError>>(
        &self,
        key: &SegmentKey,
        shape: Shape,
        mut extract: impl FnMut(Range<usize>) -> Result<Vec<f32>, E>,
        mut progress: impl FnMut(Progress) -> Result<(), E>,
    ) -> Result<Segment, E> {
        let identity = Identity::new(key, shape)?;
        let folder = Folder::of(&self.root, &identity);
        let in_use = folder.hold()?;
        if let Some(data) = segment::open_data(&folder, &identity)? {
            return Ok(Segment::new(data, &folder, &identity, in_use));
        }
        let _building = wait_to_build(&folder, &identity, &mut progress)?;
        if let Some(data) = segment::open_data(&folder, &identity)? {
            return Ok(Segment::new(data, &folder, &identity, in_use));
        }
        room::reserve(&self.root, self.limit, &folder, &identity)?;
        let mut extraction = Extraction::resume(&folder, &identity)?;
        progress(Progress::Extracting { done: extraction.rows_done(), total: shape.rows })?;
        while let Some(chunk) = extraction.next_chunk() {
            extraction.store(chunk, &extract(shape.chunk(chunk))?)?;
            progress(Progress::Extracting { done: extraction.rows_done(), total: shape.rows })?;
        }
        Ok(Segment::new(extraction.finish()?, &folder, &identity, in_use))
    }

    /// Lists the segments, least recently used first. Segments that are being extracted are listed too.
    ///
    /// # Errors
    /// If the bank's folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, BankError> {
        room::list(&self.root)
    }

    /// Removes segments that nobody uses, least recently used first, until the bank takes at most `keep` bytes or
    /// only segments in use are left.
    ///
    /// # Errors
    /// If the bank's folder cannot be read or a file cannot be removed.
    pub fn prune(&self, keep: u64) -> Result<Pruned, BankError> {
        room::prune(&self.root, keep)
    }
}

/// Takes the build lock, reporting how far its present holder is while waiting for it.
fn wait_to_build<E: From<BankError>>(
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
