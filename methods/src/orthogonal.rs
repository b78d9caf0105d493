//! Random rotations.

use anyhow::{Context, Result};
use faer::Mat;
use hashlab_rng::Stream;

/// Draws an orthogonal matrix `(k, k)`: the left singular vectors of a matrix of normal numbers.
///
/// # Errors
/// If the singular value decomposition fails.
pub(crate) fn random_rotation(k: usize, rng: &mut Stream) -> Result<Mat<f64>> {
    let random = Mat::from_fn(k, k, |_, _| rng.normal());
    Ok(random.svd().ok().context("the random matrix has no singular value decomposition")?.U().to_owned())
}
