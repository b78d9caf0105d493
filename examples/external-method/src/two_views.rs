//! TwoViews: a linear head whose codes of two views of an image agree.
//!
//! This method works as it stands and is here to be changed into yours. A method's page opens with authors, title,
//! venue and year, then its objective with the numbers of the paper's equations. Here it is
//! `L = L_contrastive + λ·L_quantization` on codes u = tanh(Wx + b): among the second views of a batch, that of the
//! same image is to be the most similar (InfoNCE), and u is to lie near ±1.
//!
//! # Deviations
//! Where paper, reference code (repository and commit) and this file differ, this section says so. What matters is a
//! switch among the hyperparameters.

use anyhow::Result;
use candle_core::{D, Tensor};
use hashlab_image::{ColorJitter, RandomResizedCrop, Step, Transform};
use hashlab_method::nn::{Linear, Parameters, sign};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, Features, HashMethod, Loss, MethodInfo, Modality, Needs, ParamGroup,
    Params, Progress, State, Supervision, Trained, ViewSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperparameters. The comment of each is what `hashlab methods two_views` prints: its meaning, and where its default
/// comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TwoViewsParams {
    /// Temperature τ of the contrastive term, in units of a cosine. 0.3 as in CIBHash's reference code.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub tau: f64,
    /// Weight λ of the quantization term. Chosen by hand.
    #[schemars(range(min = 0.0))]
    pub quantization: f64,
}

impl Default for TwoViewsParams {
    fn default() -> Self {
        Self { tau: 0.3, quantization: 0.1 }
    }
}

impl Params for TwoViewsParams {}

/// The method: its hyperparameters and its trainable layers.
pub struct TwoViews {
    params: TwoViewsParams,
    modality: Modality,
    vars: Parameters,
    head: Linear,
}

impl Definition for TwoViews {
    const INFO: MethodInfo = MethodInfo {
        name: "two_views",
        title: "TwoViews",
        paper: "no paper: a contrastive linear head to start a method from",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: true,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = include_str!("two_views.rs");
    type Params = TwoViewsParams;

    fn build(params: TwoViewsParams, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let head = Linear::new(&mut vars, "head", (cx.dim()?, cx.bits), cx)?;
        Ok(Self { params, modality: cx.modality()?, vars, head })
    }
}

impl HashMethod for TwoViews {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.head.forward(items.get(modality)?)?) // (n, bits); tanh would not change the signs
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for TwoViews {
    fn batch_spec(&self) -> BatchSpec {
        let view = ViewSpec::augmented(self.modality, augmentation);
        BatchSpec::new([view.clone(), view])
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }

    fn loss(&mut self, batch: &Batch, _: &Progress) -> Result<Loss> {
        let first = self.head.forward(&batch.views[0].x)?.tanh()?; // (n, bits)
        let second = self.head.forward(&batch.views[1].x)?.tanh()?;
        let contrastive = contrastive(&first, &second, self.params.tau)?;
        let quantization = ((quantization(&first)? + quantization(&second)?)? * 0.5)?;
        let total = (&contrastive + (&quantization * self.params.quantization)?)?;
        Ok(Loss { total, terms: vec![("contrastive", contrastive), ("quantization", quantization)] })
    }
}

/// The transform of a training image, to `size × size` pixels.
fn augmentation(size: usize) -> Transform {
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    Transform::new([
        Step::RandomResizedCrop(RandomResizedCrop::new(size, (0.5, 1.0))),
        Step::Flip { p: 0.5 },
        Step::ColorJitter { jitter, p: 0.8 },
    ])
}

/// L_contrastive of codes `(n, bits)`: the mean over images of −log softmax of ⟨u_i, u'_i⟩ / (bits·τ) among all second
/// views u'.
fn contrastive(first: &Tensor, second: &Tensor, tau: f64) -> Result<Tensor> {
    let scale = 1.0 / (first.dim(1)? as f64 * tau);
    let similarity = (first.matmul(&second.t()?)? * scale)?; // (n, n)
    let same = ((first * second)?.sum(1)? * scale)?;
    Ok((similarity.log_sum_exp(D::Minus1)? - same)?.mean_all()?)
}

/// L_quantization: the mean of (u − sign u)².
fn quantization(codes: &Tensor) -> Result<Tensor> {
    Ok((codes - sign(codes)?)?.sqr()?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn terms_equal_worked_examples() {
        let value = |loss: Result<Tensor>| loss.unwrap().to_scalar::<f64>().unwrap();
        let (u, v) = ([1.0f64, 1.0], [1.0f64, -1.0]);
        let codes = Tensor::new(&[u, v], &Device::Cpu).unwrap();
        let swapped = Tensor::new(&[v, u], &Device::Cpu).unwrap();
        let (agree, cross) = (1.0f64.exp(), 1.0); // e^(cos/τ) at τ = 1
        assert!((value(contrastive(&codes, &codes, 1.0)) - (1.0 + cross / agree).ln()).abs() < 1e-12);
        assert!((value(contrastive(&codes, &swapped, 1.0)) - (agree + cross).ln()).abs() < 1e-12);
        assert!((value(quantization(&(codes * 0.5).unwrap())) - 0.25).abs() < 1e-12);
    }
}
