//! DINOv2 (Oquab et al., TMLR 2024): transformers over patches of 14 by 14 pixels, trained without labels.
//!
//! The features are the class token behind the last norm: `pooler_output` of transformers' `Dinov2Model`, whose names a
//! weights file has, or timm's. Images may have any size: the positions, those of images of 518 pixels in the published
//! files, are interpolated, and pixels beyond the last whole patch do not count.

use candle_core::{Result, Tensor, bail};
use hashlab_kernels::conv::{Activation, Padding, Window};
use hashlab_kernels::transformer::Gelu;

use crate::layers::{Affine, Pass};
use crate::naming;
use crate::network::{Architecture, build};
use crate::patches::{Others, Patches};
use crate::source::{Draw, Init, Plan, Source};
use crate::towers::HEAD;
use crate::transformer::{Inputs, LayerNorm, Mlp, PreNormBlock, STORED, SelfAttention, run_blocks};
use crate::weights::{IMAGENET, Weights, WeightsError};
use crate::{EncoderError, Filter, ImageEntry, Mode, Preprocess, TrainableEncoder};

/// The small network's registration.
pub const S_14: ImageEntry = ImageEntry {
    name: "dinov2_s_14",
    doc: "DINOv2 ViT-S/14: the 384 features of the class token",
    needs_weights: true,
    dim: 384,
    image_size: 224,
    together: 8,
    only_size: None,
    normed: false,
    normalize: IMAGENET,
    preprocess: Preprocess { filter: Filter::Bicubic, crop: Some(0.875) },
    published: Some(crate::published::DINOV2_S_14),
    open: |weights, _, place| Ok(published("dinov2_s_14", weights, 384, Mode::Frozen(place))?),
    train: Some(|weights, _, _, place| published("dinov2_s_14", weights, 384, Mode::Trained(place))),
    cut: None,
};

/// The base size's registration.
pub const B_14: ImageEntry = ImageEntry {
    name: "dinov2_b_14",
    doc: "DINOv2 ViT-B/14: the 768 features of the class token",
    dim: 768,
    published: Some(crate::published::DINOV2_B_14),
    open: |weights, _, place| Ok(published("dinov2_b_14", weights, 768, Mode::Frozen(place))?),
    train: Some(|weights, _, _, place| published("dinov2_b_14", weights, 768, Mode::Trained(place))),
    ..S_14
};

const EPS: f64 = 1e-6;

/// Builds the network of the sizes of `weights`.
///
/// # Errors
/// If the weights are those of another network.
pub fn image(weights: &Weights, mode: Mode<'_>) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    network("dinov2", &canonical(weights)?, mode)
}

/// Builds the network `name` of so many features.
fn published(
    name: &'static str,
    weights: Option<&Weights>,
    dim: usize,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let weights = canonical(weights.ok_or(EncoderError::NeedsWeights(name))?)?;
    weights.check_shapes(&[
        ("embeddings.cls_token", &[1, 1, dim]),
        ("embeddings.patch_embeddings.projection.weight", &[dim, 3, 14, 14]),
    ])?;
    network(name, &weights, mode)
}

fn network(
    name: &'static str,
    weights: &Weights,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let sizes = Sizes::of(weights)?;
    build(name, Some(weights), mode, |source| Dino::new(source, sizes))
}

/// Names all tensors as the published files do, given the names of timm, of classifiers and of transformers 5.
fn canonical(weights: &Weights) -> Result<Weights> {
    Ok(naming::dinov2(weights)?.renamed(published_name))
}

/// Names a tensor so. The mask token is dropped, as only training uses it.
fn published_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("dinov2.").unwrap_or(name);
    let layers = [("q", "attention.query"), ("k", "attention.key"), ("v", "attention.value"), ("o", "output.dense")];
    let rename = |name: String, (new, old): &(&str, &str)| {
        name.replace(&format!(".attention.{new}_proj."), &format!(".attention.{old}."))
    };
    (name != "embeddings.mask_token").then(|| layers.iter().fold(name.to_owned(), rename))
}

#[derive(Clone, Copy)]
struct Sizes {
    dim: usize,
    hidden: usize,
    blocks: usize,
    /// Those of the patches and of the class token.
    positions: usize,
    patch: usize,
}

impl Sizes {
    fn of(weights: &Weights) -> Result<Self> {
        let size = |name: &str, axis: usize| weights.shape(name).get(axis).copied().unwrap_or_default();
        let hidden = |block: usize| size(&format!("encoder.layer.{block}.mlp.fc1.weight"), 0);
        let sizes = Self {
            dim: size("embeddings.cls_token", 2),
            hidden: hidden(0),
            blocks: (0..).take_while(|block| hidden(*block) > 0).count(),
            positions: size("embeddings.position_embeddings", 1),
            patch: size("embeddings.patch_embeddings.projection.weight", 2),
        };
        if !sizes.dim.is_multiple_of(HEAD) {
            bail!("{} features, which heads of {HEAD} do not divide", sizes.dim);
        }
        Ok(sizes)
    }
}

/// The layers.
struct Dino {
    patches: Patches,
    blocks: Vec<PreNormBlock>,
    norm: LayerNorm,
    dim: usize,
}

impl Dino {
    fn new(source: &Source<'_>, sizes: Sizes) -> std::result::Result<Self, WeightsError> {
        let Sizes { dim, blocks, positions, patch, .. } = sizes;
        let class = Some(source.var("embeddings.cls_token", &[1, 1, dim], Draw::Constant(0.0))?);
        let positions = source.var("embeddings.position_embeddings", &[1, positions, dim], Draw::Constant(0.0))?;
        let conv = source.conv(&Plan {
            name: "embeddings.patch_embeddings.projection",
            shape: [dim, 3, patch, patch],
            window: Window { stride: patch, padding: Padding::NONE },
            activation: Activation::None,
            init: Init::Normal(0.0),
        })?;
        Ok(Self {
            patches: Patches { conv, size: patch, class, positions, others: Others::Interpolated },
            blocks: (0..blocks).map(|index| block(source, index, sizes)).collect::<std::result::Result<_, _>>()?,
            norm: LayerNorm::new(source, "layernorm", dim, EPS)?,
            dim,
        })
    }
}

/// Makes a block, whose attention and dense layers end in a factor for each feature.
fn block(source: &Source<'_>, index: usize, sizes: Sizes) -> std::result::Result<PreNormBlock, WeightsError> {
    let Sizes { dim, hidden, .. } = sizes;
    let name = |part: &str| format!("encoder.layer.{index}.{part}");
    let norm = |part: &str| LayerNorm::new(source, &name(part), dim, EPS);
    let layer = |part: &str| Affine::new(source, &name(part), [dim, dim], STORED);
    let scaled = |part: &str, scale: &str, input: usize| {
        Affine::scaled(source, &name(part), &name(&format!("{scale}.lambda1")), [dim, input])
    };
    let first = norm("norm1")?;
    let inputs = ["query", "key", "value"].map(|input| layer(&format!("attention.attention.{input}")));
    let [q, k, v] = inputs;
    let attention = SelfAttention {
        inputs: Inputs::Three(Box::new([q?, k?, v?])),
        output: scaled("attention.output.dense", "layer_scale1", dim)?,
        heads: dim / HEAD,
        causal: false,
    };
    let second = norm("norm2")?;
    let widen = Affine::new(source, &name("mlp.fc1"), [hidden, dim], STORED)?;
    let mlp = Mlp { layers: [widen, scaled("mlp.fc2", "layer_scale2", hidden)?], activation: Gelu::Exact };
    Ok(PreNormBlock { norms: [first, second], attention, mlp })
}

impl Architecture for Dino {
    fn dim(&self) -> usize {
        self.dim
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let x = run_blocks(&self.blocks, &self.patches.forward(images, pass)?, pass)?;
        self.norm.forward(&x.narrow(1, 0, 1)?, pass)?.squeeze(1)
    }
}
