//! Room for features that are needed at once, looked for before any is extracted.

use std::io::{self, ErrorKind};

use crate::folder::{self, Folder};
use crate::key::Identity;
use crate::{CacheError, FeatureCache, FeatureKey, Shape, checksums, eviction};

impl FeatureCache {
    /// Whether some features may find no room: under a limit, or in a folder that cannot be written.
    pub fn is_restricted(&self) -> bool {
        self.limit().is_some() || self.probe().is_err()
    }

    /// Checks that the feature files of each run can be in the cache at once, which are there or are to be extracted.
    /// Files that are there are read whatever the limit, unless others have to be extracted: these may take their place.
    ///
    /// # Errors
    /// If some are not there: [`CacheError::TooSmall`] if those of a run take more than the cache's limit;
    /// [`CacheError::Lacking`] or [`CacheError::DiskFull`] if the cache cannot be written.
    pub fn check_room(&self, runs: &[Vec<(FeatureKey, Shape)>]) -> Result<(), CacheError> {
        let is_there = |identity: &&Identity| {
            let records = checksums::read(&Folder::of(self.root(), identity).checksums());
            records.is_ok_and(|records| records.is_some())
        };
        let (mut lacking, mut needed) = (0, 0);
        for run in runs {
            let identities = run.iter().map(|(key, shape)| Identity::new(key, *shape));
            let identities: Vec<Identity> = identities.collect::<Result<_, _>>()?;
            lacking = identities.iter().filter(|identity| !is_there(identity)).count().max(lacking);
            needed = identities.iter().map(eviction::size).sum::<u64>().max(needed);
        }
        if lacking == 0 {
            return Ok(());
        }
        let root = self.root().to_owned();
        if let Some(limit) = self.limit().filter(|limit| needed > *limit) {
            return Err(CacheError::TooSmall { root, needed, limit });
        }
        self.probe().map_err(|source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => CacheError::DiskFull { path: root, source },
            _ => CacheError::Lacking { root, lacking, source },
        })
    }

    /// Makes a file in the cache's folder and removes it.
    pub(crate) fn probe(&self) -> io::Result<()> {
        folder::temporary(&self.root().join("probe")).map(drop)
    }
}
