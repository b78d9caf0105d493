//! NSH: naturally-sorted hashing.
//!
//! Jiaguo Yu, Yuming Shen, Menghan Wang, Haofeng Zhang and Philip H. S. Torr, Learning to Hash Naturally Sorts, IJCAI
//! 2022, arXiv 2201.13322.
//!
//! Two views of each of n images pass a hash head (codes B̄, B̂) and a latent head (unit vectors Z̄, Ẑ). For each image
//! the batch is sorted by the similarity of codes, S = B̄B̂ᵀ/2K + ½, through SoftSort's P, which is differentiable. The
//! first m of the sorted latents are the image's positives, the others its negatives:
//! `L = L_SortedNCE + λ·L_quantization`. So the nearest neighbors in Hamming space, usually the image itself and one
//! other, are the positives of both heads.
//!
//! # Deviations
//! The authors published no code. The only working public recipe, kamwoh/sdc (commit 9981beb), differs from the paper
//! in points that are hyperparameters here; the paper's side is the default:
//! - `binarization`: the paper sorts by ±1 codes (`ste_sign`), kamwoh/sdc by `tanh` codes during training.
//! - `double_softmax`: kamwoh/sdc passes softmaxed logits to the cross-entropy, which applies another softmax. That
//!   bounds the loss and weakens its gradients; `false` is the paper's SortedNCE.
//! - `quantization`: kamwoh/sdc weights it 1. On features of a frozen network whose initial codes are nearly alike,
//!   that collapses all of them into one code before the sorting has separated them, since the gradient of a doubled
//!   softmax is too weak to prevent it (docs/results has the curves). The default 0.1 is this project's; the paper's
//!   value is not public.
//!
//! A tanh of exactly 0 is bit 1 (PyTorch's sign gives 0). An incomplete last batch with no more than m images has no
//! negatives and a SortedNCE of 0; a first batch like that is an error. kamwoh/sdc resizes images that it encodes by
//! bicubic, here the data set's transform does. It draws new views in every epoch; here a step draws its pair from
//! `image.views` stored ones.
//!
//! SoftSort can sort only codes that already differ by about a bit (`sort_tau`). Features that hardly do, such as those
//! of a network with random weights, leave P nearly uniform and the loss near that of chance.
//!
//! kamwoh/sdc trains, on a frozen ResNet-50, with `optimizer = "adam"`, `learning_rate = 1e-5`, `weight_decay = 1e-5`
//! (coupled), `batch_size = 50`, `drop_last = true`, `epochs = 200`, constant.

use anyhow::{Result, ensure};
use candle_core::{D, Tensor};
use hashlab_image::{ColorJitter, RandomResizedCrop, Step, Transform};
use hashlab_method::nn::{Linear, Parameters, PerRun, mean_last, sign, soft_sort, straight_through};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, Features, HashMethod, Loss, MethodInfo, Modality, Needs, ParamGroup,
    Params, Progress, RunFacts, Stackable, State, Supervision, Trained, ViewSpec, Violations,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperparameters of NSH.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NshParams {
    /// Temperature τ of SortedNCE. kamwoh/sdc: 0.3.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub tau: f64,
    /// Temperature of SoftSort, in units of a similarity between 0 and 1. Not set: 1/bits, the similarity of one bit
    /// (kamwoh/sdc).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub sort_tau: Option<f64>,
    /// Number m of sorted images that are positives. kamwoh/sdc: 2.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub positives: usize,
    /// Length of the latent vectors. kamwoh/sdc: 1024.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub latent: usize,
    /// Weight λ of the quantization term. kamwoh/sdc: 1; 0.1 is this project's choice, see the module's documentation.
    #[schemars(range(min = 0.0))]
    pub quantization: f64,
    /// Codes by which the batch is sorted during training: signs with straight-through gradients, `ste_sign` (paper),
    /// or `tanh` codes (kamwoh/sdc). Quantization is that of the tanh either way.
    pub binarization: Binarization,
    /// Whether a second softmax is applied to the logits of SortedNCE. kamwoh/sdc: true; the paper's loss: false.
    pub double_softmax: bool,
    /// Smallest share of the image's area that a view keeps. kamwoh/sdc: 0.2.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub crop_scale: f64,
    /// Strength of the color jitter, as a factor on brightness, contrast and saturation 0.4 and hue 0.1 of the first
    /// view and 0.4 of the second. kamwoh/sdc: 1.
    #[schemars(range(min = 0.0, max = 1.25))]
    pub jitter: f64,
}

/// Codes by which the batch is sorted during training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binarization {
    /// tanh codes.
    Tanh,
    /// ±1 codes, whose gradient goes to the tanh.
    SteSign,
}

impl Default for NshParams {
    fn default() -> Self {
        Self {
            tau: 0.3,
            sort_tau: None,
            positives: 2,
            latent: 1024,
            quantization: 0.1,
            binarization: Binarization::SteSign,
            double_softmax: false,
            crop_scale: 0.2,
            jitter: 1.0,
        }
    }
}

impl NshParams {
    fn augmentation(&self) -> Augmentation {
        Augmentation { crop_scale: self.crop_scale, jitter: self.jitter }
    }

    /// The temperature of SoftSort for codes of `bits` bits.
    pub fn sort_temperature(&self, bits: usize) -> f64 {
        self.sort_tau.unwrap_or(1.0 / bits as f64)
    }
}

impl Params for NshParams {}

/// NSH with its two linear heads.
pub struct Nsh {
    /// Of each of the stacked runs.
    params: Vec<NshParams>,
    modality: Modality,
    vars: Parameters,
    hash: Linear,
    latent: Linear,
}

impl Definition for Nsh {
    const INFO: MethodInfo = MethodInfo {
        name: "nsh",
        title: "NSH",
        paper: "Yu et al., Learning to Hash Naturally Sorts, IJCAI 2022",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: true,
        seeded: true,
        revision: 2,
    };
    const SOURCE: &'static str = include_str!("nsh.rs");
    type Params = NshParams;

    fn build(params: NshParams, cx: &BuildContext) -> Result<Self> {
        Self::build_stacked(vec![params], cx)
    }

    fn check(params: &NshParams, run: &RunFacts) -> Violations {
        let images = run.items_per_step().unwrap_or(usize::MAX);
        let message = format!("a step sees {images} images, which leaves no negative beside so many `positives`");
        let help = "help: lower `positives`, or raise `train.batch_size` where there are more training items";
        let negatives = params.positives < images;
        run.draws_views(2).require(negatives, ["positives", "train.batch_size"], format!("{message}\n{help}"))
    }
}

impl Stackable for Nsh {
    const VARIED: &'static [&'static str] = &["tau", "sort_tau", "quantization"];

    fn build_stacked(params: Vec<NshParams>, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let hash = Linear::new(&mut vars, "hash", (cx.dim()?, cx.bits), cx)?;
        let latent = Linear::new(&mut vars, "latent", (cx.dim()?, params[0].latent), cx)?;
        Ok(Self { params, modality: cx.modality()?, vars, hash, latent })
    }
}

impl HashMethod for Nsh {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.hash.forward(items.get(modality)?)?) // tanh(x) ≥ 0 exactly where x ≥ 0
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for Nsh {
    fn batch_spec(&self) -> BatchSpec {
        let augmentation = self.params[0].augmentation();
        BatchSpec::new([
            ViewSpec::augmented(self.modality, move |size| augmentation.first_view(size)),
            ViewSpec::augmented(self.modality, move |size| augmentation.second_view(size)),
        ])
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }

    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let (m, n) = (self.params[0].positives, batch.items.len() / at.runs());
        // The first batch of a training is as large as any; a later one may be the remainder of an epoch.
        ensure!(at.step > 0 || m < n, "`positives` = {m} leaves no negatives in a batch of {n} images");
        let features = batch.joined(self.modality)?; // (2n, dim): view 1, then view 2
        let objective = objective(&self.hash.forward(&features)?, &self.latent.forward(&features)?, &self.params)?;
        Ok(Loss {
            total: objective.total,
            terms: vec![("sorted_nce", objective.sorted_nce), ("quantization", objective.quantization)],
        })
    }
}

/// The transforms of the views.
#[derive(Clone, Copy)]
struct Augmentation {
    crop_scale: f64,
    jitter: f64,
}

impl Augmentation {
    fn color_jitter(&self, hue: f64) -> ColorJitter {
        let color = 0.4 * self.jitter;
        ColorJitter { brightness: color, contrast: color, saturation: color, hue: hue * self.jitter }
    }

    /// The transform of the first view, kamwoh/sdc's `mocov2` (MoCo v2's), to `size × size` pixels. Its blur is
    /// Pillow's and always happens.
    fn first_view(&self, size: usize) -> Transform {
        Transform::new([
            Step::RandomResizedCrop(RandomResizedCrop::new(size, (self.crop_scale, 1.0))),
            Step::Flip { p: 0.5 },
            Step::ColorJitter { jitter: self.color_jitter(0.1), p: 0.8 },
            Step::Grayscale { p: 0.2 },
            Step::PillowBlur { sigma: (0.1, 2.0), p: 1.0 },
        ])
    }

    /// The transform of the second view: a stronger change of hue, always, and no blur.
    fn second_view(&self, size: usize) -> Transform {
        Transform::new([
            Step::RandomResizedCrop(RandomResizedCrop::new(size, (self.crop_scale, 1.0))),
            Step::Flip { p: 0.5 },
            Step::ColorJitter { jitter: self.color_jitter(0.4), p: 1.0 },
            Step::Grayscale { p: 0.2 },
        ])
    }
}

/// The loss and its terms, all scalars; of stacked runs `(runs,)`.
pub struct Objective {
    /// `sorted_nce + λ·quantization`.
    pub total: Tensor,
    /// L_SortedNCE.
    pub sorted_nce: Tensor,
    /// The mean over both views of (b − sign b)², b = tanh of the hash head.
    pub quantization: Tensor,
}

/// Computes `L_SortedNCE + λ·L_quantization` of the outputs of the two heads, `hash` `(2n, bits)` before tanh and
/// `latent` `(2n, d)` before normalization: view 1 of n images, then view 2 of the same. Stacked runs have `params` for
/// each, and outputs with a first axis of runs.
///
/// # Errors
/// If the numbers of rows differ or are odd, or `params` are of another number of runs.
pub fn objective(hash: &Tensor, latent: &Tensor, params: &[NshParams]) -> Result<Objective> {
    let relaxed = hash.tanh()?;
    let signs = sign(&relaxed)?;
    let codes = match params[0].binarization {
        Binarization::Tanh => relaxed.clone(),
        Binarization::SteSign => straight_through(&relaxed, &signs)?,
    };
    let latent = latent.broadcast_div(&latent.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?;
    let bits = hash.dim(D::Minus1)?;
    let permutation = soft_sort(&similarity(&codes)?, PerRun::of(params, |params| params.sort_temperature(bits)))?;
    let cosines = sort_cosines(&permutation, &products(&latent)?.t()?)?;
    let sorted_nce = sorted_nce(&cosines, params)?;
    let quantization = mean_last(&(relaxed - signs)?.sqr()?, 2)?;
    let total = (&sorted_nce + PerRun::of(params, |params| params.quantization).times(&quantization)?)?;
    Ok(Objective { total, sorted_nce, quantization })
}

/// S of codes `(…, 2n, bits)`, first views down: 1 − Hamming distance / bits where they are ±1.
fn similarity(codes: &Tensor) -> Result<Tensor> {
    Ok(products(codes)?.affine(0.5 / codes.dim(D::Minus1)? as f64, 0.5)?)
}

/// Inner products of the first half of the rows, down, with the second half, across: `(…, 2n, d)` to `(…, n, n)`.
fn products(rows: &Tensor) -> Result<Tensor> {
    let n = rows.dim(D::Minus2)? / 2;
    let [first, second] = [0, n].map(|start| rows.narrow(D::Minus2, start, n));
    Ok(first?.matmul(&second?.t()?)?)
}

/// The cosines of image i's second view with all first views, in i's order: `c_ij = Σ_k P_ijk ⟨Z̄_k, Ẑ_i⟩`.
///
/// That equals ⟨E_ij, Ẑ_i⟩ of the sorted latents E = PZ̄, without storing the `(n, n, d)` of E.
///
/// # Shapes
/// `permutation` is `(…, n, n, n)`, `cosines` `(…, n, n)` with the second views down; the result is `(…, n, n)`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn sort_cosines(permutation: &Tensor, cosines: &Tensor) -> Result<Tensor> {
    Ok(permutation.matmul(&cosines.contiguous()?.unsqueeze(D::Minus1)?)?.squeeze(D::Minus1)?)
}

/// L_SortedNCE of cosines `(n, n)` that are sorted in each row: the mean over rows and their first m positions of
/// −log softmax, at temperature τ, of that position among itself and the negatives, which are all after the first m.
/// Stacked runs have `params` for each, and cosines `(runs, n, n)`.
///
/// # Errors
/// If `cosines` has fewer axes, or `params` are of another number of runs.
pub fn sorted_nce(cosines: &Tensor, params: &[NshParams]) -> Result<Tensor> {
    let n = cosines.dim(D::Minus1)?;
    let m = params[0].positives.min(n);
    let mut candidates = vec![cosines.narrow(D::Minus1, 0, m)?.unsqueeze(D::Minus1)?];
    if n > m {
        let negatives = cosines.narrow(D::Minus1, m, n - m)?.unsqueeze(D::Minus2)?;
        let mut shape = negatives.dims().to_vec();
        let rows = shape.len() - 2;
        shape[rows] = m;
        candidates.push(negatives.broadcast_as(shape)?);
    }
    // (…, rows, m, 1 + n − m), the positive first
    let tau = PerRun::of(params, |params| 1.0 / params.tau);
    let mut logits = tau.times(&Tensor::cat(&candidates, D::Minus1)?)?;
    if params[0].double_softmax {
        logits = candle_nn::ops::softmax(&logits, D::Minus1)?;
    }
    let positive = logits.narrow(D::Minus1, 0, 1)?.squeeze(D::Minus1)?;
    Ok(mean_last(&(logits.log_sum_exp(D::Minus1)? - positive)?, 2)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hashlab_method::View;

    #[test]
    fn batches_without_negatives_are_refused_unless_left_over() {
        let cx = BuildContext::of_images(4, 3);
        let loss = |positives: usize, step: usize| {
            let view = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
            let batch = Batch {
                items: (0..4).collect(),
                views: vec![View { modality: Modality::Image, x: view }; 2],
                labels: None,
            };
            let mut method = Nsh::build(NshParams { positives, ..NshParams::default() }, &cx).unwrap();
            method.loss(&batch, &Progress { epoch: 0, epochs: 1, step, steps: 9, seeds: vec![0] }).map(|_| ())
        };
        loss(3, 0).unwrap();
        loss(4, 8).unwrap();
        let error = loss(4, 0).unwrap_err();
        assert_eq!(error.to_string(), "`positives` = 4 leaves no negatives in a batch of 4 images");
    }

    /// A worked example in float64. The codes are small decimals, so the inputs of the hash head are their inverse
    /// tanh.
    #[test]
    fn loss_equals_the_worked_example() {
        let codes: [[f64; 4]; 6] = [
            [0.8, -0.6, 0.2, 0.9],
            [-0.7, 0.5, 0.1, -0.3],
            [0.4, 0.4, -0.9, 0.2],
            [0.9, -0.4, 0.3, 0.7],
            [-0.6, 0.7, -0.2, -0.5],
            [0.2, 0.6, -0.8, 0.1],
        ];
        let hash = Tensor::new(&codes.map(|row| row.map(f64::atanh)), &Device::Cpu).unwrap();
        let latent = [[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]];
        let latent = Tensor::new(&latent, &Device::Cpu).unwrap();
        let near = |what: &str, found: &Tensor, expected: &[f64]| {
            let found = found.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close && found.len() == expected.len(), "{what}: {found:?}, expected {expected:?}");
        };

        let similarity = similarity(&hash.tanh().unwrap()).unwrap();
        near("similarity", &similarity.narrow(0, 0, 1).unwrap(), &[0.706_25, 0.326_25, 0.466_25]);
        let cosines = sort_cosines(&soft_sort(&similarity, 0.25).unwrap(), &products(&latent).unwrap().t().unwrap());
        near("cosines", &cosines.unwrap().narrow(0, 0, 1).unwrap(), &[0.563_656, 0.294_087, 0.544_734]);
        for (double_softmax, sorted_nce) in [(true, 0.637_113), (false, 0.604_275)] {
            let binarization = Binarization::Tanh;
            let params = NshParams { double_softmax, binarization, quantization: 1.0, ..NshParams::default() };
            let found = objective(&hash, &latent, &[params]).unwrap();
            near("sorted_nce", &found.sorted_nce, &[sorted_nce]);
            near("quantization", &found.quantization, &[0.316_666_667]);
            near("total", &found.total, &[sorted_nce + 0.316_666_667]);
        }
    }
}
