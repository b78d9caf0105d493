//! ITQ: iterative quantisation.
//!
//! Yunchao Gong and Svetlana Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR
//! 2011. Rotates the principal components so that they lie close to the corners of the cube: alternates
//! `B = sign(VR)` and the orthogonal R that minimises ‖B − VR‖² (eq. 2 and 3), from a random rotation.
//!
//! # Deviations
//! None in what matters. Implementations differ by one in the number of updates (willard-yuan's loop `0:50` makes
//! 51); the paper's 50 is used. No reference fixes a seed; here the first rotation comes from the run's.

use anyhow::{Context, Result};
use candle_core::Tensor;
use faer::Mat;
use hashlab_model::{
    BuildContext, ClosedForm, HashMethod, Info, Items, Learner, Modality, Params, Plugin, State, Supervision, TrainSet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linalg::{center, check_dimensions, check_items, principal_directions, to_matrix};
use crate::projection::Projection;

/// Hyperparameters of ITQ.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ItqParams {
    /// Updates of the rotation. Paper: 50.
    pub iterations: usize,
}

impl Default for ItqParams {
    fn default() -> Self {
        Self { iterations: 50 }
    }
}

impl Params for ItqParams {
    fn check(&self) -> Result<(), String> {
        if self.iterations == 0 { Err("`iterations` must be at least 1".into()) } else { Ok(()) }
    }
}

/// Rotated principal components.
pub struct Itq {
    params: ItqParams,
    cx: BuildContext,
    projection: Projection,
}

impl Plugin for Itq {
    const INFO: Info = Info {
        name: "itq",
        title: "ITQ",
        paper: "Gong and Lazebnik, Iterative Quantization, CVPR 2011",
        supervision: Supervision::None,
        modalities: &[Modality::Image],
        gradient: false,
        seeded: true,
        augmented: false,
        revision: 1,
    };
    type Params = ItqParams;

    fn build(params: ItqParams, cx: &BuildContext) -> Result<Self> {
        check_dimensions(cx)?;
        Ok(Self { params, cx: cx.clone(), projection: Projection::zeros(cx)? })
    }
}

impl HashMethod for Itq {
    fn learner(&mut self) -> Learner<'_> {
        Learner::ClosedForm(self)
    }

    fn encode(&self, items: &Items) -> Result<Tensor> {
        self.projection.apply(&items.image)
    }

    fn state(&self) -> Result<State> {
        Ok(self.projection.state())
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.projection.load_state(state)
    }
}

impl ClosedForm for Itq {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let bits = self.cx.bits;
        check_items(train.features.dim(0)?, bits)?;
        let (mean, centered) = center(&to_matrix(&train.features)?);
        let directions = principal_directions(&centered, bits)?;
        let mut rng = self.cx.stream("itq/rotation");
        let random = Mat::from_fn(bits, bits, |_, _| rng.normal());
        let start = random.svd().ok().context("the random start has no singular value decomposition")?.U().to_owned();
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
    fn the_rotation_is_orthogonal_and_every_update_quantises_better() {
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
