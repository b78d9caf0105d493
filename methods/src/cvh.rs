//! CVH: cross-view hashing.
//!
//! Shaishav Kumar and Raghavendra Udupa, Learning Hash Functions for Cross-View Similarity Search, IJCAI 2011. Where
//! the only similar pairs are the views of one item, its generalized eigenproblem is canonical correlation analysis: a
//! bit is the sign of a canonical variate, `h = (x − μ)A`, of the variates with the largest correlation.
//!
//! # Deviations
//! None for that case, which is that of cross-modal comparisons. The ridge on the covariances is relative to the mean
//! variance of the features, so that it does not depend on their scale.

use anyhow::Result;
use candle_core::Tensor;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, RunFacts, State,
    Supervision, TrainSet, Violations,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cca::{BOTH, Cca, PairProjection, centered_pairs, check_facts};

/// Hyperparameters of CVH.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CvhParams {
    /// Added to the covariances, in units of the mean variance of a feature. Chosen by hand, as the papers give no
    /// value: 0.0001, the constant of CCA-ITQ's code.
    #[schemars(range(min = 0.0))]
    pub ridge: f64,
}

impl Default for CvhParams {
    fn default() -> Self {
        Self { ridge: 1e-4 }
    }
}

impl Params for CvhParams {}

/// Canonical variates of both modalities.
pub struct Cvh {
    params: CvhParams,
    bits: usize,
    projection: PairProjection,
}

impl Definition for Cvh {
    const INFO: MethodInfo = MethodInfo {
        name: "cvh",
        title: "CVH",
        paper: "Kumar and Udupa, Learning Hash Functions for Cross-View Similarity Search, IJCAI 2011",
        supervision: Supervision::Unsupervised,
        needs: Needs::Separate(&BOTH),
        augmented: false,
        seeded: false,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(include_str!("cvh.rs"), include_str!("cca.rs"), include_str!("linalg.rs"));
    type Params = CvhParams;

    fn build(params: CvhParams, cx: &BuildContext) -> Result<Self> {
        Ok(Self { params, bits: cx.bits, projection: PairProjection::zeros(cx)? })
    }

    fn check(_: &CvhParams, run: &RunFacts) -> Violations {
        check_facts(run)
    }
}

impl HashMethod for Cvh {
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

impl Fitted for Cvh {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let [(image_mean, image), (text_mean, text)] = centered_pairs(train, self.bits)?;
        let cca = Cca::new([&image, &text], self.bits, self.params.ridge)?;
        self.projection.set(&[image_mean, text_mean], &cca.directions)
    }
}
