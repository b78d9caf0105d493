//! PCA-RR: principal components under a random rotation.
//!
//! The baseline without training of Ilyass Moummad et al., Hashing-Baseline: Rethinking Hashing in the Age of
//! Pretrained Models, arXiv 2509.14427, and of ITQ (Gong and Lazebnik, CVPR 2011): `h = (x − μ)VR`, where V holds the
//! leading principal directions and R is a random orthogonal matrix. The rotation spreads the variance over the bits,
//! which PCAH leaves on the first.
//!
//! # Deviations
//! None. An eigenvector's sign is arbitrary, and a rotation of other signs is another rotation: each direction gets the
//! sign that makes its entry of largest magnitude positive.

use anyhow::Result;
use candle_core::Tensor;
use faer::Mat;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, NoParams, RunFacts, State,
    Supervision, TrainSet, Violations,
};

use crate::linalg::{center, check_dimensions, check_facts, check_items, principal_directions, to_matrix};
use crate::orthogonal::random_rotation;
use crate::projection::Projection;

/// Randomly rotated principal components.
pub struct PcaRr {
    cx: BuildContext,
    projection: Projection,
}

impl Definition for PcaRr {
    const INFO: MethodInfo = MethodInfo {
        name: "pca_rr",
        title: "PCA-RR",
        paper: "Moummad et al., Hashing-Baseline: Rethinking Hashing in the Age of Pretrained Models, 2025",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(
        include_str!("pca_rr.rs"),
        include_str!("linalg.rs"),
        include_str!("orthogonal.rs"),
        include_str!("projection.rs")
    );
    type Params = NoParams;

    fn build(_: NoParams, cx: &BuildContext) -> Result<Self> {
        check_dimensions(cx)?;
        Ok(Self { cx: cx.clone(), projection: Projection::zeros(cx)? })
    }

    fn check(_: &NoParams, run: &RunFacts) -> Violations {
        check_facts(run)
    }
}

impl HashMethod for PcaRr {
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

impl Fitted for PcaRr {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let bits = self.cx.bits;
        check_items(train.features.only()?.dim(0)?, bits)?;
        let rotation = random_rotation(bits, &mut self.cx.stream("pca_rr/rotation"))?;
        let (mean, directions) = rotated_components(&to_matrix(train.features.only()?)?, &rotation)?;
        self.projection.set(&mean, &directions)
    }
}

/// The mean `(1, d)` of rows `(n, d)`, and their leading principal directions under a rotation `(k, k)`, `(d, k)`.
///
/// # Errors
/// If the eigendecomposition fails.
pub fn rotated_components(rows: &Mat<f64>, rotation: &Mat<f64>) -> Result<(Mat<f64>, Mat<f64>)> {
    let (mean, centered) = center(rows);
    let directions = oriented(&principal_directions(&centered, rotation.nrows())?);
    Ok((mean, directions * rotation))
}

/// The columns, each with the sign that makes its entry of largest magnitude positive.
fn oriented(columns: &Mat<f64>) -> Mat<f64> {
    let largest = |j: usize| columns.col(j).iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0);
    let signs: Vec<f64> = (0..columns.ncols()).map(|j| largest(j).signum()).collect();
    Mat::from_fn(columns.nrows(), columns.ncols(), |i, j| columns[(i, j)] * signs[j])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_evens_out_the_variance_and_keeps_distances() {
        let mut rng = hashlab_rng::stream(0, "pca_rr-test", &[]);
        let rows = Mat::from_fn(400, 6, |_, j| rng.normal() * 3f64.powi(j as i32) + 10.0);
        let rotation = random_rotation(6, &mut rng).unwrap();
        let (mean, directions) = rotated_components(&rows, &rotation).unwrap();
        let centered = Mat::from_fn(400, 6, |i, j| rows[(i, j)] - mean[(0, j)]);
        let (plain, rotated) =
            (&centered * oriented(&principal_directions(&centered, 6).unwrap()), &centered * directions);
        let spread = |x: &Mat<f64>| {
            let of: Vec<f64> = (0..6).map(|j| x.col(j).squared_norm_l2()).collect();
            of.iter().copied().fold(0.0, f64::max) / of.iter().copied().fold(f64::MAX, f64::min)
        };
        assert!(spread(&rotated) < spread(&plain) / 10.0, "{} {}", spread(&rotated), spread(&plain));
        let distance = |x: &Mat<f64>, i: usize| (x.row(i) - x.row(i + 1)).squared_norm_l2();
        for i in 0..50 {
            assert!((distance(&rotated, i) / distance(&plain, i) - 1.0).abs() < 1e-9);
        }
    }
}
