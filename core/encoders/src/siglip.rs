//! SigLIP (Zhai et al., ICCV 2023): an image and a text transformer with a common space of features.
//!
//! The features of an image are the output of an attention head with a learned query over its patches; those of a text,
//! padded to the length of the position table (64 tokens for the published files), its last token after a dense layer:
//! both `pooler_output` of transformers' `SiglipModel` before these are normalized. Sizes are those of the weights
//! file, which may hold both networks or one. Images have the size of the position table.

use candle_core::{Result, Tensor, Var};
use hashlab_kernels::transformer::Gelu;

use crate::layers::{Affine, Pass};
use crate::network::Architecture;
use crate::patches::Patches;
use crate::source::{AffinePlan, Draw, Source};
use crate::text::TextArchitecture;
use crate::token_batch::TokenBatch;
use crate::tokenizer::TokenSource;
use crate::towers::{self, Built, Family, HEAD, Sizes, TextTower, Towers};
use crate::transformer::{LayerNorm, Mlp, PreNormBlock, STORED, run_blocks};
use crate::weights::Weights;
use crate::{EncoderError, Filter, ImageEntry, Mode, Pooling, Preprocess, TextEntry, TrainableEncoder};

/// The registration of the base size's image network.
pub const BASE_16: ImageEntry = ImageEntry {
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
    published: Some(crate::published::SIGLIP_BASE_16),
    open: |weights, _, place| Ok(published("siglip_base_16", weights, Mode::Frozen(place))?),
    train: Some(|weights, _, _, place| published("siglip_base_16", weights, Mode::Trained(place))),
    cut: None,
};

/// The registration of the base size's text network.
pub const TEXT_BASE_16: TextEntry = TextEntry {
    name: "siglip_base_16",
    doc: "the text encoder of SigLIP base: 768 features, in one space with its image encoder's",
    needs_weights: true,
    dim: 768,
    tokens: TokenSource::File(&["tokenizer.json"]),
    max_tokens: 64,
    positions: 64,
    padding: Some(1),
    poolings: &[Pooling::Last],
    published: Some(crate::published::TEXT_SIGLIP_BASE_16),
    open: |entry, weights, _, place| Ok(published_text(entry, weights, Mode::Frozen(place))?),
    train: Some(|entry, weights, _, place| published_text(entry, weights, Mode::Trained(place))),
};

/// Normalization of colors to -1 … 1.
pub const NORMALIZE: [[f32; 3]; 2] = [[0.5; 3]; 2];

const FAMILY: Family = Family { activation: Gelu::Tanh, eps: 1e-6 };

/// Builds the image network of the sizes of `weights`.
///
/// # Errors
/// If the weights are those of another network.
pub fn image(weights: &Weights, mode: Mode<'_>) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    towers::image("siglip", &Siglip, weights, &[], mode)
}

/// Builds the text network of the sizes of `weights`.
///
/// # Errors
/// If the weights are those of another network.
pub fn text(weights: &Weights, mode: Mode<'_>) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    towers::text("siglip", &Siglip, weights, mode)
}

/// Builds the image network of the base size.
fn published(
    name: &'static str,
    weights: Option<&Weights>,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let weights = weights.ok_or(EncoderError::NeedsWeights(name))?;
    let shapes: &[(&str, &[usize])] = &[
        ("vision_model.embeddings.patch_embedding.weight", &[768, 3, 16, 16]),
        ("vision_model.embeddings.position_embedding.weight", &[196, 768]),
    ];
    towers::image(name, &Siglip, weights, shapes, mode)
}

fn published_text(
    entry: &TextEntry,
    weights: Option<&Weights>,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    towers::text(entry.name, &Siglip, weights.ok_or(EncoderError::NeedsWeights(entry.name))?, mode)
}

struct Siglip;

impl Towers for Siglip {
    type Image = Image;
    type Text = Text;
    /// The features of an image come from a head instead.
    const PROJECTIONS: [&str; 2] = ["", "text_model.head.weight"];

    fn image(&self, source: &Source<'_>, sizes: Sizes) -> Built<Image> {
        Ok(Image {
            patches: sizes.patches(source, false)?,
            blocks: sizes.blocks(source, FAMILY, false)?,
            norm: sizes.norm(source, "post_layernorm", FAMILY)?,
            head: Head::new(source, sizes)?,
            dim: sizes.width,
        })
    }

    fn text(&self, source: &Source<'_>, sizes: Sizes) -> Built<Text> {
        let tower = TextTower::new(source, sizes, FAMILY, false)?;
        Ok(Text { tower, head: Affine::new(source, "text_model.head", [sizes.out, sizes.width], STORED)? })
    }
}

/// The layers of the image network.
struct Image {
    patches: Patches,
    blocks: Vec<PreNormBlock>,
    norm: LayerNorm,
    head: Head,
    dim: usize,
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

/// Attention of one learned query to all patches, and dense layers: transformers'
/// `SiglipMultiheadAttentionPoolingHead`.
struct Head {
    probe: Var,
    /// Queries, keys and values, whose columns lie side by side.
    inputs: Affine,
    output: Affine,
    norm: LayerNorm,
    mlp: Mlp,
}

impl Head {
    fn new(source: &Source<'_>, sizes: Sizes) -> Built<Self> {
        let [weight, bias] = ["weight", "bias"].map(|part| sizes.name(&format!("head.attention.in_proj_{part}")));
        let inputs = AffinePlan {
            weight: &weight,
            bias: Some(&bias),
            scale: None,
            shape: [3 * sizes.width, sizes.width],
            draws: STORED,
        };
        Ok(Self {
            probe: source.var(&sizes.name("head.probe"), &[1, 1, sizes.width], Draw::Constant(0.0))?,
            inputs: source.affine(&inputs)?,
            output: Affine::new(source, &sizes.name("head.attention.out_proj"), [sizes.width; 2], STORED)?,
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
}

impl TextArchitecture for Text {
    fn dim(&self) -> usize {
        self.tower.sizes.out
    }

    fn max_tokens(&self) -> usize {
        self.tower.sizes.positions
    }

    fn words(&self) -> usize {
        self.tower.sizes.words
    }

    fn run(&self, tokens: &Tensor, texts: &TokenBatch, pass: &mut Pass<'_>) -> Result<Tensor> {
        self.head.forward(&self.tower.last(tokens, texts, pass)?, pass)
    }
}
