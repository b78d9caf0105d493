//! Run directories and sweep directories; the only code that writes under `runs/`.
//!
//! ```text
//! runs/store/<hh>/<run-id>/     one directory per run, shared by all sweeps; hh: the digest's first two digits
//!   config.json                 the resolved configuration, sorted keys
//!   .lock                       held by the process that executes the run; the kernel releases it on death
//!   .lock.lease                 in its place, where the file system has no locks that reach other machines
//!   attempts.jsonl              one line per execution that began
//!   metrics.jsonl               metrics of the training, one line per point
//!   checkpoint-<digest>.safetensors   where to resume; the name is the content's digest
//!   log.txt                     standard error of its processes
//!   queries.json                average precision of every test query, neighbors of the best and the worst (optional)
//!   codes.json                  balance and correlation of bits, distances (optional)
//!   items.json                  thumbnails and captions of these queries' items (optional)
//!   model.safetensors           the selected state (optional)
//!   remarks.json                tags and a note of the user (optional)
//!   error.json                  error of the last attempt, if it failed
//!   cancelled                   a request to stop the run and not to begin it
//!   result.json                 written last, by rename: the run is finished if and only if it exists
//! runs/results.index             what tables need of many results, derived from them
//! runs/sweeps/<name>/newest      digest of the plan that was started last
//! runs/sweeps/<name>/<plan>/     one directory per plan: the experiment file as run, command, plan, table, logs
//! ```
//!
//! `result.json` holds the digest of its own text. [`RunDir`] reads; only the [`Claim`] on a run writes its results.
//! Damaged files count as absent, with a warning, so that executing the run again repairs them.

mod ascii;
mod checkpoint;
mod claim;
mod config;
mod error;
mod file_system;
mod files;
mod index;
mod journal;
mod lease;
mod listing;
mod lock;
mod lock_setting;
mod name;
mod previous;
mod record;
mod remarks;
mod results;
mod run;
mod run_id;
mod run_state;
mod sealed;
mod shown;
mod sweep;
mod warnings;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

pub use ascii::ascii;
pub use claim::Claim;
pub use config::{EXTERNAL_METHOD, RunConfig, SCHEMA, SharedConfig};
pub use error::StoreError;
pub use file_system::FileSystem;
pub use files::open_log;
pub use journal::{Journal, Point};
pub use listing::ListedRun;
pub use lock::Lock;
pub use lock_setting::{LOCKS, check_locks};
pub use name::Name;
pub use record::{
    CodeStatistics, ENCODE_ITEM, EncodingResult, Neighbors, PRIMARY_METRIC, QueryResults, RunResult, SEARCH_QUERY,
    SPLIT, STACKED, Status, TaskQueries, TaskResult,
};
pub use remarks::Remarks;
pub use run::RunDir;
pub use run_id::{RunId, RunIds};
pub use run_state::{Attempt, Failure, RunState, Stopped};
pub use shown::{BitProfile, CodeProfile, DistanceProfile, ShownItem, ShownItems};
pub use sweep::{PlanDir, SweepDir};
pub use words::counted;

/// The directory `runs/`.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`. Nothing is created before something is written.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Checks that runs can be written, by making a file and removing it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if they cannot.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        files::probe(&self.root.join("store"))
    }

    /// The runs that have a directory. For a large plan, one call replaces a check of every run.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a directory cannot be read.
    pub fn begun(&self) -> Result<BTreeSet<RunId>, StoreError> {
        Ok(self.inodes()?.into_keys().collect())
    }

    /// The runs that have a directory, and its inode.
    fn inodes(&self) -> Result<BTreeMap<RunId, u64>, StoreError> {
        let mut runs = Vec::new();
        for folder in files::list(&self.root.join("store"))? {
            for entry in files::list(&folder.path())? {
                // A run that is being removed has a hidden name. A copy that somebody made has another one than a
                // run's.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let id = RunId(name);
                if !id.0.starts_with('.') && shard(&id).is_some() {
                    runs.push((id, entry.ino()));
                }
            }
        }
        // A tree is made faster of all its entries than one by one.
        Ok(runs.into_iter().collect())
    }

    /// Lists the names of the sweeps, in order.
    pub fn sweeps(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.join("sweeps")) else { return Vec::new() };
        let named = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            SweepDir::new(entry.path()).newest().ok()?.map(|_| name)
        };
        let mut names: Vec<String> = entries.flatten().filter_map(named).collect();
        names.sort();
        names
    }

    /// Locates a run, whether or not it exists.
    ///
    /// # Errors
    /// [`StoreError::BadRunId`] if `id` does not end in the digits that place it.
    pub fn run(&self, id: &RunId) -> Result<RunDir, StoreError> {
        let shard = shard(id).ok_or_else(|| StoreError::BadRunId(id.clone()))?;
        Ok(RunDir::new(id.clone(), self.root.join("store").join(shard).join(&id.0)))
    }

    /// Locates the directory of the sweep `name`, whether or not it exists.
    ///
    /// # Errors
    /// [`StoreError::BadName`] if `name` cannot be a directory's name.
    pub fn sweep(&self, name: &str) -> Result<SweepDir, StoreError> {
        Ok(SweepDir::new(self.root.join("sweeps").join(files::plain_name(name)?)))
    }
}

/// The first two digits of the digest that ends `id`; `None` if `id` is malformed.
fn shard(id: &RunId) -> Option<&str> {
    let (name, digest) = id.0.rsplit_once('-')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let well_formed = !name.is_empty()
        && name.chars().all(plain)
        && digest.len() == 12
        && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then(|| &digest[..2])
}

/// Seconds since 1970.
fn unix_time() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_sharded_by_their_digest() {
        let store = Store::open("runs");
        let run = store.run(&RunId("nsh-b16-s0-1f0c2a9b7d3e".into())).unwrap();
        assert_eq!(run.path(), Path::new("runs/store/1f/nsh-b16-s0-1f0c2a9b7d3e"));
    }

    #[test]
    fn malformed_names_are_refused() {
        let store = Store::open("runs");
        for id in ["", "nsh", "nsh-1f", "../x-1f0c2a9b7d3e", "a/b-1f0c2a9b7d3e", "nsh-1F0C2A9B7D3E", "-1f0c2a9b7d3e"] {
            assert!(store.run(&RunId(id.into())).is_err(), "{id:?}");
        }
        for name in ["", ".", "..", "a/b", ".hidden", "a\0b"] {
            assert!(store.sweep(name).is_err(), "{name:?}");
        }
    }
}
