//! PCAH: the signs of the principal components.
//!
//! Xin-Jing Wang, Lei Zhang, Feng Jing and Wei-Ying Ma, AnnoSearch: Image Auto-Annotation by Search, CVPR 2006; the
//! start of ITQ (Gong and Lazebnik, CVPR 2011), and its baseline there. `h = (x − μ)V`, where V holds the eigenvectors
//! of the training items' covariance with the largest eigenvalues: the orthonormal directions of largest variance.
//!
//! # Deviations
//! None. An eigenvector's sign is arbitrary; it flips a bit of all codes alike, so distances do not change.

use anyhow::Result;
use candle_core::Tensor;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, RunFacts, State,
    Supervision, TrainSet, Violations,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linalg::{center, check_dimensions, check_facts, check_items, principal_directions, to_matrix};
use crate::projection::Projection;

/// PCAH has no hyperparameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PcahParams {}

impl Params for PcahParams {}

/// Principal components.
pub struct Pcah {
    bits: usize,
    projection: Projection,
}

impl Definition for Pcah {
    const INFO: MethodInfo = MethodInfo {
        name: "pcah",
        title: "PCAH",
        paper: "Wang et al., AnnoSearch: Image Auto-Annotation by Search, CVPR 2006",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: false,
        revision: 1,
    };
    const SOURCE: &'static str =
        concat!(include_str!("pcah.rs"), include_str!("linalg.rs"), include_str!("projection.rs"));
    type Params = PcahParams;

    fn build(_: PcahParams, cx: &BuildContext) -> Result<Self> {
        check_dimensions(cx)?;
        Ok(Self { bits: cx.bits, projection: Projection::zeros(cx)? })
    }

    fn check(_: &PcahParams, run: &RunFacts) -> Violations {
        check_facts(run)
    }
}

impl HashMethod for Pcah {
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

impl Fitted for Pcah {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        check_items(train.features.only()?.dim(0)?, self.bits)?;
        let (mean, centered) = center(&to_matrix(train.features.only()?)?);
        self.projection.set(&mean, &principal_directions(&centered, self.bits)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use faer::Mat;

    /// 300 items whose variance differs by direction, in a skewed basis and away from the origin.
    fn skewed() -> Mat<f64> {
        let mut rng = hashlab_rng::stream(0, "pcah-test", &[]);
        let independent = Mat::from_fn(300, 8, |_, j| rng.normal() * (j + 1) as f64);
        let mixing = Mat::from_fn(8, 8, |_, _| rng.normal());
        let mixed = independent * mixing;
        Mat::from_fn(300, 8, |i, j| mixed[(i, j)] + 50.0)
    }

    #[test]
    fn directions_are_orthonormal_and_no_others_hold_more_variance() {
        let (_, x) = center(&skewed());
        let directions = principal_directions(&x, 3).unwrap();
        let defect = directions.transpose() * &directions - Mat::<f64>::identity(3, 3);
        assert!(defect.norm_max() < 1e-12);
        let variance = |directions: &Mat<f64>| (&x * directions).squared_norm_l2();
        let most = variance(&directions);
        let mut rng = hashlab_rng::stream(1, "pcah-test", &[]);
        for _ in 0..50 {
            // Near and far rivals: the directions plus noise, made orthonormal.
            let size = 10f64.powi(-(rng.below(4) as i32));
            let noisy = Mat::from_fn(8, 3, |i, j| directions[(i, j)] + size * rng.normal());
            assert!(variance(&noisy.qr().compute_thin_Q()) < most);
        }
    }

    #[test]
    fn components_are_uncorrelated_and_sorted_by_variance() {
        let cx = BuildContext::of_images(8, 8);
        let mut method = Pcah::build(PcahParams {}, &cx).unwrap();
        let features = crate::linalg::to_tensor(&skewed(), &Device::Cpu).unwrap();
        method.fit(&TrainSet::of_images(features.clone())).unwrap();
        let h = to_matrix(&method.encode(&Features::one(Modality::Image, features), Modality::Image).unwrap()).unwrap();
        let covariance = h.transpose() * &h;
        for i in 0..8 {
            let mean = h.col(i).iter().sum::<f64>() / 300.0;
            assert!(mean.abs() < 1e-3, "bit {i} has mean {mean}");
            for j in 0..i {
                assert!(covariance[(j, j)] > covariance[(i, i)]);
                let correlation = covariance[(i, j)] / (covariance[(i, i)] * covariance[(j, j)]).sqrt();
                assert!(correlation.abs() < 1e-4, "bits {i} and {j}: {correlation}");
            }
        }
    }

    #[test]
    fn more_bits_than_dimensions_are_refused_before_anything_is_fitted() {
        let cx = BuildContext::of_images(9, 8);
        let Err(error) = Pcah::build(PcahParams {}, &cx) else { panic!("built") };
        assert_eq!(error.to_string(), "9 bits need at least 9 feature dimensions, there are 8");
    }

    #[test]
    fn items_that_span_fewer_dimensions_than_bits_are_refused() {
        let cx = BuildContext::of_images(4, 8);
        let fit = |items: usize| {
            let features = crate::linalg::to_tensor(&skewed(), &Device::Cpu).unwrap().narrow(0, 0, items).unwrap();
            Pcah::build(PcahParams {}, &cx).unwrap().fit(&TrainSet::of_images(features))
        };
        fit(5).unwrap();
        assert_eq!(fit(4).unwrap_err().to_string(), "4 bits need more than 4 training items, there are 4");
    }
}
