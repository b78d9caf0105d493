//! DJSRH: deep joint-semantics reconstructing hashing.
//!
//! Shupeng Su, Zhisheng Zhong and Chao Zhang, Deep Joint-Semantics Reconstructing Hashing for Large-Scale Unsupervised
//! Cross-Modal Retrieval, ICCV 2019. Reference code: zs-zhong/DJSRH, commit f6deff2.
//!
//! The similarities of a batch's items to each other, of images and of texts, are blended and diffused into one matrix
//! S; the cosines of the codes reconstruct it, between the modalities and within each: `L = ‖μS − cos(B_I, B_T)‖² +
//! λ(‖μS − cos(B_I, B_I)‖² + ‖μS − cos(B_T, B_T)‖²)`, means over all pairs, with codes `B = tanh(αz)`. A code is the
//! sign of z.
//!
//! # Deviations
//! - The reference code trains AlexNet along with a linear image layer, while S uses a frozen copy; here features of a
//!   frozen encoder serve both. Its network of texts, two dense layers, is the same.
//! - α rises as √(epoch + 1), as in the code; `continuation = false` keeps it at 1 (row DJSRH-6 of its ablation).
//! - The diffusion divides by the number of items of the batch.
//!
//! Its training for MIRFlickr is `optimizer = "sgd"`, momentum 0.9, learning rate 0.001 (texts 0.01), weight decay
//! 5e-4, batches of 32, `drop_last`, 80 epochs, the last one: settings of `[train]`.

use anyhow::{Context as _, Result};
use candle_core::Tensor;
use hashlab_method::nn::{Linear, Parameters, unit_rows};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, Features, HashMethod, Loss, MethodInfo, Modality, Needs, ParamGroup,
    Params, Progress, State, Supervision, Trained, ViewSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOTH: [Modality; 2] = [Modality::Image, Modality::Text];

/// Hyperparameters of DJSRH.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DjsrhParams {
    /// Share β of the images' similarities in the blend; the rest are the texts'. Reference code: 0.9 for MIRFlickr,
    /// 0.6 for NUS-WIDE.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub beta: f64,
    /// Share η of the diffused similarities. Reference code: 0.4.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eta: f64,
    /// Factor μ on the similarities that are reconstructed. Reference code: 1.5.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub mu: f64,
    /// Weight λ of the reconstruction within each modality. Reference code: 0.1.
    #[schemars(range(min = 0.0))]
    pub within: f64,
    /// Width of the hidden layer of texts. Reference code: 4096.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub hidden: usize,
    /// Whether tanh sharpens with the epochs: α = √(epoch + 1), counted from 0. Reference code: yes.
    pub continuation: bool,
    /// Factor on the learning rate of the text network. Reference code: 10.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub text_lr_scale: f64,
}

impl Default for DjsrhParams {
    fn default() -> Self {
        Self { beta: 0.9, eta: 0.4, mu: 1.5, within: 0.1, hidden: 4096, continuation: true, text_lr_scale: 10.0 }
    }
}

impl Params for DjsrhParams {}

/// DJSRH's layers.
pub struct Djsrh {
    params: DjsrhParams,
    vars: Parameters,
    image: Linear,
    text: [Linear; 2],
}

impl Definition for Djsrh {
    const INFO: MethodInfo = MethodInfo {
        name: "djsrh",
        title: "DJSRH",
        paper: "Su et al., Deep Joint-Semantics Reconstructing Hashing, ICCV 2019",
        supervision: Supervision::Unsupervised,
        needs: Needs::Separate(&BOTH),
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = include_str!("djsrh.rs");
    type Params = DjsrhParams;

    fn build(params: DjsrhParams, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let dim = |modality: Modality| {
            cx.dims.get(modality).copied().with_context(|| format!("there are no {modality} features"))
        };
        let image = Linear::new(&mut vars, "image", (dim(Modality::Image)?, cx.bits), cx)?;
        let text = [
            Linear::new(&mut vars, "text.0", (dim(Modality::Text)?, params.hidden), cx)?,
            Linear::new(&mut vars, "text.1", (params.hidden, cx.bits), cx)?,
        ];
        Ok(Self { params, vars, image, text })
    }
}

impl Djsrh {
    fn logits(&self, x: &Tensor, modality: Modality) -> Result<Tensor> {
        Ok(match modality {
            Modality::Text => self.text[1].forward(&self.text[0].forward_relu(x)?)?,
            _ => self.image.forward(x)?,
        })
    }
}

impl HashMethod for Djsrh {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        self.logits(items.get(modality)?, modality) // tanh(αz) has the sign of z
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for Djsrh {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new(BOTH.map(ViewSpec::plain))
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        let texts = ParamGroup::new(self.vars.vars_of(&["text."]));
        let images = ParamGroup::new(self.vars.vars_of(&["image."]));
        vec![images, ParamGroup { lr_scale: Some(self.params.text_lr_scale), ..texts }]
    }

    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let params = &self.params;
        let alpha = if params.continuation { ((at.epoch + 1) as f64).sqrt() } else { 1.0 };
        let features = [&batch.views[0].x, &batch.views[1].x];
        let [image, text] =
            [0, 1].map(|view| -> Result<Tensor> { Ok((self.logits(features[view], BOTH[view])? * alpha)?.tanh()?) });
        let target = (joint_similarity(features, params)? * params.mu)?;
        let [images, between, texts] = reconstruction([&image?, &text?], &target)?;
        let total = (&between + ((&images + &texts)? * params.within)?)?;
        Ok(Loss { total, terms: vec![("between", between), ("within_images", images), ("within_texts", texts)] })
    }
}

/// S of features of images and texts `(n, d)`: `(1 − η)S̃ + η S̃S̃ᵀ/n`, where S̃ blends the cosines within each
/// modality, from 0…1 to −1…1 as `2 cos − 1`; `(n, n)`.
///
/// # Errors
/// If the numbers of rows differ.
pub fn joint_similarity([image, text]: [&Tensor; 2], params: &DjsrhParams) -> Result<Tensor> {
    let cosines = |x: &Tensor| -> Result<Tensor> {
        let unit = unit_rows(&x.detach())?;
        Ok(unit.matmul(&unit.t()?)?.affine(2.0, -1.0)?)
    };
    let blend = ((cosines(image)? * params.beta)? + (cosines(text)? * (1.0 - params.beta))?)?;
    let diffused = (blend.matmul(&blend.t()?)? / blend.dim(0)? as f64)?;
    Ok(((blend * (1.0 - params.eta))? + (diffused * params.eta)?)?)
}

/// The mean squared differences of `target` `(n, n)` and the cosines of codes `(n, bits)`: within images, between the
/// modalities, within texts.
///
/// # Errors
/// If the shapes do not fit together.
pub fn reconstruction([image, text]: [&Tensor; 2], target: &Tensor) -> Result<[Tensor; 3]> {
    let (image, text) = (unit_rows(image)?, unit_rows(text)?);
    let error = |a: &Tensor, b: &Tensor| -> Result<Tensor> { Ok((a.matmul(&b.t()?)? - target)?.sqr()?.mean_all()?) };
    Ok([error(&image, &image)?, error(&image, &text)?, error(&text, &text)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    const UNIT: [[f64; 2]; 2] = [[1.0, 0.0], [0.6, 0.8]];

    /// By hand: the cosine of the two images is 0.6, that of the texts 0, so that S̃ has 1 and 0.9·0.2 − 0.1 = 0.08.
    #[test]
    fn similarities_are_blended_and_diffused() {
        let image = Tensor::new(&[[2.0, 0.0], [0.6, 0.8]], &Device::Cpu).unwrap();
        let text = Tensor::new(&[[3.0, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        let found = joint_similarity([&image, &text], &DjsrhParams::default()).unwrap().to_vec2::<f64>().unwrap();
        let (own, other) = (0.6 + 0.4 * (1.0 + 0.08 * 0.08) / 2.0, 0.6 * 0.08 + 0.4 * (2.0 * 0.08) / 2.0);
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let expected = if i == j { own } else { other };
            assert!((found[i][j] - expected).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn codes_that_reconstruct_the_target_cost_nothing() {
        let codes = Tensor::new(&UNIT, &Device::Cpu).unwrap();
        let turned = Tensor::new(&[[-1.0, 0.0], [-0.6, -0.8]], &Device::Cpu).unwrap();
        let target = Tensor::new(&[[1.0, 0.6], [0.6, 1.0]], &Device::Cpu).unwrap();
        let errors = |text: &Tensor| {
            reconstruction([&codes, text], &target).unwrap().map(|error| error.to_scalar::<f64>().unwrap())
        };
        assert!(errors(&codes).iter().all(|error| error.abs() < 1e-12));
        let [images, between, texts] = errors(&turned);
        assert!(images.abs() < 1e-12 && texts.abs() < 1e-12);
        assert!((between - (4.0 + 1.44) / 2.0).abs() < 1e-12, "{between}");
    }
}
