//! LSH: random hyperplanes.
//!
//! Moses Charikar, Similarity estimation techniques from rounding algorithms, STOC 2002. A bit is the side of a
//! random hyperplane through the training mean: `h = (x − μ)W`, W ~ N(0, 1).
//!
//! # Deviations
//! The hyperplanes pass through the mean of the training features instead of the origin, as every baseline here:
//! post-ReLU features all lie on one side of planes through the origin.

use anyhow::Result;
use candle_core::Tensor;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, State, Supervision,
    TrainSet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linalg;
use crate::projection::Projection;

/// LSH has no hyperparameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LshParams {}

impl Params for LshParams {}

/// Random hyperplanes through the training mean.
pub struct Lsh {
    cx: BuildContext,
    projection: Projection,
}

impl Definition for Lsh {
    const INFO: MethodInfo = MethodInfo {
        name: "lsh",
        title: "LSH",
        paper: "Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str =
        concat!(include_str!("lsh.rs"), include_str!("linalg.rs"), include_str!("projection.rs"));
    type Params = LshParams;

    fn build(_: LshParams, cx: &BuildContext) -> Result<Self> {
        Ok(Self { cx: cx.clone(), projection: Projection::zeros(cx)? })
    }
}

impl HashMethod for Lsh {
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

impl Fitted for Lsh {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let (mean, _) = linalg::center(&linalg::to_matrix(train.features.only()?)?);
        let mut rng = self.cx.stream("lsh/hyperplanes");
        let directions = faer::Mat::from_fn(self.cx.dim()?, self.cx.bits, |_, _| rng.normal());
        self.projection.set(&mean, &directions)
    }
}
