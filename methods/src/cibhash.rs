//! CIBHash: unsupervised hashing with contrastive information bottleneck.
//!
//! Zexuan Qiu, Qinliang Su, Zijing Ou, Jianxing Yu and Changyou Chen, IJCAI 2021, arXiv 2105.06138.
//!
//! Two augmented views of each image are hashed by one head. The loss is `L = L_con + β·L_KL`: L_con attracts the two
//! codes of an image and repels all others (NT-Xent on ±1 codes), L_KL aligns the bit probabilities of the two views
//! (the information bottleneck's upper bound).
//!
//! # Deviations
//! Differences between paper and reference code (zexuanqiu/CIBHash, commit 4c896ee) are hyperparameters:
//! - `binarization`: the code thresholds probabilities at ½, the paper samples bits; `threshold` is the default.
//! - `straight_through`: the code passes the gradient of the sign to the probability, so σ′ stays in it.
//! - `feature_dropout`: the code trains on a frozen VGG16 in training mode, so that its classifier's dropouts
//!   (p = 0.5) act on the features. The paper has no dropout for other encoders; the default is 0.
//!
//! The code draws new views in every epoch. Here a step draws its pair from `image.views` stored views, which are new
//! in every epoch if there are two per epoch. The code trains for `max(80, epochs)` epochs at 16 bits; experiment files
//! give the actual number. A probability of exactly ½ is bit 1 (the code's `torch.sign` gives 0).
//!
//! Defaults are those of the reference code.

use anyhow::Result;
use candle_core::{D, Tensor};
use hashlab_image::{ColorJitter, RandomResizedCrop, Step, Transform};
use hashlab_method::nn::{Linear, Parameters, PerRun, bernoulli_kl, dropout, nt_xent, sign, straight_through};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, Features, HashMethod, Loss, MethodInfo, Modality, Needs, ParamGroup,
    Params, Progress, RunFacts, Stackable, State, Supervision, Trained, ViewSpec, Violations,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperparameters of CIBHash.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CibHashParams {
    /// Temperature τ of the contrastive loss. Reference code: 0.3.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub tau: f64,
    /// Weight β of the Kullback-Leibler term. Reference code: 0.001.
    #[schemars(range(min = 0.0))]
    pub beta: f64,
    /// Width of the hidden layer. Reference code: 1024.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub hidden: usize,
    /// Computation of a bit from its probability during training: `threshold` at 1/2 (reference code) or `stochastic`
    /// sampling (paper). Encoding always thresholds.
    pub binarization: Binarization,
    /// Input of the code's gradient: the bit's `probability` (reference code) or its `logit`.
    pub straight_through: StraightThrough,
    /// Smallest share of the image's area that a view keeps. Reference code: 0.5.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub crop_scale: f64,
    /// Strength of the color jitter, as a factor on brightness, contrast and saturation 0.4 and hue 0.1. Reference
    /// code: 1.
    #[schemars(range(min = 0.0, max = 2.5))]
    pub jitter: f64,
    /// Probability of the blur. Reference code: 0.5.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub blur: f64,
    /// Dropout on the encoder's features during training, a probability. Reference code: 0.5, as an effect of its
    /// VGG16 left in training mode; 0 for encoders that end without dropout.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub feature_dropout: f64,
}

/// Computation of a bit from its probability during training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Binarization {
    /// 1 if the probability is at least ½.
    Threshold,
    /// 1 with the probability.
    Stochastic,
}

/// Input of the code's gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StraightThrough {
    /// The probability σ(z).
    Probability,
    /// The logit z.
    Logit,
}

impl Default for CibHashParams {
    fn default() -> Self {
        Self {
            tau: 0.3,
            beta: 0.001,
            hidden: 1024,
            binarization: Binarization::Threshold,
            straight_through: StraightThrough::Probability,
            crop_scale: 0.5,
            jitter: 1.0,
            blur: 0.5,
            feature_dropout: 0.0,
        }
    }
}

impl Params for CibHashParams {}

impl CibHashParams {
    fn augmentation(&self) -> Augmentation {
        Augmentation { crop_scale: self.crop_scale, jitter: self.jitter, blur: self.blur }
    }
}

/// CIBHash with its two-layer head.
pub struct CibHash {
    /// Of each of the stacked runs.
    params: Vec<CibHashParams>,
    modality: Modality,
    vars: Parameters,
    hidden: Linear,
    output: Linear,
}

impl Definition for CibHash {
    const INFO: MethodInfo = MethodInfo {
        name: "cibhash",
        title: "CIBHash",
        paper: "Qiu et al., Unsupervised Hashing with Contrastive Information Bottleneck, IJCAI 2021",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: true,
        seeded: true,
        revision: 2,
    };
    const SOURCE: &'static str = include_str!("cibhash.rs");
    type Params = CibHashParams;

    fn build(params: CibHashParams, cx: &BuildContext) -> Result<Self> {
        Self::build_stacked(vec![params], cx)
    }

    fn check(_: &CibHashParams, run: &RunFacts) -> Violations {
        run.draws_views(2)
    }
}

impl Stackable for CibHash {
    const VARIED: &'static [&'static str] = &["tau", "beta"];

    fn build_stacked(params: Vec<CibHashParams>, cx: &BuildContext) -> Result<Self> {
        let (width, mut vars) = (params[0].hidden, Parameters::default());
        let hidden = Linear::new(&mut vars, "head.0", (cx.dim()?, width), cx)?;
        let output = Linear::new(&mut vars, "head.2", (width, cx.bits), cx)?;
        Ok(Self { params, modality: cx.modality()?, vars, hidden, output })
    }
}

impl HashMethod for CibHash {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        self.logits(items.get(modality)?) // σ(z) ≥ ½ exactly where z ≥ 0
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for CibHash {
    fn batch_spec(&self) -> BatchSpec {
        let strength = self.params[0].augmentation();
        let view = ViewSpec::augmented(self.modality, move |size| strength.transform(size));
        BatchSpec::new([view.clone(), view])
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }

    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let CibHashParams { feature_dropout, binarization, .. } = self.params[0];
        let mut features = batch.joined(self.modality)?; // (2n, dim): view 1, then view 2
        if feature_dropout > 0.0 {
            features = dropout(&features, feature_dropout, &mut at.draws("cibhash/dropout"))?;
        }
        let logits = self.logits(&features)?; // (2n, bits)
        let thresholds = match binarization {
            Binarization::Threshold => None,
            Binarization::Stochastic => {
                let mut draws = at.draws("cibhash/bits");
                Some(draws.tensor(logits.shape(), logits.device(), |rng| rng.uniform() as f32)?)
            }
        };
        let objective = objective(&logits, thresholds.as_ref(), &self.params)?;
        Ok(Loss { total: objective.total, terms: vec![("contrastive", objective.contrastive), ("kl", objective.kl)] })
    }
}

impl CibHash {
    fn logits(&self, features: &Tensor) -> Result<Tensor> {
        Ok(self.output.forward(&self.hidden.forward_relu(features)?)?)
    }
}

/// The transform of a training image, `utils/data.py` of the reference code.
///
/// The code draws the blur from numpy's global generator, which repeats itself across workers and epochs; here every
/// view has draws of its own.
#[derive(Clone, Copy)]
struct Augmentation {
    crop_scale: f64,
    jitter: f64,
    blur: f64,
}

impl Augmentation {
    /// The transform to `size × size` pixels.
    fn transform(&self, size: usize) -> Transform {
        let color = 0.4 * self.jitter;
        let jitter = ColorJitter { brightness: color, contrast: color, saturation: color, hue: 0.1 * self.jitter };
        Transform::new([
            Step::RandomResizedCrop(RandomResizedCrop::new(size, (self.crop_scale, 1.0))),
            Step::Flip { p: 0.5 },
            Step::ColorJitter { jitter, p: 0.7 },
            Step::Grayscale { p: 0.2 },
            Step::OpenCvBlur { sigma: (0.1, 2.0), p: self.blur },
        ])
    }
}

/// The loss and its terms, all scalars; of stacked runs `(runs,)`.
pub struct Objective {
    /// `contrastive + β·kl`.
    pub total: Tensor,
    /// L_con.
    pub contrastive: Tensor,
    /// L_KL.
    pub kl: Tensor,
}

/// Computes `L_con + β·L_KL` of logits `(2n, bits)`: view 1 of n images, then view 2 of the same. Stacked runs have
/// `params` for each, and logits `(runs, 2n, bits)`.
///
/// A bit is 1 if its probability reaches its threshold; without `thresholds`, of the shape of `logits`, that is ½.
///
/// # Errors
/// If the number of rows is odd, or `params` are of another number of runs.
pub fn objective(logits: &Tensor, thresholds: Option<&Tensor>, params: &[CibHashParams]) -> Result<Objective> {
    let n = logits.dim(D::Minus2)? / 2;
    let probabilities = candle_nn::ops::sigmoid(logits)?;
    let margin = match thresholds {
        None => (&probabilities - 0.5)?,
        Some(thresholds) => (&probabilities - thresholds)?,
    };
    let relaxed = match params[0].straight_through {
        StraightThrough::Probability => &margin,
        StraightThrough::Logit => logits,
    };
    let codes = straight_through(relaxed, &sign(&margin)?)?;
    let contrastive = contrastive(&codes, &PerRun::of(params, |params| params.tau))?;
    let (first, second) = (probabilities.narrow(D::Minus2, 0, n)?, probabilities.narrow(D::Minus2, n, n)?);
    let kl = ((bernoulli_kl(&first, &second.detach())? + bernoulli_kl(&second, &first.detach())?)? * 0.5)?;
    let total = (&contrastive + PerRun::of(params, |params| params.beta).times(&kl)?)?;
    Ok(Objective { total, contrastive, kl })
}

/// L_con: NT-Xent of the codes' cosines at temperature `tau`.
fn contrastive(codes: &Tensor, tau: &PerRun) -> Result<Tensor> {
    let unit = codes.broadcast_div(&codes.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?;
    Ok(nt_xent(&tau.map(|tau| 1.0 / tau).times(&unit.matmul(&unit.t()?)?)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    /// Values computed independently, in float64.
    #[test]
    fn loss_equals_the_worked_example() {
        let logits = [
            [2.0, -1.0, 0.5, -0.25],
            [-1.0, 1.0, -2.0, 0.1],
            [0.3, 0.2, 0.1, -0.4],
            [1.0, -2.0, -0.5, 0.25],
            [-1.0, 0.5, -1.0, -0.1],
            [0.6, -0.2, 0.4, -0.8],
        ];
        let logits = Tensor::new(&logits, &Device::Cpu).unwrap();
        let objective = objective(&logits, None, &[CibHashParams::default()]).unwrap();
        let value = |t: &Tensor| t.to_scalar::<f64>().unwrap();
        assert!((value(&objective.contrastive) - 1.320_597).abs() < 1e-6);
        assert!((value(&objective.kl) - 0.156_743).abs() < 1e-6);
        assert!((value(&objective.total) - 1.320_754).abs() < 1e-6);
    }

    #[test]
    fn views_are_made_as_in_the_reference_code() {
        assert_eq!(
            CibHashParams::default().augmentation().transform(224).to_string(),
            "random_resized_crop(224,scale=0.5..1,ratio=0.75..1.3333333333333333) flip(p=0.5) \
             color_jitter(0.4,0.4,0.4,0.1,p=0.7) grayscale(p=0.2) opencv_blur(sigma=0.1..2,p=0.5) r1"
        );
    }

    #[test]
    fn the_switches_change_value_and_gradient_as_they_say() {
        let logits = Var::new(&[[0.4f64, -0.3], [0.1, 0.2], [0.2, -0.1], [-0.3, 0.6]], &Device::Cpu).unwrap();
        let gradient = |straight_through, thresholds: Option<&Tensor>| {
            let params = CibHashParams { straight_through, beta: 0.0, ..CibHashParams::default() };
            let total = objective(&logits, thresholds, &[params]).unwrap().total;
            let grads = total.backward().unwrap();
            grads.get(&logits).unwrap().to_vec2::<f64>().unwrap()
        };
        let (by_probability, by_logit) =
            (gradient(StraightThrough::Probability, None), gradient(StraightThrough::Logit, None));
        for (row, logits) in logits.to_vec2::<f64>().unwrap().iter().enumerate() {
            for (column, z) in logits.iter().enumerate() {
                let p = 1.0 / (1.0 + (-z).exp());
                let expected = by_logit[row][column] * p * (1.0 - p);
                assert!((by_probability[row][column] - expected).abs() < 1e-12);
            }
        }
        let all_ones = Tensor::zeros((4, 2), DType::F64, &Device::Cpu).unwrap();
        let collapsed = objective(&logits, Some(&all_ones), &[CibHashParams::default()]).unwrap();
        assert!((collapsed.contrastive.to_scalar::<f64>().unwrap() - 3f64.ln()).abs() < 1e-9);
    }
}
