//! PairFusion: codes of images and texts from a shared head, each with a share of the item's other modality.
//!
//! This method works as it stands and is here to be changed into yours. Linear maps `P_I`, `P_T` bring the features of
//! images and texts into one space, where they are mixed: `z_I = P_I x_I + μ P_T x_T`, and `z_T` with the modalities
//! swapped. One head W makes codes of both, `u = tanh(W relu(z) + b)`, and
//! `L = L_contrastive + λ·L_quantization`: among the texts of a batch, that of the same item is to be the most similar
//! to an image, and the other way round (InfoNCE); u is to lie near ±1.
//!
//! # What a fused code means
//! An item's code depends on both of its modalities, those of queries as well ([`Needs::Fused`]): both must be at hand
//! for an item to be encoded. Results of `mixing` above 0 do not compare with those of methods that encode one modality
//! from itself alone; `mixing = 0` is such a method.
//!
//! # Deviations
//! Where paper, reference code (repository and commit) and this file differ, this section says so. What matters is a
//! switch among the hyperparameters. Fused methods whose items attend to each other across a batch have published codes
//! computed in batches, per role, without the incomplete last one: `batched` does that.

use anyhow::{Context as _, Result};
use candle_core::{D, Tensor};
use hashlab_method::nn::{Linear, Parameters, sign};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, ByModality, Definition, EncodeSpec, Features, HashMethod, Loss, MethodInfo,
    Modality, Needs, ParamGroup, Params, Progress, State, Supervision, Trained, ViewSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOTH: [Modality; 2] = [Modality::Image, Modality::Text];

/// Hyperparameters. The comment of each is what `hashlab methods pair_fusion` prints: its meaning, and where its default
/// comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PairFusionParams {
    /// Width of the space that both modalities are projected into. Chosen by hand.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub hidden: usize,
    /// Share μ of the item's other modality. Chosen by hand; 0 encodes each modality by itself.
    #[schemars(range(min = 0.0))]
    pub mixing: f64,
    /// Temperature τ of the contrastive term, in units of a cosine. Chosen by hand.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub tau: f64,
    /// Weight λ of the quantization term. Chosen by hand.
    #[schemars(range(min = 0.0))]
    pub quantization: f64,
    /// Whether queries and database are encoded apart in batches of 128, without the items of an incomplete last one,
    /// as published codes of methods are that attend to other items. Nothing changes here but which items have codes.
    pub batched: bool,
}

impl Default for PairFusionParams {
    fn default() -> Self {
        Self { hidden: 256, mixing: 0.5, tau: 0.3, quantization: 0.1, batched: false }
    }
}

impl Params for PairFusionParams {}

/// The method: its hyperparameters and its trainable layers.
pub struct PairFusion {
    params: PairFusionParams,
    vars: Parameters,
    projections: ByModality<Linear>,
    head: Linear,
}

impl Definition for PairFusion {
    const INFO: MethodInfo = MethodInfo {
        name: "pair_fusion",
        title: "PairFusion",
        paper: "no paper: a contrastive fusion of images and texts to start a method from",
        supervision: Supervision::Unsupervised,
        needs: Needs::Fused(&BOTH),
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = include_str!("pair_fusion.rs");
    type Params = PairFusionParams;

    fn build(params: PairFusionParams, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let projections = cx.dims.try_map(|modality, dim| {
            Linear::new(&mut vars, &format!("projection.{modality}"), (*dim, params.hidden), cx)
        })?;
        let head = Linear::new(&mut vars, "head", (params.hidden, cx.bits), cx)?;
        Ok(Self { params, vars, projections, head })
    }
}

impl PairFusion {
    fn project(&self, modality: Modality, x: &Tensor) -> Result<Tensor> {
        Ok(self.projections.get(modality).context("not built for this modality")?.forward(x)?)
    }

    /// W relu(z) + b `(n, bits)`, where z is `own` and a share of `other`, both projected.
    fn fuse(&self, own: &Tensor, other: &Tensor) -> Result<Tensor> {
        Ok(self.head.forward(&(own + (other * self.params.mixing)?)?.relu()?)?)
    }
}

impl HashMethod for PairFusion {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let other = if modality == Modality::Image { Modality::Text } else { Modality::Image };
        let [own, other] = [modality, other].map(|modality| self.project(modality, items.get(modality)?));
        self.fuse(&own?, &other?) // tanh would not change the signs
    }

    fn encode_spec(&self) -> EncodeSpec {
        match self.params.batched {
            true => EncodeSpec { name: None, batch_size: Some(128), by_role: true, drop_last: true },
            false => EncodeSpec::default(),
        }
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for PairFusion {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new(BOTH.map(ViewSpec::plain))
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }

    fn loss(&mut self, batch: &Batch, _: &Progress) -> Result<Loss> {
        let [image, text] = [0, 1].map(|view| self.project(batch.views[view].modality, &batch.views[view].x));
        let (image, text) = (image?, text?);
        let (u, v) = (self.fuse(&image, &text)?.tanh()?, self.fuse(&text, &image)?.tanh()?); // (n, bits)
        let tau = self.params.tau;
        let contrastive = ((contrastive(&u, &v, tau)? + contrastive(&v, &u, tau)?)? * 0.5)?;
        let quantization = ((quantization(&u)? + quantization(&v)?)? * 0.5)?;
        let total = (&contrastive + (&quantization * self.params.quantization)?)?;
        Ok(Loss { total, terms: vec![("contrastive", contrastive), ("quantization", quantization)] })
    }
}

/// The mean over items of −log softmax of ⟨u_i, v_i⟩ / (bits·τ) among all v, for codes `(n, bits)`.
fn contrastive(u: &Tensor, v: &Tensor, tau: f64) -> Result<Tensor> {
    let scale = 1.0 / (u.dim(1)? as f64 * tau);
    let (all, own) = ((u.matmul(&v.t()?)? * scale)?, ((u * v)?.sum(1)? * scale)?);
    Ok((all.log_sum_exp(D::Minus1)? - own)?.mean_all()?)
}

/// The mean of (u − sign u)².
fn quantization(codes: &Tensor) -> Result<Tensor> {
    Ok((codes - sign(codes)?)?.sqr()?.mean_all()?)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
