//! What the features of every modality are made with.

use std::path::Path;

use anyhow::{Result, ensure};
use candle_core::Device;
use hashlab_cache::{FeatureCache, Progress};
use hashlab_data::Dataset;
use hashlab_encoders::Weights;

/// Items whose features are stored and checked together.
pub(crate) const CHUNK: usize = 256;

/// Raised when the same weights and items give other features, so that caches are not mixed.
pub(crate) const REVISION: u32 = 1;

/// Called as an extraction proceeds with what is extracted and how far. Its error ends the extraction; what is done is kept.
pub type OnProgress<'a> = &'a mut dyn FnMut(&str, Progress) -> Result<()>;

/// The items of a data set, and where their features are stored.
#[derive(Clone)]
pub struct FeatureSource<'a> {
    /// The feature cache.
    pub cache: &'a FeatureCache,
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// Identity of the data set and its settings.
    pub identity: String,
    /// Where networks, and the runs that use the features, compute.
    pub device: Device,
}

/// Reads weights, and checks that they are those that the run was planned with.
///
/// # Errors
/// If they cannot be read, or are others.
pub(crate) fn read_weights(path: &Path, planned: &str) -> Result<Weights> {
    let weights = Weights::read(path)?;
    check_digest(path, weights.digest(), planned)?;
    Ok(weights)
}

/// Refuses a file that is not the one that the run was planned with.
pub(crate) fn check_digest(path: &Path, digest: &str, planned: &str) -> Result<()> {
    ensure!(
        digest == planned,
        "{} has digest {digest}, the run was planned with {planned}\nhelp: plan again with this file, or restore the other",
        path.display(),
    );
    Ok(())
}
