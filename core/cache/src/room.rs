//! Room for features that are needed at once, looked for before any is extracted.

use std::io;

use crate::folder::{self, Folder};
use crate::key::Identity;
use crate::{CacheError, FeatureCache, FeatureKey, Shape, checksums, eviction};

impl FeatureCache {
    /// Whether some features may find no room: under a limit, or in a folder that cannot be written.
    pub fn is_restricted(&self) -> bool {
        self.limit().is_some() || self.probe().is_err()
    }

    /// Checks that feature files can be in the cache at once, which are there or are to be extracted.
    ///
    /// # Errors
    /// [`CacheError::TooSmall`] if they take more than the cache's limit; [`CacheError::Lacking`] if some are not there, and
    /// the cache cannot be written.
    pub fn check_room(&self, needed: &[(FeatureKey, Shape)]) -> Result<(), CacheError> {
        let identities = needed.iter().map(|(key, shape)| Identity::new(key, *shape));
        let identities: Vec<Identity> = identities.collect::<Result<_, _>>()?;
        let root = self.root().to_owned();
        let bytes: u64 = identities.iter().map(eviction::size).sum();
        if let Some(limit) = self.limit().filter(|limit| bytes > *limit) {
            return Err(CacheError::TooSmall { root, needed: bytes, limit });
        }
        let Err(source) = self.probe() else { return Ok(()) };
        let is_there = |identity: &&Identity| {
            let records = checksums::read(&Folder::of(self.root(), identity).checksums());
            records.is_ok_and(|records| records.is_some())
        };
        match identities.iter().filter(|identity| !is_there(identity)).count() {
            0 => Ok(()),
            lacking => Err(CacheError::Lacking { root, lacking, source }),
        }
    }

    /// Makes a file in the cache's folder and removes it.
    pub(crate) fn probe(&self) -> io::Result<()> {
        folder::temporary(&self.root().join("probe")).map(drop)
    }
}
