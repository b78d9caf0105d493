//! BERT-ResNet hash: a projection and a hash layer per modality, drawn together by a contrastive loss over labels.
//!
//! No paper. Reference code: zzzck/MyCMH, commit 4849a80, which trains bert-base-uncased and a ResNet along; here both
//! are features. A modality's features pass two dense layers and a layer norm, a linear map, and a hash layer. With f
//! the outputs of the map and h the relaxed codes, `L = C(f_T, f_I) + C(h_T, h_I) + λ_Q·Q + λ_B·B`: C is InfoNCE from
//! texts to images, in which all images of a text's label are positives; Q the mean of (h − sign h)², B the mean of the
//! squared batch means of the bits.
//!
//! # Deviations
//! - Labels are integers there, and images of the same integer are positives: classes, or the number of the image for
//!   COCO and Flickr30k, so that only an item's own image is one. Here `positives` selects one of the two; items of
//!   several classes are similar if they share one, and an item is similar to itself without any.
//! - The adaptive hash layer's own quantization loss equals Q in value and gradient, and is averaged with it: it is
//!   left out.
//! - The reference code adds 1e-8 to a ratio of sums of exponentials before its logarithm. Here the logarithm comes
//!   from log-sum-exp, which needs no such term, and the loss differs accordingly.
//! - Its cosine ends at the same absolute rate for all parts; the floor of `[train]` is a fraction of each part's rate.
//! - Its evaluation searches a random half of the test set in the other half and selects on it.
//!
//! Its training is `optimizer = "adamw"`, learning rate 1e-4, weight decay 1e-5, batches of 32, `drop_last`, 100 epochs
//! with `warmup_epochs = 5`, `schedule = "cosine"`, `schedule_unit = "step"`, `schedule_floor = 0.01`: settings of
//! `[train]`.

use anyhow::{Context as _, Result};
use candle_core::{D, Tensor};
use hashlab_method::nn::{
    BatchNorm, LayerNorm, Linear, Parameters, PerRun, dropout, mean_last, shares_label, sign, unit_rows,
};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, ByModality, Definition, Draws, Features, HashMethod, Loss, MethodInfo, Modality,
    Needs, ParamGroup, Params, Progress, Stackable, State, Supervision, Trained, ViewSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOTH: [Modality; 2] = [Modality::Image, Modality::Text];

/// Hyperparameters of the BERT-ResNet hash.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BertResNetParams {
    /// Width of the projections. Reference code: 512 (1024 for COCO).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub width: usize,
    /// Hash layer: two dense layers and a batch norm under `tanh` (reference code's default), `sigmoid` or `gumbel`
    /// (soft samples of bits during training), or one dense layer and a batch norm under tanh (`adaptive`).
    pub hash_layer: HashLayerKind,
    /// `gumbel`: temperature of the samples. Reference code: 1.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub sample_tau: f64,
    /// Temperature τ of the contrastive terms. Reference code: 0.07.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub tau: f64,
    /// Positives of a text: the images that share a `label`, or the one of its own `item` (the reference code's case
    /// for COCO and Flickr30k, whose label is the image).
    pub positives: Positives,
    /// Weight λ_Q of the quantization term. Reference code: 0.1.
    #[schemars(range(min = 0.0))]
    pub quantization: f64,
    /// Weight λ_B of the balance term. Reference code: 0.01.
    #[schemars(range(min = 0.0))]
    pub balance: f64,
    /// Dropout of projections and hash layers, a probability. Reference code: 0.1.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Factor on the learning rate of the projections. Reference code: 0.1, as they are parts of its encoders.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub projection_lr_scale: f64,
}

/// Hash layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HashLayerKind {
    /// tanh(z).
    Tanh,
    /// 2σ(z) − 1.
    Sigmoid,
    /// 2p − 1, where p is a soft sample of the bit with logits z and −z.
    Gumbel,
    /// tanh(z) after a single dense layer.
    Adaptive,
}

/// Positives of the contrastive terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Positives {
    /// Items that share a label.
    Label,
    /// The item itself.
    Item,
}

impl Default for BertResNetParams {
    fn default() -> Self {
        Self {
            width: 512,
            hash_layer: HashLayerKind::Tanh,
            sample_tau: 1.0,
            tau: 0.07,
            positives: Positives::Label,
            quantization: 0.1,
            balance: 0.01,
            dropout: 0.1,
            projection_lr_scale: 0.1,
        }
    }
}

impl Params for BertResNetParams {
    fn inactive(&self) -> Vec<&'static str> {
        if self.hash_layer == HashLayerKind::Gumbel { Vec::new() } else { vec!["sample_tau"] }
    }
}

/// A hash layer: logits of the bits, and relaxed codes of logits.
pub struct HashLayer {
    kind: HashLayerKind,
    /// With a rectifier and dropout between each two.
    dense: Vec<Linear>,
    norm: BatchNorm,
}

impl HashLayer {
    /// Adds `NAME.fc1`, `NAME.fc2` unless it is adaptive, and `NAME.bn` to the parameters; sizes are width and bits.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(
        vars: &mut Parameters,
        name: &str,
        kind: HashLayerKind,
        [width, bits]: [usize; 2],
        cx: &BuildContext,
    ) -> Result<Self> {
        let widths = if kind == HashLayerKind::Adaptive { vec![bits] } else { vec![2 * bits, bits] };
        let (mut inputs, mut dense) = (width, Vec::with_capacity(widths.len()));
        for (index, outputs) in (1..).zip(widths) {
            dense.push(Linear::new(vars, &format!("{name}.fc{index}"), (inputs, outputs), cx)?);
            inputs = outputs;
        }
        Ok(Self { kind, dense, norm: BatchNorm::new(vars, &format!("{name}.bn"), bits, cx)? })
    }

    /// Logits `(n, bits)` of `(n, width)` by running moments.
    ///
    /// # Errors
    /// If `x` has another number of columns.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.norm.forward(&self.logits(x, Ok)?)?)
    }

    /// Logits by the moments of the batch, which move the running ones. `dropped` applies dropout.
    ///
    /// # Errors
    /// If `x` has another number of columns, or one row.
    pub fn forward_train(
        &self,
        x: &Tensor,
        dropped: impl FnMut(Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Tensor> {
        Ok(self.norm.forward_train(&self.logits(x, dropped)?)?)
    }

    fn logits(&self, x: &Tensor, mut dropped: impl FnMut(Tensor) -> candle_core::Result<Tensor>) -> Result<Tensor> {
        match self.dense.as_slice() {
            [first, last] => Ok(last.forward(&dropped(first.forward_relu(x)?)?)?),
            layers => Ok(layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x))?),
        }
    }

    /// Relaxed codes between −1 and 1. `noise` are Gumbel variables of both states of each bit `(n, bits, 2)`, where
    /// bits are sampled at temperature `tau`.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn codes(&self, logits: &Tensor, noise: Option<&Tensor>, tau: &PerRun) -> Result<Tensor> {
        let doubled = match (self.kind, noise) {
            (HashLayerKind::Tanh | HashLayerKind::Adaptive, _) => return Ok(logits.tanh()?),
            (HashLayerKind::Sigmoid, _) => logits.clone(),
            (HashLayerKind::Gumbel, None) => return Ok(sign(logits)?),
            (HashLayerKind::Gumbel, Some(noise)) => {
                let [one, other] = [0, 1].map(|state| noise.narrow(D::Minus1, state, 1));
                let difference = (one? - other?)?.squeeze(D::Minus1)?;
                tau.map(|tau| 1.0 / tau).times(&((logits * 2.0)? + difference)?)?
            }
        };
        Ok((doubled * 0.5)?.tanh()?) // 2σ(x) − 1 = tanh(x/2)
    }
}

/// Gumbel variables `(n, bits, 2)` for logits `(n, bits)`, of stacked runs with a first axis of runs.
fn gumbel(like: &Tensor, draws: &mut Draws) -> candle_core::Result<Tensor> {
    let shape = [like.dims(), &[2]].concat();
    draws.tensor(shape, like.device(), |rng| -(-rng.uniform().max(f64::MIN_POSITIVE).ln()).ln() as f32)
}

/// A modality's network.
struct Branch {
    projection: [Linear; 2],
    norm: LayerNorm,
    align: Linear,
    hash: HashLayer,
}

impl Branch {
    fn new(
        vars: &mut Parameters,
        modality: Modality,
        dim: usize,
        params: &BertResNetParams,
        cx: &BuildContext,
    ) -> Result<Self> {
        let width = params.width;
        let name = |part: &str| format!("{modality}.{part}");
        let mut linear = |part: &str, inputs| Linear::new(vars, &name(part), (inputs, width), cx);
        let projection = [linear("projection.fc1", dim)?, linear("projection.fc2", width)?];
        let align = linear("align", width)?;
        Ok(Self {
            projection,
            norm: LayerNorm::new(vars, &name("projection.norm"), width, cx)?,
            align,
            hash: HashLayer::new(vars, &name("hash"), params.hash_layer, [width, cx.bits], cx)?,
        })
    }

    /// Maps features to the common space `(n, width)`.
    fn features(&self, x: &Tensor, mut dropped: impl FnMut(Tensor) -> candle_core::Result<Tensor>) -> Result<Tensor> {
        let hidden = dropped(self.projection[0].forward_relu(x)?)?;
        Ok(self.align.forward(&self.norm.forward(&self.projection[1].forward(&hidden)?)?)?)
    }
}

/// The BERT-ResNet hash.
pub struct BertResNet {
    /// Of each of the stacked runs.
    params: Vec<BertResNetParams>,
    vars: Parameters,
    branches: ByModality<Branch>,
}

impl Definition for BertResNet {
    const INFO: MethodInfo = MethodInfo {
        name: "bert_resnet",
        title: "BERT-ResNet hash",
        paper: "no paper: zzzck/MyCMH on GitHub",
        supervision: Supervision::Supervised,
        needs: Needs::Separate(&BOTH),
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = include_str!("bert_resnet.rs");
    type Params = BertResNetParams;

    fn build(params: BertResNetParams, cx: &BuildContext) -> Result<Self> {
        Self::build_stacked(vec![params], cx)
    }
}

impl Stackable for BertResNet {
    const VARIED: &'static [&'static str] = &["tau", "sample_tau", "quantization", "balance"];

    fn build_stacked(params: Vec<BertResNetParams>, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let branches = cx.dims.try_map(|modality, dim| Branch::new(&mut vars, modality, *dim, &params[0], cx))?;
        Ok(Self { params, vars, branches })
    }
}

impl BertResNet {
    fn branch(&self, modality: Modality) -> Result<&Branch> {
        self.branches.get(modality).with_context(|| format!("not built for {modality} features"))
    }

    /// Features and relaxed codes of a modality's view of a batch.
    fn pass(&self, batch: &Batch, modality: Modality, at: &Progress) -> Result<[Tensor; 2]> {
        let view = batch.views.iter().find(|view| view.modality == modality);
        let x = &view.with_context(|| format!("the batch has no {modality} view"))?.x;
        let branch = self.branch(modality)?;
        let mut draws = at.draws(&format!("bert_resnet/{modality}"));
        let p = self.params[0].dropout;
        let mut dropped = |x: Tensor| if p > 0.0 { dropout(&x, p, &mut draws) } else { Ok(x) };
        let features = branch.features(x, &mut dropped)?;
        let logits = branch.hash.forward_train(&features, &mut dropped)?;
        let noise = match self.params[0].hash_layer {
            HashLayerKind::Gumbel => Some(gumbel(&logits, &mut draws)?),
            _ => None,
        };
        let tau = PerRun::of(&self.params, |params| params.sample_tau);
        Ok([features, branch.hash.codes(&logits, noise.as_ref(), &tau)?])
    }
}

impl HashMethod for BertResNet {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let branch = self.branch(modality)?;
        branch.hash.forward(&branch.features(items.get(modality)?, Ok)?) // all activations keep the signs
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for BertResNet {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new(BOTH.map(ViewSpec::plain))
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        let (projections, others) =
            self.vars.vars().into_iter().partition(|(name, _): &(String, _)| name.contains(".projection."));
        let lr_scale = Some(self.params[0].projection_lr_scale);
        vec![ParamGroup { lr_scale, ..ParamGroup::new(projections) }, ParamGroup::new(others)]
    }

    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let per_run = |number: fn(&BertResNetParams) -> f64| PerRun::of(&self.params, number);
        let [image, text] = BOTH.map(|modality| self.pass(batch, modality, at));
        let ([image, image_codes], [text, text_codes]) = (image?, text?);
        let itself = Tensor::eye(image.dim(D::Minus2)?, image.dtype(), image.device())?;
        let positives = match self.params[0].positives {
            Positives::Item => itself,
            Positives::Label => {
                let labels = batch.labels.as_ref().context("the method learns from labels")?;
                shares_label(labels, labels)?.to_dtype(image.dtype())?.broadcast_maximum(&itself)?
            }
        };
        let tau = per_run(|params| params.tau);
        let of_features = contrastive(&text, &image, &positives, &tau)?;
        let of_codes = contrastive(&text_codes, &image_codes, &positives, &tau)?;
        let both = |term: fn(&Tensor) -> Result<Tensor>| -> Result<Tensor> {
            Ok(((term(&image_codes)? + term(&text_codes)?)? * 0.5)?)
        };
        let (quantization, balance) = (both(quantization)?, both(balance)?);
        let weighted = per_run(|params| params.quantization).times(&quantization)?;
        let penalties = (weighted + per_run(|params| params.balance).times(&balance)?)?;
        let total = ((&of_features + &of_codes)? + penalties)?;
        let terms = [
            ("contrastive_features", of_features),
            ("contrastive_codes", of_codes),
            ("quantization", quantization),
            ("balance", balance),
        ];
        Ok(Loss { total, terms: terms.into() })
    }
}

/// InfoNCE from texts to images `(n, d)` each, on unit rows: the mean over texts of −log r, r the share of the
/// `positives` `(n, n)`, 1 or 0 for each text and image, in the softmax over all images. Every text has a positive.
/// Stacked runs have rows `(runs, n, d)`, may have a `tau` each, and share positives or have theirs, `(runs, n, n)`.
///
/// # Errors
/// If the shapes differ.
pub fn contrastive(text: &Tensor, image: &Tensor, positives: &Tensor, tau: &PerRun) -> Result<Tensor> {
    const EXCLUDED: f64 = 1e9; // leaves the others out of the sum
    let cosines = unit_rows(text)?.matmul(&unit_rows(image)?.t()?)?;
    let logits = tau.map(|tau| 1.0 / tau).times(&cosines)?;
    let of_positives = logits.broadcast_add(&positives.affine(EXCLUDED, -EXCLUDED)?)?.log_sum_exp(D::Minus1)?;
    Ok(mean_last(&(logits.log_sum_exp(D::Minus1)? - of_positives)?, 1)?)
}

/// The mean of (h − sign h)² of codes `(n, bits)`, of stacked runs `(runs, n, bits)`.
///
/// # Errors
/// If the device fails.
pub fn quantization(codes: &Tensor) -> Result<Tensor> {
    Ok(mean_last(&(codes - sign(codes)?)?.sqr()?, 2)?)
}

/// The mean over bits of the squared mean of each over the batch, of codes `(n, bits)`, of stacked runs
/// `(runs, n, bits)`.
///
/// # Errors
/// If the device fails.
pub fn balance(codes: &Tensor) -> Result<Tensor> {
    Ok(mean_last(&codes.mean(D::Minus2)?.sqr()?, 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_contrastive_loss_equals_the_worked_example() {
        let image = Tensor::new(&[[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let text = Tensor::new(&[[0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.6, 0.8]], &Device::Cpu).unwrap();
        let positives = Tensor::new(&[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let loss = contrastive(&text, &image, &positives, &0.07.into()).unwrap().to_scalar::<f64>().unwrap();
        assert!((loss - 0.797_624).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn only_projections_learn_slowly_and_every_variable_is_in_one_group() {
        for kind in [HashLayerKind::Tanh, HashLayerKind::Adaptive] {
            let dims = [(Modality::Image, 6), (Modality::Text, 4)].into_iter().collect();
            let cx = BuildContext { dims, ..BuildContext::of_images(8, 0) };
            let params = BertResNetParams { width: 10, hash_layer: kind, ..BertResNetParams::default() };
            let method = BertResNet::build(params, &cx).unwrap();
            let [slow, fast] = &method.param_groups()[..] else { panic!("two groups") };
            assert_eq!((slow.lr_scale, fast.lr_scale), (Some(0.1), None));
            assert_eq!(slow.vars.len(), 2 * 6);
            assert_eq!(slow.vars.len() + fast.vars.len(), method.vars.vars().len());
            let layers = if kind == HashLayerKind::Adaptive { 1 } else { 2 };
            assert_eq!(fast.vars.len(), 2 * 2 * (1 + layers + 1));
        }
    }

    #[test]
    fn gumbel_samples_follow_the_bits_probability() {
        let mut vars = Parameters::default();
        let cx = BuildContext::of_images(1, 1);
        let layer = HashLayer::new(&mut vars, "h", HashLayerKind::Gumbel, [1, 1], &cx).unwrap();
        let logits = Tensor::full(0.4f32, (20_000, 1), &Device::Cpu).unwrap();
        let mut draws = hashlab_rng::stream(0, "gumbel-test", &[]).into();
        let noise = gumbel(&logits, &mut draws).unwrap();
        let codes =
            layer.codes(&logits, Some(&noise), &1.0.into()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let ones = codes.iter().filter(|code| **code > 0.0).count() as f64 / codes.len() as f64;
        let expected = 1.0 / (1.0 + (-0.8f64).exp()); // of logits 0.4 and −0.4
        assert!((ones - expected).abs() < 0.01, "{ones} {expected}");
        assert_eq!(
            layer.codes(&logits, None, &1.0.into()).unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap(),
            1.0
        );
    }
}
