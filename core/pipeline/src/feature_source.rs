//! Inputs of feature extraction that all modalities share.

use std::path::Path;

use anyhow::{Result, ensure};
use candle_core::Device;
use hashlab_cache::{FeatureCache, FeatureKey, Progress, Shape};
use hashlab_data::Dataset;
use hashlab_encoders::Weights;

/// Items whose features are stored and checked together.
pub(crate) const CHUNK: usize = 256;

/// Revision, raised when the same weights and items give other features, so that caches are not mixed.
pub(crate) const REVISION: u32 = 2;

/// Callback with the subject and the progress of an extraction. Its error ends the extraction; extracted features are
/// kept.
pub type OnProgress<'a> = &'a mut dyn FnMut(&str, Progress) -> Result<()>;

/// Key and shape of a feature file.
pub type Described = (FeatureKey, Shape);

/// The items of a data set, and the cache of their features.
#[derive(Clone)]
pub struct FeatureSource<'a> {
    /// The feature cache.
    pub cache: &'a FeatureCache,
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// Identity of the data set and its settings.
    pub identity: String,
    /// Device of networks, and of the runs that use the features.
    pub device: Device,
}

/// Reads weights, and checks that they are those of the run's plan.
///
/// # Errors
/// If they cannot be read, or differ from the plan's.
pub(crate) fn read_weights(path: &Path, planned: &str) -> Result<Weights> {
    let weights = Weights::read(path)?;
    check_digest(path, weights.digest(), planned)?;
    Ok(weights)
}

/// Rejects a file that differs from the plan's.
pub(crate) fn check_digest(path: &Path, digest: &str, planned: &str) -> Result<()> {
    ensure!(
        digest == planned,
        "{} has digest {digest}, the run was planned with {planned}\n\
         help: plan again with this file, or restore the other",
        path.display(),
    );
    Ok(())
}
