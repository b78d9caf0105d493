//! HashNet: deep learning to hash by continuation.
//!
//! Zhangjie Cao, Mingsheng Long, Jianmin Wang and Philip S. Yu, ICCV 2017, arXiv 1702.00758.
//!
//! A linear hash layer computes logits z, relaxed to `h = tanh(β z)`. Pairs of items that share a label attract each
//! other by a weighted logistic loss on inner products, `L = Σ w_ij [log(1 + e^{α⟨h_i,h_j⟩}) − s_ij α⟨h_i,h_j⟩]` (eq.
//! 4), and β grows during training, so that h approaches sign(z): the continuation. Codes are sign(z) for any β.
//!
//! # Deviations
//! Differences between the paper, the official caffe code (thuml/HashNet, commit 85387b8) and re-implementations are
//! hyperparameters:
//! - `weighting`: `balanced_jaccard` is the paper's; `class_num` is the official code's; `balanced` takes |S|/|S₁| and
//!   |S|/|S₀| from the batch (swuxyj/DeepHash-pytorch); `unweighted` is the ablation HashNet−W.
//! - `gradient`: the caffe layer's hand-written gradient is not that of its loss: it lacks a factor α, has a factor 2,
//!   and weights a pair by 4·(y_i·y_j)²/(|y_i|²|y_j|²), which is 1 for dissimilar pairs. `caffe` copies that, without
//!   its bug of applying α to the first 256 entries of a buffer; `autograd` differentiates the loss.
//! - `continuation`: the code's β = √(1 + ⌊t/200⌋) ends at √50 after 10,000 steps; `sqrt` is this curve, stretched to
//!   the run's length and to `scale_max`, in `stages` constant pieces. Here: `stages` takes a geometric sequence from 1
//!   to `scale_max`. `off` keeps β = 1 (the ablation HashNet+C turned off).
//! - `pairs`: the official code pairs two independently shuffled samplers; DeepHash-pytorch pairs a batch with itself,
//!   the diagonal included.
//!
//! The hash layer learns at ten times the run's rate, as in the official PyTorch code; in caffe its bias learns at
//! twenty times the rate and does not decay. Training images are cropped as in caffe; the PyTorch version crops a
//! random share of .08 to 1 (RandomResizedCrop). The pairs' loss is computed without overflow at any argument.
//!
//! Defaults are the paper's weighting and its loss's own gradient; the rest (β's curve, the pairs, the initialization
//! of the layer) is the official code's. c_ij, taken for the Jaccard index of the labels, and the ten stages have not
//! been checked against the paper's text. The other settings of the official code (SGD, momentum 0.9, Nesterov in the
//! PyTorch version, weight decay 5e-4, the rate halved four times, after every fifth of the training) belong to
//! `[train]`.

use anyhow::Result;
use candle_core::{D, Tensor};
use hashlab_image::{Filter, Step, Transform};
use hashlab_method::nn::{Linear, Parameters, PerRun, pair_likelihood, sum_last, with_gradient};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, Features, HashMethod, Loss, MethodInfo, Modality, Needs, ParamGroup,
    Params, Progress, Stackable, State, Supervision, Trained, ViewSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperparameters of HashNet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HashNetParams {
    /// Sharpness α of the pairwise logistic loss. Not set: 10 / bits (official code).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub alpha: Option<f64>,
    /// Weights of pairs: `unweighted`, `balanced` (the batch's |S|/|S1| and |S|/|S0|), `balanced_jaccard` (similar
    /// pairs also by the overlap of their labels; paper), `class_num` (similar pairs by a constant; official code).
    pub weighting: Weighting,
    /// `class_num`: weight of similar pairs. Official code: 100 on ImageNet, 5 on NUS-WIDE, 1 on COCO.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub class_num: f64,
    /// Growth of β: `sqrt` (official code), `stages` (paper; a geometric sequence) or `off`.
    pub continuation: Continuation,
    /// The largest β, that of the last stage; reached only by a training of at least `stages` steps. Official code: the
    /// root of 50, here rounded to 7.07.
    #[schemars(range(min = 1.0))]
    pub scale_max: f64,
    /// Constant pieces of the continuation. Official code: 50; paper: 10 (not checked against its text).
    #[schemars(range(min = 2, max = 1_000_000))]
    pub stages: usize,
    /// Pairs of a step: `two_samplers` of items (official code) or all of `one_batch` (DeepHash-pytorch).
    pub pairs: Pairs,
    /// The gradient: `autograd` of the loss, or the hand-written one of the official `caffe` code.
    pub gradient: PairGradient,
}

/// Weights of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Equal weights.
    Unweighted,
    /// Similar pairs by |S|/|S₁|, others by |S|/|S₀|.
    Balanced,
    /// As `Balanced`, similar pairs also by the Jaccard index of their labels.
    BalancedJaccard,
    /// Similar pairs by a constant, divided by the sum of weights.
    ClassNum,
}

/// Growth of β.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Continuation {
    /// None: β = 1.
    Off,
    /// As the root of the stage.
    Sqrt,
    /// By a constant factor per stage.
    Stages,
}

/// Pairs of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pairs {
    /// Every item of one sampler with every item of another.
    TwoSamplers,
    /// Every item of a batch with every item of the same batch.
    OneBatch,
}

/// The gradient of the loss with respect to inner products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairGradient {
    /// That of the loss itself.
    Autograd,
    /// That of the caffe layer.
    Caffe,
}

impl Default for HashNetParams {
    fn default() -> Self {
        Self {
            alpha: None,
            weighting: Weighting::BalancedJaccard,
            class_num: 1.0,
            continuation: Continuation::Sqrt,
            scale_max: 7.07,
            stages: 50,
            pairs: Pairs::TwoSamplers,
            gradient: PairGradient::Autograd,
        }
    }
}

impl Params for HashNetParams {
    fn inactive(&self) -> Vec<&'static str> {
        let mut inactive = Vec::new();
        if self.weighting != Weighting::ClassNum {
            inactive.push("class_num");
        }
        if self.continuation == Continuation::Off {
            inactive.extend(["scale_max", "stages"]);
        }
        inactive
    }
}

/// HashNet's hash layer.
pub struct HashNet {
    /// Of each of the stacked runs.
    params: Vec<HashNetParams>,
    /// α for the code length.
    alpha: PerRun,
    modality: Modality,
    vars: Parameters,
    layer: Linear,
}

impl Definition for HashNet {
    const INFO: MethodInfo = MethodInfo {
        name: "hashnet",
        title: "HashNet",
        paper: "Cao et al., HashNet: Deep Learning to Hash by Continuation, ICCV 2017",
        supervision: Supervision::Supervised,
        needs: Needs::Any,
        augmented: true,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = include_str!("hashnet.rs");
    type Params = HashNetParams;

    fn build(params: HashNetParams, cx: &BuildContext) -> Result<Self> {
        Self::build_stacked(vec![params], cx)
    }
}

impl Stackable for HashNet {
    const VARIED: &'static [&'static str] = &["alpha", "class_num", "scale_max"];

    fn build_stacked(params: Vec<HashNetParams>, cx: &BuildContext) -> Result<Self> {
        const DEVIATION: f64 = 0.01; // official code
        let alpha = PerRun::of(&params, |params| params.alpha.unwrap_or(10.0 / cx.bits as f64)); // official code
        let mut vars = Parameters::default();
        let layer = Linear::normal(&mut vars, "hash", (cx.dim()?, cx.bits), DEVIATION, cx)?;
        Ok(Self { params, alpha, modality: cx.modality()?, vars, layer })
    }
}

impl HashMethod for HashNet {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.layer.forward(items.get(modality)?)?) // tanh(β z) has the sign of z
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for HashNet {
    fn batch_spec(&self) -> BatchSpec {
        let samplers = match self.params[0].pairs {
            Pairs::TwoSamplers => 2,
            Pairs::OneBatch => 1,
        };
        BatchSpec { views: vec![ViewSpec::augmented(self.modality, augmentation)], samplers }
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup { lr_scale: Some(10.0), ..ParamGroup::new(self.vars.vars()) }]
    }

    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let labels = batch.labels.as_ref().expect("the runner gives labels to methods that declare them");
        let beta = PerRun::of(&self.params, |params| scale(params, at.step, at.steps));
        let codes = beta.times(&self.layer.forward(&batch.views[0].x)?)?.tanh()?; // (b, bits)
        let (codes, labels) = match self.params[0].pairs {
            Pairs::TwoSamplers => (halves(&codes)?, halves(labels)?),
            Pairs::OneBatch => ([codes.clone(), codes], [labels.clone(), labels.clone()]),
        };
        let total = pairwise_loss([&codes[0], &codes[1]], [&labels[0], &labels[1]], &self.alpha, &self.params)?;
        let beta = beta.tensor(&total)?;
        Ok(Loss { terms: vec![("pairwise", total.clone()), ("scale", beta)], total })
    }
}

/// The items of the first sampler, and those of the second.
fn halves(x: &Tensor) -> Result<[Tensor; 2]> {
    let half = x.dim(D::Minus2)? / 2;
    Ok([x.narrow(D::Minus2, 0, half)?, x.narrow(D::Minus2, half, half)?])
}

/// The transform of a training image in the official caffe code: resize to 256/227 of the input's side, cut the input
/// out at a random place, mirror half of the time.
fn augmentation(size: usize) -> Transform {
    let enlarged = (size * 256).div_ceil(227);
    Transform::new([
        Step::Resize { size: enlarged, filter: Filter::Bilinear },
        Step::RandomCrop { size },
        Step::Flip { p: 0.5 },
    ])
}

/// β at `step` of `steps`: from 1 in the first stage to `scale_max` in the last, which fewer steps than stages skip.
fn scale(params: &HashNetParams, step: usize, steps: usize) -> f64 {
    let stage = step * params.stages / steps;
    let done = stage as f64 / (params.stages - 1) as f64;
    match params.continuation {
        Continuation::Off => 1.0,
        Continuation::Sqrt => (1.0 + (params.scale_max.powi(2) - 1.0) * done).sqrt(),
        Continuation::Stages => params.scale_max.powf(done),
    }
}

/// The weighted pairwise logistic loss (eq. 4), a scalar: the mean over pairs of `w_ij ℓ_ij`; with `class_num`,
/// divided by the sum of the weights instead.
///
/// # Shapes
/// `codes` are relaxed codes `(n, bits)` and `(m, bits)`, `labels` multi-hot `(n, classes)` and `(m, classes)`. Stacked
/// runs have `alpha` and `params` for each, and a first axis of runs everywhere.
///
/// # Errors
/// If the shapes do not fit together.
pub fn pairwise_loss(
    codes: [&Tensor; 2],
    labels: [&Tensor; 2],
    alpha: &PerRun,
    params: &[HashNetParams],
) -> Result<Tensor> {
    let inner = codes[0].matmul(&codes[1].t()?)?; // (n, m)
    let pairs = LabelPairs::new(labels, inner.dtype())?;
    let weights = pairs.weights(params)?;
    let norm = match params[0].weighting {
        Weighting::ClassNum => sum_pairs(&weights)?,
        _ => Tensor::new(pairs.count() as f32, inner.device())?.to_dtype(inner.dtype())?,
    };
    let weights = weights.broadcast_div(&norm)?;
    let x = alpha.times(&inner.detach())?;
    let value = pair_likelihood(&x, &pairs.similar)?;
    let residual = (candle_nn::ops::sigmoid(&x)? - &pairs.similar)?; // the derivative of `value` by x
    let slope = match params[0].gradient {
        PairGradient::Autograd => alpha.times(&(&weights * residual)?)?,
        PairGradient::Caffe => (((&weights * residual)? * 8.0)? * pairs.caffe_factor()?)?,
    };
    Ok(with_gradient(&sum_last(&(weights * value)?, 2)?, &inner, &slope)?)
}

/// The sum over all pairs, `(1, 1)`.
fn sum_pairs(x: &Tensor) -> Result<Tensor> {
    Ok(sum_last(x, 2)?.unsqueeze(D::Minus1)?.unsqueeze(D::Minus1)?)
}

/// Common labels of the items of each pair; all `(n, m)`, of stacked runs `(runs, n, m)`.
struct LabelPairs {
    /// Labels of both.
    shared: Tensor,
    /// Labels of the first, plus labels of the second.
    counted: Tensor,
    /// Labels of the first, times labels of the second.
    multiplied: Tensor,
    /// 1 if a label is shared, else 0.
    similar: Tensor,
}

impl LabelPairs {
    fn new(labels: [&Tensor; 2], dtype: candle_core::DType) -> Result<Self> {
        let [rows, columns] = [labels[0].to_dtype(dtype)?, labels[1].to_dtype(dtype)?];
        let shared = rows.matmul(&columns.t()?)?;
        let (by_row, by_column) = (rows.sum_keepdim(D::Minus1)?, columns.sum_keepdim(D::Minus1)?.t()?);
        let counted = by_row.broadcast_add(&by_column)?;
        let multiplied = by_row.broadcast_mul(&by_column)?;
        let similar = shared.gt(0.0)?.to_dtype(dtype)?;
        Ok(Self { shared, counted, multiplied, similar })
    }

    /// Number of pairs of a run.
    fn count(&self) -> usize {
        self.similar.dims().iter().rev().take(2).product()
    }

    /// The pairs' weights.
    fn weights(&self, params: &[HashNetParams]) -> Result<Tensor> {
        let dissimilar = self.similar.affine(-1.0, 1.0)?;
        match params[0].weighting {
            Weighting::Unweighted => Ok(self.similar.ones_like()?),
            Weighting::ClassNum => {
                let weight = PerRun::of(params, |params| params.class_num);
                Ok((weight.times(&self.similar)? + dissimilar)?)
            }
            Weighting::Balanced | Weighting::BalancedJaccard => {
                let positive = sum_pairs(&self.similar)?;
                let all = (positive.ones_like()? * self.count() as f64)?;
                // A kind without pairs in the batch has nothing to weight.
                let of_similar = (&all / positive.maximum(1.0)?)?;
                let of_others = (&all / (&all - positive)?.maximum(1.0)?)?;
                let weights = (self.similar.broadcast_mul(&of_similar)? + dissimilar.broadcast_mul(&of_others)?)?;
                if params[0].weighting == Weighting::Balanced {
                    return Ok(weights);
                }
                Ok((weights * ((&self.similar * self.jaccard()?)? + dissimilar)?)?)
            }
        }
    }

    /// |y_i ∩ y_j| / |y_i ∪ y_j|; 0 for two items without labels.
    fn jaccard(&self) -> Result<Tensor> {
        Ok((&self.shared / (&self.counted - &self.shared)?.maximum(1.0)?)?)
    }

    /// A quarter of the caffe layer's "continuous similarity": (y_i·y_j)² / (|y_i|²|y_j|²), and ¼ where that is 0.
    fn caffe_factor(&self) -> Result<Tensor> {
        let overlap = (self.shared.sqr()? / self.multiplied.maximum(1.0)?)?;
        Ok((overlap + (self.similar.affine(-1.0, 1.0)? * 0.25)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const Z: [[f64; 4]; 3] = [[0.5, -1.0, 0.2, 1.5], [0.4, -0.8, -0.1, 0.9], [-1.0, 0.3, 0.7, -0.2]];
    const Y: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    fn with(weighting: Weighting, class_num: f64) -> HashNetParams {
        HashNetParams { weighting, class_num, ..HashNetParams::default() }
    }

    /// The loss over all nine pairs of the example at `scale · Z`, and its gradient towards the logits.
    fn loss_and_gradient(scale: f64, alpha: f64, params: &HashNetParams) -> (f64, Vec<Vec<f64>>) {
        let z = Var::from_tensor(&(Tensor::new(&Z, &Device::Cpu).unwrap() * scale).unwrap()).unwrap();
        let y = Tensor::new(&Y, &Device::Cpu).unwrap();
        let h = z.tanh().unwrap();
        let loss = pairwise_loss([&h, &h], [&y, &y], &alpha.into(), std::slice::from_ref(params)).unwrap();
        let grads = loss.backward().unwrap();
        (loss.to_scalar().unwrap(), grads.get(&z).unwrap().to_vec2().unwrap())
    }

    #[test]
    fn loss_equals_the_worked_examples() {
        for (weighting, class_num, alpha, expected) in [
            (Weighting::ClassNum, 5.0, 2.5, 0.061_873),
            (Weighting::ClassNum, 1.0, 2.5, 0.102_606),
            (Weighting::Balanced, 1.0, 0.1, 1.291_537),
        ] {
            let (loss, _) = loss_and_gradient(1.0, alpha, &with(weighting, class_num));
            assert!((loss - expected).abs() < 1e-6, "{weighting:?}: {loss}");
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        use Weighting::{Balanced, BalancedJaccard, ClassNum, Unweighted};
        const STEP: f64 = 1e-6;
        for weighting in [Unweighted, Balanced, BalancedJaccard, ClassNum] {
            let params = with(weighting, 3.0);
            let (_, gradient) = loss_and_gradient(1.0, 0.4, &params);
            let along: f64 = gradient.iter().flatten().zip(Z.iter().flatten()).map(|(g, z)| g * z).sum();
            let at = |scale| loss_and_gradient(scale, 0.4, &params).0;
            let expected = (at(1.0 + STEP) - at(1.0 - STEP)) / (2.0 * STEP);
            assert!((along - expected).abs() < 1e-7, "{weighting:?}: {along} against {expected}");
        }
    }

    /// Pairs get 8r/α times their share of the gradient: r is 1 where all labels are shared, ½ where one of two is, and
    /// ¼ where none is.
    #[test]
    fn the_caffe_gradient_leaves_the_loss_and_reweights_the_gradient() {
        const ALPHA: f64 = 0.2;
        let (h, other) = ([[0.3f64, -0.2], [0.9, 0.1], [-0.4, 0.6]], [0.5, 0.4]);
        let labels = Tensor::new(&[[1f64, 0.0], [0.0, 1.0], [1.0, 1.0]], &Device::Cpu).unwrap();
        let label = Tensor::new(&[[1f64, 0.0]], &Device::Cpu).unwrap();
        let run = |gradient, class_num| {
            let params = HashNetParams { gradient, ..with(Weighting::ClassNum, class_num) };
            let codes = [Var::new(&h, &Device::Cpu).unwrap(), Var::new(&[other], &Device::Cpu).unwrap()];
            let loss = pairwise_loss([&codes[0], &codes[1]], [&labels, &label], &ALPHA.into(), &[params]).unwrap();
            let grads = loss.backward().unwrap();
            (loss.to_scalar::<f64>().unwrap(), grads.get(&codes[0]).unwrap().to_vec2::<f64>().unwrap())
        };
        for class_num in [1.0, 5.0] {
            let (loss, plain) = run(PairGradient::Autograd, class_num);
            let (same_loss, caffe) = run(PairGradient::Caffe, class_num);
            assert_eq!(loss, same_loss);
            for (row, (r, similar)) in [(1.0, 1.0), (0.25, 0.0), (0.5, 1.0)].into_iter().enumerate() {
                let inner = h[row][0] * other[0] + h[row][1] * other[1];
                let residual = 1.0 / (1.0 + (-ALPHA * inner).exp()) - similar;
                let weight = if similar > 0.0 { class_num } else { 1.0 } / (2.0 * class_num + 1.0);
                for column in 0..2 {
                    let expected = 8.0 * r * weight * residual * other[column];
                    assert!((caffe[row][column] - expected).abs() < 1e-12, "caffe, row {row}");
                    let expected = 8.0 * r / ALPHA * plain[row][column];
                    assert!((caffe[row][column] - expected).abs() < 1e-12, "autograd, row {row}");
                }
            }
        }
    }

    #[test]
    fn nothing_overflows_however_sharp_the_loss() {
        for alpha in [1e3, 1e30] {
            let (loss, gradient) = loss_and_gradient(50.0, alpha, &HashNetParams::default());
            assert!(loss.is_finite() && gradient.iter().flatten().all(|g| g.is_finite()), "{alpha}: {loss}");
        }
    }

    #[test]
    fn a_batch_of_one_kind_of_pairs_has_a_finite_loss() {
        let h = Tensor::new(&Z, &Device::Cpu).unwrap().tanh().unwrap();
        for labels in [[[1.0, 0.0]; 3], [[0.0, 0.0]; 3]] {
            let y = Tensor::new(&labels, &Device::Cpu).unwrap();
            for weighting in [Weighting::Balanced, Weighting::BalancedJaccard] {
                let loss = pairwise_loss([&h, &h], [&y, &y], &0.5.into(), &[with(weighting, 1.0)]).unwrap();
                assert!(loss.to_scalar::<f64>().unwrap().is_finite());
            }
        }
    }

    /// β of the official code: √(1 + ⌊t/200⌋) over 10,000 steps.
    #[test]
    fn the_continuation_is_that_of_the_official_code_at_its_length() {
        let params = HashNetParams { scale_max: 50f64.sqrt(), ..HashNetParams::default() };
        for step in [0, 199, 200, 4_321, 9_999] {
            let expected = (1.0 + (step / 200) as f64).sqrt();
            assert!((scale(&params, step, 10_000) - expected).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn every_continuation_rises_from_one_to_its_largest_scale() {
        for continuation in [Continuation::Sqrt, Continuation::Stages] {
            let params = HashNetParams { continuation, scale_max: 12.0, stages: 10, ..HashNetParams::default() };
            let scales: Vec<f64> = (0..400).map(|step| scale(&params, step, 400)).collect();
            assert_eq!(scales[0], 1.0);
            assert!((scales[399] - 12.0).abs() < 1e-9);
            assert!(scales.windows(2).all(|pair| pair[0] <= pair[1]));
        }
        let off = HashNetParams { continuation: Continuation::Off, ..HashNetParams::default() };
        assert_eq!(scale(&off, 399, 400), 1.0);
    }

    #[test]
    fn images_are_cut_out_of_larger_ones_as_in_the_official_code() {
        assert_eq!(augmentation(227).to_string(), "resize(256,bilinear) random_crop(227) flip(p=0.5) r1");
    }
}
