//! Directories of a user.

use std::path::PathBuf;

use anyhow::Result;
use hashlab_cache::FeatureCache;
use hashlab_data::DataDirs;
use hashlab_store::Store;

/// Directories of runs, data and features.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// Runs and tables.
    pub runs: PathBuf,
    /// Data sets, and weights in the folder `weights`, in the order in which they are looked at.
    pub data: DataDirs,
    /// The data directory that the user named, if any.
    pub data_dir: Option<PathBuf>,
    /// The feature cache; by default `cache` in the directory of runs.
    pub cache_dir: Option<PathBuf>,
    /// Largest size of the feature cache in bytes.
    pub cache_limit: Option<u64>,
}

impl Dirs {
    /// The store of runs.
    pub fn store(&self) -> Store {
        Store::open(&self.runs)
    }

    /// The directory of the feature cache.
    pub fn cache_path(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| self.runs.join("cache"))
    }

    /// The folder of remembered digests of weights and tokenizers.
    pub(crate) fn weight_notes(&self) -> PathBuf {
        self.cache_path().join("weights")
    }

    /// Opens the feature cache, creating its directory if need be.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn cache(&self) -> Result<FeatureCache> {
        Ok(FeatureCache::open(self.cache_path(), self.cache_limit)?)
    }
}
