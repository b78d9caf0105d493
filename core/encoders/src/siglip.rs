//! SigLIP (Zhai et al., ICCV 2023): an image and a text transformer with a common space of features.
//!
//! The features of an image are what a learned query finds among its patches; those of a text, padded to the length of
//! the position table (64 tokens for the published files), its last token behind a dense layer: both `pooler_output` of
//! transformers' `SiglipModel` before these are normalized. Sizes are those of the weights file, which may hold both
//! networks or one. Images have the size of the position table.

use candle_core::{Device, Result, Tensor, Var};
use hashlab_kernels::transformer::Gelu;

use crate::clip::{of_images, of_texts, rows};
use crate::layers::Pass;
use crate::network::{Architecture, frozen, trainable};
use crate::patches::Patches;
use crate::source::{AffinePlan, Draw, Source};
use crate::text::{TextArchitecture, TextEncoder, TrainableText, frozen_text, trainable_text};
use crate::texts::Texts;
use crate::towers::{Family, HEAD, Sizes, TextTower};
use crate::transformer::{Affine, LayerNorm, Mlp, PreNormBlock, STORED, run_blocks};
use crate::weights::{Weights, WeightsError};
use crate::{Backbone, BackboneError, Entry, Filter, Norm, Place, Preprocess, Trainable};

/// The registration of the base size's image network.
pub const BASE_16: Entry = Entry {
    name: "siglip_base_16",
    doc: "SigLIP base, patches of 16 pixels: 768 features, in one space with its text encoder's",
    needs_weights: true,
    dim: 768,
    image_size: 224,
    together: 8,
    only_size: Some(224),
    normed: false,
    normalize: NORMALIZE,
    preprocess: Preprocess { filter: Filter::Bicubic, crop: None },
    open: |weights, _, place| open("siglip_base_16", &published("siglip_base_16", weights)?, place),
    train: Some(|weights, _, _, device| train("siglip_base_16", &published("siglip_base_16", weights)?, device)),
    cut: None,
};

/// Maps colors to -1 … 1.
pub const NORMALIZE: [[f32; 3]; 2] = [[0.5; 3]; 2];

const FAMILY: Family = Family { activation: Gelu::Tanh, eps: 1e-6 };

/// Builds the frozen image network of the sizes of `weights`.
///
/// # Errors
/// If the weights are those of another network.
pub fn image(weights: &Weights, place: Place<'_>) -> std::result::Result<Box<dyn Backbone>, BackboneError> {
    open("siglip", &weights.renamed(of_images), place)
}

/// Builds the same to be trained.
///
/// # Errors
/// As [`image`].
pub fn train_image(weights: &Weights, device: &Device) -> std::result::Result<Box<dyn Trainable>, BackboneError> {
    train("siglip", &weights.renamed(of_images), device)
}

/// Builds the frozen text network of the sizes of `weights`.
///
/// # Errors
/// If the weights are those of another network.
pub fn text(weights: &Weights, place: Place<'_>) -> std::result::Result<Box<dyn TextEncoder>, BackboneError> {
    open_text("siglip", weights, place)
}

/// Builds the same to be trained.
///
/// # Errors
/// As [`text`].
pub fn train_text(weights: &Weights, device: &Device) -> std::result::Result<Box<dyn TrainableText>, BackboneError> {
    open_trainable_text("siglip", weights, device)
}

/// Returns the image network's part of a file of the base size.
fn published(name: &'static str, weights: Option<&Weights>) -> std::result::Result<Weights, BackboneError> {
    let weights = weights.ok_or(BackboneError::NeedsWeights(name))?.renamed(of_images);
    weights.check_shapes(&[
        ("vision_model.embeddings.patch_embedding.weight", &[768, 3, 16, 16]),
        ("vision_model.embeddings.position_embedding.weight", &[196, 768]),
    ])?;
    Ok(weights)
}

fn open(
    name: &'static str,
    weights: &Weights,
    place: Place<'_>,
) -> std::result::Result<Box<dyn Backbone>, BackboneError> {
    let sizes = Sizes::of(weights, "vision_model")?;
    frozen(name, (Some(weights), place), |source| Image::new(source, sizes))
}

fn train(
    name: &'static str,
    weights: &Weights,
    device: &Device,
) -> std::result::Result<Box<dyn Trainable>, BackboneError> {
    let sizes = Sizes::of(weights, "vision_model")?;
    trainable(name, (Some(weights), 0, Norm::Frozen, device.into()), |source| Image::new(source, sizes))
}

pub(crate) fn open_text(
    name: &'static str,
    weights: &Weights,
    place: Place<'_>,
) -> std::result::Result<Box<dyn TextEncoder>, BackboneError> {
    let weights = weights.renamed(of_texts);
    let (sizes, out) = (Sizes::of(&weights, "text_model")?, rows(&weights, "text_model.head.weight"));
    frozen_text(name, (&weights, place), |source| Text::new(source, sizes, out))
}

pub(crate) fn open_trainable_text(
    name: &'static str,
    weights: &Weights,
    device: &Device,
) -> std::result::Result<Box<dyn TrainableText>, BackboneError> {
    let weights = weights.renamed(of_texts);
    let (sizes, out) = (Sizes::of(&weights, "text_model")?, rows(&weights, "text_model.head.weight"));
    trainable_text(name, (&weights, device.into()), |source| Text::new(source, sizes, out))
}

/// The layers of the image network.
struct Image {
    patches: Patches,
    blocks: Vec<PreNormBlock>,
    norm: LayerNorm,
    head: Head,
    dim: usize,
}

impl Image {
    fn new(source: &Source<'_>, sizes: Sizes) -> std::result::Result<Self, WeightsError> {
        Ok(Self {
            patches: sizes.patches(source, false)?,
            blocks: sizes.blocks(source, FAMILY, false)?,
            norm: sizes.norm(source, "post_layernorm", FAMILY)?,
            head: Head::new(source, sizes)?,
            dim: sizes.dim,
        })
    }
}

impl Architecture for Image {
    const NORMALIZE: [[f32; 3]; 2] = NORMALIZE;

    fn dim(&self) -> usize {
        self.dim
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let x = run_blocks(&self.blocks, &self.patches.forward(images, pass)?, pass)?;
        self.head.forward(&self.norm.forward(&x, pass)?, pass)
    }
}

/// Attention of one learned query to all patches, and dense layers: transformers' `SiglipMultiheadAttentionPoolingHead`.
struct Head {
    probe: Var,
    /// Queries, keys and values, whose columns lie side by side.
    inputs: Affine,
    output: Affine,
    norm: LayerNorm,
    mlp: Mlp,
}

impl Head {
    fn new(source: &Source<'_>, sizes: Sizes) -> std::result::Result<Self, WeightsError> {
        let [weight, bias] = ["weight", "bias"].map(|part| sizes.name(&format!("head.attention.in_proj_{part}")));
        let inputs = AffinePlan {
            weight: &weight,
            bias: Some(&bias),
            scale: None,
            shape: [3 * sizes.dim, sizes.dim],
            draws: STORED,
        };
        Ok(Self {
            probe: source.var(&sizes.name("head.probe"), &[1, 1, sizes.dim], Draw::Constant(0.0))?,
            inputs: source.affine(&inputs)?,
            output: Affine::new(source, &sizes.name("head.attention.out_proj"), [sizes.dim; 2], STORED)?,
            norm: sizes.norm(source, "head.layernorm", FAMILY)?,
            mlp: sizes.mlp(source, "head.mlp", FAMILY)?,
        })
    }

    /// Maps `(n, patches, dim)` to `(n, dim)`.
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (n, patches, dim) = x.dims3()?;
        let heads = |x: &Tensor, start: usize| x.narrow(1, start, dim)?.reshape(((), dim / HEAD, HEAD));
        let query = heads(&self.inputs.forward(&pass.value(&self.probe).reshape((1, dim))?, pass)?, 0)?;
        let inputs = self.inputs.forward(&x.flatten(0, 1)?, pass)?;
        let keys = heads(&inputs, dim)?;
        let scores = (keys.broadcast_mul(&query)?.sum(2)? * (HEAD as f64).sqrt().recip())?;
        let shares = softmax(&scores.reshape((n, patches, dim / HEAD))?)?;
        let values = heads(&inputs, 2 * dim)?.reshape((n, patches, dim / HEAD, HEAD))?;
        let found = values.broadcast_mul(&shares.unsqueeze(3)?)?.sum(1)?.reshape((n, dim))?;
        let x = self.output.forward(&found, pass)?;
        self.mlp.forward_add(&self.norm.forward(&x, pass)?, &x, pass)
    }
}

/// The softmax over the second of three axes.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.max_keepdim(1)?.detach())?.exp()?;
    e.broadcast_div(&e.sum_keepdim(1)?)
}

/// The layers of the text network.
struct Text {
    tower: TextTower,
    head: Affine,
    dim: usize,
}

impl Text {
    fn new(source: &Source<'_>, sizes: Sizes, out: usize) -> std::result::Result<Self, WeightsError> {
        let tower = TextTower::new(source, sizes, FAMILY, false)?;
        Ok(Self { tower, head: Affine::new(source, "text_model.head", [out, sizes.dim], STORED)?, dim: out })
    }
}

impl TextArchitecture for Text {
    fn dim(&self) -> usize {
        self.dim
    }

    fn max_tokens(&self) -> usize {
        self.tower.sizes.positions
    }

    fn words(&self) -> usize {
        self.tower.sizes.words
    }

    fn run(&self, tokens: &Tensor, texts: &Texts, pass: &mut Pass<'_>) -> Result<Tensor> {
        self.head.forward(&self.tower.last(tokens, texts, pass)?, pass)
    }
}
