//! CroVCA's hash coder: its network, its loss, and its training with and without labels.

use anyhow::{Context as _, Result};
use candle_core::{D, DType, Tensor};
use faer::Mat;
use faer::Side;
use faer::linalg::solvers::Solve;
use hashlab_image::{ColorJitter, RandomResizedCrop, Step, Transform};
use hashlab_method::nn::{BatchNorm, Linear, Parameters, PerRun, mean_last, pair_likelihood, unit_rows, with_gradient};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Features, HashMethod, Loss, Modality, ParamGroup, Params, Progress, State, Trained,
    ViewSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linalg::to_tensor;

/// Hyperparameters of CroVCA.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CoderParams {
    /// Network: `small`, one hidden layer as wide as the features with a rectifier (reference code's default), or
    /// `large`, two hidden layers of twice that width, at least 2048, with GELU.
    pub head: Head,
    /// Weight of the coding rate. Reference code: 0.1.
    #[schemars(range(min = 0.0))]
    pub regularization: f64,
    /// Precision ε of the coding rate. Reference code: 0.05.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub eps: f64,
    /// Smallest share of the image's area that a view keeps. Reference code: 0.4.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub crop_scale: f64,
    /// Strength of the color jitter, as a factor on brightness, contrast and saturation 0.4 and hue 0.2. Reference
    /// code: 1.
    #[schemars(range(min = 0.0, max = 2.5))]
    pub jitter: f64,
}

/// Networks of CroVCA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// One hidden layer.
    Small,
    /// Two hidden layers.
    Large,
}

impl Default for CoderParams {
    fn default() -> Self {
        Self { head: Head::Small, regularization: 0.1, eps: 0.05, crop_scale: 0.4, jitter: 1.0 }
    }
}

impl Params for CoderParams {}

/// The hash coder; `SUPERVISED` takes targets from labels.
pub struct HashCoder<const SUPERVISED: bool> {
    /// Of each of the stacked runs.
    params: Vec<CoderParams>,
    modality: Modality,
    vars: Parameters,
    hidden: Vec<Linear>,
    output: Linear,
    norm: BatchNorm,
}

/// Hyperparameters that may differ between stacked runs.
pub(crate) const VARIED: &[&str] = &["regularization", "eps"];

impl<const SUPERVISED: bool> HashCoder<SUPERVISED> {
    /// Builds the coder of each of the stacked runs with its untrained network.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub(crate) fn new(params: Vec<CoderParams>, cx: &BuildContext) -> Result<Self> {
        const DEVIATION: f64 = 0.02; // reference code
        let (dim, mut vars) = (cx.dim()?, Parameters::default());
        let widths = match params[0].head {
            Head::Small => vec![dim],
            Head::Large => vec![(2 * dim).max(2048); 2],
        };
        let mut inputs = dim;
        let mut hidden = Vec::with_capacity(widths.len());
        for (index, width) in widths.into_iter().enumerate() {
            hidden.push(Linear::normal(&mut vars, &format!("hidden.{index}"), (inputs, width), DEVIATION, cx)?);
            inputs = width;
        }
        let output = Linear::normal(&mut vars, "output", (inputs, cx.bits), DEVIATION, cx)?;
        let norm = BatchNorm::new(&mut vars, "norm", cx.bits, cx)?;
        Ok(Self { params, modality: cx.modality()?, vars, hidden, output, norm })
    }

    /// Logits before the batch norm.
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        let layer = |x: Tensor, layer: &Linear| match self.params[0].head {
            Head::Small => layer.forward_relu(&x),
            Head::Large => layer.forward(&x)?.gelu_erf(),
        };
        let hidden = self.hidden.iter().try_fold(x.clone(), layer)?;
        Ok(self.output.forward(&hidden)?)
    }

    fn augmentation(&self) -> impl Fn(usize) -> Transform + use<SUPERVISED> {
        let CoderParams { crop_scale, jitter, .. } = self.params[0];
        move |size| augmentation(size, crop_scale, jitter)
    }
}

impl<const SUPERVISED: bool> HashMethod for HashCoder<SUPERVISED> {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.norm.forward(&self.project(items.get(modality)?)?)?)
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl<const SUPERVISED: bool> Trained for HashCoder<SUPERVISED> {
    fn batch_spec(&self) -> BatchSpec {
        let view = ViewSpec::augmented(self.modality, self.augmentation());
        BatchSpec::new([view.clone(), view])
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }

    fn loss(&mut self, batch: &Batch, _: &Progress) -> Result<Loss> {
        let logits =
            |view: usize| -> Result<Tensor> { Ok(self.norm.forward_train(&self.project(&batch.views[view].x)?)?) };
        let views = [logits(0)?, logits(1)?];
        let labels = match SUPERVISED {
            true => Some(batch.labels.as_ref().context("CroVCA-S learns from labels")?),
            false => None,
        };
        let found = objective(&views, labels, &self.params)?;
        Ok(Loss { total: found.total, terms: vec![("alignment", found.alignment), ("coding_rate", found.coding_rate)] })
    }
}

/// The transform of a training image, reference code.
fn augmentation(size: usize, crop_scale: f64, jitter: f64) -> Transform {
    let color = 0.4 * jitter;
    let jitter = ColorJitter { brightness: color, contrast: color, saturation: color, hue: 0.2 * jitter };
    Transform::new([
        Step::RandomResizedCrop(RandomResizedCrop::new(size, (crop_scale, 1.0))),
        Step::Flip { p: 0.5 },
        Step::ColorJitter { jitter, p: 0.8 },
        Step::Grayscale { p: 0.2 },
        Step::PillowBlur { sigma: (0.1, 2.0), p: 0.1 },
        Step::Solarize { threshold: 128, p: 0.1 },
    ])
}

/// The loss and its terms, all scalars; of stacked runs `(runs,)`.
pub struct Objective {
    /// `alignment + λ·coding_rate`.
    pub total: Tensor,
    /// Cross-entropy of the logits to their target bits, the mean over the views.
    pub alignment: Tensor,
    /// Minus the rate of the logits' directions, the mean over the views.
    pub coding_rate: Tensor,
}

/// Computes the loss of the logits `(n, bits)` of two views. The targets of a view are the bits of the other one; with
/// multi-hot `labels` `(n, classes)`, those of the prototypes of an item's labels for both views. Stacked runs have
/// `params` for each, and a first axis of runs everywhere.
///
/// # Errors
/// If the shapes differ.
pub fn objective(views: &[Tensor; 2], labels: Option<&Tensor>, params: &[CoderParams]) -> Result<Objective> {
    let targets = match labels {
        None => [bits(&views[1])?, bits(&views[0])?],
        Some(labels) => {
            let codes = bits(&label_codes(views, labels)?)?;
            [codes.clone(), codes]
        }
    };
    let alignment = |view: usize| mean_last(&pair_likelihood(&views[view], &targets[view])?, 2);
    let alignment = ((alignment(0)? + alignment(1)?)? * 0.5)?;
    let eps = PerRun::of(params, |params| params.eps);
    let rate = ((coding_rate(&views[0], &eps)? + coding_rate(&views[1], &eps)?)? * 0.5)?;
    let total = (&alignment + PerRun::of(params, |params| params.regularization).times(&rate)?)?;
    Ok(Objective { total, alignment, coding_rate: rate })
}

/// 1 where a logit is above 0, else 0, without gradient.
fn bits(logits: &Tensor) -> candle_core::Result<Tensor> {
    logits.detach().gt(0.0)?.to_dtype(logits.dtype())
}

/// The mean `(n, bits)` of the prototypes of each item's labels: a label's prototype is the mean of the logits of its
/// items in the batch, over both views. 0 for an item without labels.
fn label_codes(views: &[Tensor; 2], labels: &Tensor) -> Result<Tensor> {
    let logits = ((views[0].detach() + views[1].detach())? * 0.5)?;
    let labels = labels.to_dtype(logits.dtype())?;
    let items = labels.sum_keepdim(D::Minus2)?.t()?.maximum(1.0)?; // (classes, 1)
    let prototypes = labels.t()?.contiguous()?.matmul(&logits)?.broadcast_div(&items)?; // (classes, bits)
    let of_item = labels.sum_keepdim(D::Minus1)?.maximum(1.0)?;
    Ok(labels.matmul(&prototypes)?.broadcast_div(&of_item)?)
}

/// Minus the coding rate of logits `(m, p)` at unit length, scaled as in the reference code:
/// `−½ log det(I + p/(m·ε)·ZᵀZ)·(p + m)/(p·m)`. Lower values spread the codes over more dimensions. NaN for logits that
/// are not finite. Stacked runs have logits `(runs, m, p)` and may have an `eps` each.
///
/// # Errors
/// If the shapes do not fit together.
pub fn coding_rate(logits: &Tensor, eps: &PerRun) -> Result<Tensor> {
    let (m, p) = (logits.dim(D::Minus2)?, logits.dim(D::Minus1)?);
    let unit = unit_rows(logits)?;
    let gram = unit.t()?.contiguous()?.matmul(&unit)?; // (p, p), the smaller part of the work: bits are few
    let (mut values, mut slopes) = (Vec::new(), Vec::new());
    for (run, of_run) in gram.detach().to_dtype(DType::F64)?.reshape(((), p, p))?.to_vec3::<f64>()?.iter().enumerate() {
        let of_run = Mat::from_fn(p, p, |i, j| of_run[i][j]);
        let (value, slope) = rate_and_slope(of_run, [m as f64, p as f64], eps.of_run(run));
        values.push(value);
        slopes.push(to_tensor_like(&slope, &gram)?);
    }
    let shape = &gram.dims()[..gram.rank() - 2];
    let value = Tensor::from_vec(values, shape, gram.device())?.to_dtype(gram.dtype())?;
    Ok(with_gradient(&value, &gram, &Tensor::stack(&slopes, 0)?.reshape(gram.shape())?)?)
}

/// Minus the scaled coding rate of `m` rows at unit length with the Gram matrix `gram` `(p, p)`, and its derivative by
/// that matrix.
fn rate_and_slope(gram: Mat<f64>, [m, p]: [f64; 2], eps: f64) -> (f64, Mat<f64>) {
    let (spread, share) = (p / (m * eps), 0.5 * (p + m) / (p * m));
    let size = gram.nrows();
    let identity = || Mat::<f64>::identity(size, size);
    let Ok(factor) = (identity() + gram * faer::Scale(spread)).llt(Side::Lower) else {
        return (f64::NAN, identity() * faer::Scale(f64::NAN)); // of logits that are not finite
    };
    let log_det = 2.0 * (0..size).map(|i| factor.L()[(i, i)].ln()).sum::<f64>();
    // The derivative of log det(I + c·G) by G is c·(I + c·G)⁻¹.
    (-share * log_det, factor.solve(identity()) * faer::Scale(-share * spread))
}

fn to_tensor_like(matrix: &Mat<f64>, like: &Tensor) -> Result<Tensor> {
    if like.dtype() == DType::F32 {
        return to_tensor(matrix, like.device());
    }
    let (n, d) = (matrix.nrows(), matrix.ncols());
    let values: Vec<f64> = (0..n * d).map(|i| matrix[(i / d, i % d)]).collect();
    Ok(Tensor::from_vec(values, (n, d), like.device())?.to_dtype(like.dtype())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn views_are_made_as_in_the_reference_code() {
        assert_eq!(
            augmentation(224, 0.4, 1.0).to_string(),
            "random_resized_crop(224,scale=0.4..1,ratio=0.75..1.3333333333333333) flip(p=0.5) \
             color_jitter(0.4,0.4,0.4,0.2,p=0.8) grayscale(p=0.2) pillow_blur(sigma=0.1..2,p=0.1) \
             solarize(128,p=0.1) r1"
        );
    }

    #[test]
    fn orthogonal_codes_have_the_highest_rate_and_equal_ones_the_lowest() {
        let rate = |rows: &[[f64; 2]; 2]| {
            let logits = Tensor::new(rows, &Device::Cpu).unwrap();
            coding_rate(&logits, &0.5.into()).unwrap().to_scalar::<f64>().unwrap()
        };
        // p = m = 2: I + 2·ZᵀZ is 3·I for orthogonal rows and has the determinant 5 for equal ones; half of the log.
        assert!((rate(&[[2.0, 0.0], [0.0, 7.0]]) + 9f64.ln() / 2.0).abs() < 1e-12);
        assert!((rate(&[[1.0, 1.0], [3.0, 3.0]]) + 5f64.ln() / 2.0).abs() < 1e-12);
    }

    #[test]
    fn targets_are_the_other_views_bits_or_those_of_the_labels_prototypes() {
        let views = [[[0.2f64, -3.0], [1.0, 0.5], [-0.1, 4.0]], [[-0.4, 1.0], [2.0, -0.5], [0.3, 1.0]]];
        let views = views.map(|view| Var::new(&view, &Device::Cpu).unwrap().as_tensor().clone());
        let labels = Tensor::new(&[[1f64, 0.0], [1.0, 0.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        // The prototype of the first label: (0.2 − 0.4 + 1 + 2) / 4 and (−3 + 1 + 0.5 − 0.5) / 4.
        let codes = label_codes(&views, &labels).unwrap().to_vec2::<f64>().unwrap();
        let expected = [[0.7, -0.5], [0.7, -0.5], [0.0, 0.0]];
        assert!(codes.concat().iter().zip(expected.concat()).all(|(a, b)| (a - b).abs() < 1e-12), "{codes:?}");
        let alignment = |labels: Option<&Tensor>| {
            let found = objective(&views, labels, &[CoderParams::default()]).unwrap();
            found.alignment.to_scalar::<f64>().unwrap()
        };
        let cross_entropy = |targets: [[[f64; 2]; 3]; 2]| {
            let view = |view: &Tensor, target: &[[f64; 2]; 3]| {
                let logits = view.to_vec2::<f64>().unwrap().concat();
                let terms = logits.iter().zip(target.concat()).map(|(z, t)| (1.0 + z.exp()).ln() - t * z);
                terms.sum::<f64>() / 6.0
            };
            (view(&views[0], &targets[0]) + view(&views[1], &targets[1])) / 2.0
        };
        let of_views = [[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]];
        assert!((alignment(None) - cross_entropy(of_views)).abs() < 1e-12);
        let of_labels = [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]];
        assert!((alignment(Some(&labels)) - cross_entropy([of_labels; 2])).abs() < 1e-12);
    }

    #[test]
    fn the_large_head_has_two_wide_layers() {
        let cx = BuildContext::of_images(8, 16);
        let sizes = |head| {
            let params = CoderParams { head, ..CoderParams::default() };
            let coder = HashCoder::<false>::new(vec![params], &cx).unwrap();
            let names: Vec<(String, usize)> =
                coder.vars.vars().into_iter().map(|(name, var)| (name, var.dim(0).unwrap())).collect();
            names
                .into_iter()
                .filter(|(name, _)| name.ends_with("0.weight") || name.ends_with("1.weight"))
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(Head::Small), [("hidden.0.weight".to_owned(), 16)]);
        let wide = |name: &str| (name.to_owned(), 2048);
        assert_eq!(sizes(Head::Large), [wide("hidden.0.weight"), wide("hidden.1.weight")]);
    }
}
