//! CCA-ITQ: canonical variates of images and texts, rotated by iterative quantization.
//!
//! Yunchao Gong, Svetlana Lazebnik, Albert Gordo and Florent Perronnin, Iterative Quantization: A Procrustean Approach
//! to Learning Binary Codes for Large-scale Image Retrieval, TPAMI 2013. Canonical directions, each scaled by its
//! correlation, project both modalities into one space; one rotation, found by ITQ, takes it to the corners of the
//! cube.
//!
//! # Deviations
//! The paper's second view are labels, and images alone are encoded; in cross-modal comparisons it is the
//! text, and texts are encoded with the same rotation. The rotation is fitted to the projected training items of both
//! modalities. The ridge is relative to the mean variance of the features.

use anyhow::Result;
use candle_core::Tensor;
use faer::Mat;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, RunFacts, State,
    Supervision, TrainSet, Violations,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cca::{BOTH, Cca, PairProjection, centered_pairs, check_facts};
use crate::itq::rotate;
use crate::orthogonal::random_rotation;

/// Hyperparameters of CCA-ITQ.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CcaItqParams {
    /// Added to the covariances, in units of the mean variance of a feature. Reference code: 0.0001, absolute.
    #[schemars(range(min = 0.0))]
    pub ridge: f64,
    /// Whether canonical directions are scaled by their correlations. Paper: yes.
    pub scaled: bool,
    /// Updates of the rotation. Paper: 50.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub iterations: usize,
}

impl Default for CcaItqParams {
    fn default() -> Self {
        Self { ridge: 1e-4, scaled: true, iterations: 50 }
    }
}

impl Params for CcaItqParams {}

/// Rotated canonical variates of both modalities.
pub struct CcaItq {
    params: CcaItqParams,
    cx: BuildContext,
    projection: PairProjection,
}

impl Definition for CcaItq {
    const INFO: MethodInfo = MethodInfo {
        name: "cca_itq",
        title: "CCA-ITQ",
        paper: "Gong et al., Iterative Quantization, TPAMI 2013",
        supervision: Supervision::Unsupervised,
        needs: Needs::Separate(&BOTH),
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(
        include_str!("cca_itq.rs"),
        include_str!("cca.rs"),
        include_str!("itq.rs"),
        include_str!("linalg.rs"),
        include_str!("orthogonal.rs"),
        include_str!("projection.rs")
    );
    type Params = CcaItqParams;

    fn build(params: CcaItqParams, cx: &BuildContext) -> Result<Self> {
        Ok(Self { params, cx: cx.clone(), projection: PairProjection::zeros(cx)? })
    }

    fn check(_: &CcaItqParams, run: &RunFacts) -> Violations {
        check_facts(run)
    }
}

impl HashMethod for CcaItq {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        self.projection.apply(items, modality)
    }

    fn state(&self) -> Result<State> {
        self.projection.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.projection.load_state(state)
    }
}

impl Fitted for CcaItq {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let CcaItqParams { ridge, scaled, iterations } = self.params;
        let [(image_mean, image), (text_mean, text)] = centered_pairs(train, self.cx.bits)?;
        let cca = Cca::new([&image, &text], self.cx.bits, ridge)?;
        let scale = |j: usize| if scaled { cca.correlations[j] } else { 1.0 };
        let [to_image, to_text] =
            cca.directions.each_ref().map(|d| Mat::from_fn(d.nrows(), d.ncols(), |i, j| d[(i, j)] * scale(j)));
        let projected = below(&(image * &to_image), &(text * &to_text));
        let start = random_rotation(self.cx.bits, &mut self.cx.stream("cca_itq/rotation"))?;
        let rotation = rotate(&projected, start, iterations)?;
        self.projection.set(&[image_mean, text_mean], &[to_image * &rotation, to_text * rotation])
    }
}

/// The rows of `a`, then those of `b`.
fn below(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let n = a.nrows();
    Mat::from_fn(n + b.nrows(), a.ncols(), |i, j| if i < n { a[(i, j)] } else { b[(i - n, j)] })
}
