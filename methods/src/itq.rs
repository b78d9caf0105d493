//! ITQ: iterative quantization.
//!
//! Yunchao Gong and Svetlana Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR
//! 2011. Rotates the principal components so that they lie close to the corners of the cube: alternates
//! `B = sign(VR)` and the orthogonal R that minimizes ‖B − VR‖² (eq. 2 and 3), from a random rotation.
//!
//! # Deviations
//! None of importance. Implementations differ by one in the number of updates (willard-yuan's loop `0:50` makes 51);
//! the paper's 50 is used. No reference fixes a seed; here the first rotation comes from the run's.

use anyhow::{Context, Result};
use candle_core::Tensor;
use faer::Mat;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, RunFacts, State,
    Supervision, TrainSet, Violations,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linalg::{center, check_dimensions, check_facts, check_items, principal_directions, to_matrix};
use crate::orthogonal::random_rotation;
use crate::projection::Projection;

/// Hyperparameters of ITQ.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ItqParams {
    /// Updates of the rotation. Paper: 50.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub iterations: usize,
}

impl Default for ItqParams {
    fn default() -> Self {
        Self { iterations: 50 }
    }
}

impl Params for ItqParams {}

/// Rotated principal components.
pub struct Itq {
    params: ItqParams,
    cx: BuildContext,
    projection: Projection,
}

impl Definition for Itq {
    const INFO: MethodInfo = MethodInfo {
        name: "itq",
        title: "ITQ",
        paper: "Gong and Lazebnik, Iterative Quantization, CVPR 2011",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(
        include_str!("itq.rs"),
        include_str!("linalg.rs"),
        include_str!("orthogonal.rs"),
        include_str!("projection.rs")
    );
    type Params = ItqParams;

    fn build(params: ItqParams, cx: &BuildContext) -> Result<Self> {
        check_dimensions(cx)?;
        Ok(Self { params, cx: cx.clone(), projection: Projection::zeros(cx)? })
    }

    fn check(_: &ItqParams, run: &RunFacts) -> Violations {
        check_facts(run)
    }
}

impl HashMethod for Itq {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        self.projection.apply(items.get(modality)?)
    }

    fn state(&self) -> Result<State> {
        Ok(self.projection.state())
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.projection.load_state(state)
    }
}

impl Fitted for Itq {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let bits = self.cx.bits;
        check_items(train.features.only()?.dim(0)?, bits)?;
        let (mean, centered) = center(&to_matrix(train.features.only()?)?);
        let directions = principal_directions(&centered, bits)?;
        let mut rng = self.cx.stream("itq/rotation");
        let start = random_rotation(bits, &mut rng)?;
        let rotation = rotate(&(&centered * &directions), start, self.params.iterations)?;
        self.projection.set(&mean, &(directions * rotation))
    }
}

/// Alternates codes and rotation, from `rotation` `(bits, bits)`, on projected rows `v` `(n, bits)`.
///
/// # Errors
/// If a singular value decomposition fails.
pub fn rotate(v: &Mat<f64>, mut rotation: Mat<f64>, iterations: usize) -> Result<Mat<f64>> {
    for _ in 0..iterations {
        let codes = signs(&(v * &rotation));
        let svd = (codes.transpose() * v).svd().ok().context("no singular value decomposition")?; // BᵀV = U Σ Aᵀ
        rotation = svd.V() * svd.U().transpose(); // R = A Uᵀ
    }
    Ok(rotation)
}

/// ±1 by sign, +1 at 0.
fn signs(x: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(x.nrows(), x.ncols(), |i, j| if x[(i, j)] >= 0.0 { 1.0 } else { -1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rotation_is_orthogonal_and_every_update_quantizes_better() {
        let mut rng = hashlab_rng::stream(0, "itq-test", &[]);
        let v = Mat::from_fn(200, 6, |_, j| rng.normal() * (6 - j) as f64);
        let error = |rotation: &Mat<f64>| {
            let rotated = &v * rotation;
            (signs(&rotated) - rotated).squared_norm_l2()
        };
        let mut rotation: Mat<f64> = Mat::identity(6, 6);
        let mut last = error(&rotation);
        for _ in 0..8 {
            rotation = rotate(&v, rotation, 1).unwrap();
            let next = error(&rotation);
            assert!(next <= last + 1e-9, "{next} > {last}");
            last = next;
        }
        let defect = rotation.transpose() * &rotation - Mat::<f64>::identity(6, 6);
        assert!(defect.norm_max() < 1e-12);
    }
}
