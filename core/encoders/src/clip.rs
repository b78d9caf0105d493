//! CLIP (Radford et al., ICML 2021): an image and a text transformer with a common space of features.
//!
//! The features of an image are its class token, those of a text its last token (the end of the text), each behind a
//! norm and a projection: `image_embeds` and `text_embeds` of transformers' `CLIPModel` before these are normalized.
//! Sizes are those of the weights file, which may hold both networks or one. Images have the size of the position
//! table, 224 pixels for the published files.
//!
//! OpenAI's networks approximate the activation (`quick_gelu`), as do those that open_clip trained on LAION-400M. Those
//! that it trained on LAION-2B have the same shapes and the exact function (`hidden_act` in the `config.json` of the
//! repositories). No weights file says which, so they are encoders of their own.

use candle_core::{Result, Tensor};
use hashlab_kernels::transformer::Gelu;

use crate::layers::{Affine, Pass};
use crate::network::Architecture;
use crate::patches::Patches;
use crate::source::Source;
use crate::text::TextArchitecture;
use crate::token_batch::TokenBatch;
use crate::tokenizer::TokenSource;
use crate::towers::{self, Built, Family, Sizes, TextTower, Towers};
use crate::transformer::{LayerNorm, PreNormBlock, run_blocks};
use crate::weights::Weights;
use crate::{EncoderError, Filter, ImageEntry, Mode, Pooling, Preprocess, TextEntry, TrainableEncoder};

/// The registration of ViT-B/32's image network.
pub const VIT_B_32: ImageEntry = ImageEntry {
    name: "clip_vit_b_32",
    doc: "CLIP ViT-B/32: 512 features, in one space with its text encoder's",
    needs_weights: true,
    dim: 512,
    image_size: 224,
    together: 8,
    only_size: Some(224),
    normed: false,
    normalize: NORMALIZE,
    preprocess: Preprocess { filter: Filter::Bicubic, crop: Some(1.0) },
    published: Some(crate::published::CLIP_VIT_B_32),
    open: |weights, _, place| Ok(published("clip_vit_b_32", OPENAI, weights, 32, Mode::Frozen(place))?),
    train: Some(|weights, _, _, place| published("clip_vit_b_32", OPENAI, weights, 32, Mode::Trained(place))),
    cut: None,
};

/// The registration of ViT-B/16's image network.
pub const VIT_B_16: ImageEntry = ImageEntry {
    name: "clip_vit_b_16",
    doc: "CLIP ViT-B/16: 512 features, in one space with its text encoder's",
    published: Some(crate::published::CLIP_VIT_B_16),
    open: |weights, _, place| Ok(published("clip_vit_b_16", OPENAI, weights, 16, Mode::Frozen(place))?),
    train: Some(|weights, _, _, place| published("clip_vit_b_16", OPENAI, weights, 16, Mode::Trained(place))),
    ..VIT_B_32
};

/// The registration of the image network of LAION's ViT-B/32, trained on LAION-2B.
pub const LAION_VIT_B_32: ImageEntry = ImageEntry {
    name: "laion_clip_vit_b_32",
    doc: "LAION's CLIP ViT-B/32: 512 features, in one space with its text encoder's",
    published: Some(crate::published::LAION_CLIP_VIT_B_32),
    open: |weights, _, place| Ok(published("laion_clip_vit_b_32", LAION, weights, 32, Mode::Frozen(place))?),
    train: Some(|weights, _, _, place| published("laion_clip_vit_b_32", LAION, weights, 32, Mode::Trained(place))),
    ..VIT_B_32
};

/// The registration of ViT-B/32's text network.
pub const TEXT_VIT_B_32: TextEntry = TextEntry {
    name: "clip_vit_b_32",
    doc: "the text encoder of CLIP ViT-B/32: 512 features, in one space with its image encoder's",
    needs_weights: true,
    dim: 512,
    tokens: TokenSource::File(&["tokenizer.json"]),
    max_tokens: 77,
    positions: 77,
    padding: None,
    poolings: &[Pooling::Last],
    published: Some(crate::published::TEXT_CLIP_VIT_B_32),
    open: |entry, weights, _, place| Ok(published_text(entry, OPENAI, weights, Mode::Frozen(place))?),
    train: Some(|entry, weights, _, place| published_text(entry, OPENAI, weights, Mode::Trained(place))),
};

/// The registration of ViT-B/16's text network.
pub const TEXT_VIT_B_16: TextEntry = TextEntry {
    name: "clip_vit_b_16",
    doc: "the text encoder of CLIP ViT-B/16: 512 features, in one space with its image encoder's",
    published: Some(crate::published::TEXT_CLIP_VIT_B_16),
    ..TEXT_VIT_B_32
};

/// The registration of the text network of LAION's ViT-B/32.
pub const TEXT_LAION_VIT_B_32: TextEntry = TextEntry {
    name: "laion_clip_vit_b_32",
    doc: "the text encoder of LAION's CLIP ViT-B/32: 512 features, in one space with its image encoder's",
    published: Some(crate::published::TEXT_LAION_CLIP_VIT_B_32),
    open: |entry, weights, _, place| Ok(published_text(entry, LAION, weights, Mode::Frozen(place))?),
    train: Some(|entry, weights, _, place| published_text(entry, LAION, weights, Mode::Trained(place))),
    ..TEXT_VIT_B_32
};

/// Mean and deviation of the images of CLIP's training.
pub const NORMALIZE: [[f32; 3]; 2] =
    [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]];

/// The activation of OpenAI's networks.
pub const OPENAI: Gelu = Gelu::Quick;
/// The activation of networks trained on LAION-2B.
pub const LAION: Gelu = Gelu::Exact;

/// Builds the image network of the sizes of `weights`, with [`OPENAI`]'s activation or [`LAION`]'s.
///
/// # Errors
/// If the weights are those of another network.
pub fn image(
    weights: &Weights,
    activation: Gelu,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    towers::image("clip", &Clip { activation }, weights, &[], mode)
}

/// Builds the text network of the sizes of `weights`, with [`OPENAI`]'s activation or [`LAION`]'s.
///
/// # Errors
/// If the weights are those of another network.
pub fn text(
    weights: &Weights,
    activation: Gelu,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    towers::text("clip", &Clip { activation }, weights, mode)
}

/// Builds the image network `name`, whose patches have this size.
fn published(
    name: &'static str,
    activation: Gelu,
    weights: Option<&Weights>,
    patch: usize,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let weights = weights.ok_or(EncoderError::NeedsWeights(name))?;
    let shapes: &[(&str, &[usize])] = &[
        ("vision_model.embeddings.patch_embedding.weight", &[768, 3, patch, patch]),
        ("visual_projection.weight", &[512, 768]),
    ];
    towers::image(name, &Clip { activation }, weights, shapes, mode)
}

/// Builds the text network of an entry.
fn published_text(
    entry: &TextEntry,
    activation: Gelu,
    weights: Option<&Weights>,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    towers::text(entry.name, &Clip { activation }, weights.ok_or(EncoderError::NeedsWeights(entry.name))?, mode)
}

/// Both networks.
struct Clip {
    activation: Gelu,
}

impl Clip {
    fn family(&self) -> Family {
        Family { activation: self.activation, eps: 1e-5 }
    }
}

impl Towers for Clip {
    type Image = Image;
    type Text = Text;
    const PROJECTIONS: [&str; 2] = ["visual_projection.weight", "text_projection.weight"];

    fn image(&self, source: &Source<'_>, sizes: Sizes) -> Built<Image> {
        Ok(Image {
            patches: sizes.patches(source, true)?,
            first: sizes.norm(source, "pre_layrnorm", self.family())?, // spelled so in every file
            blocks: sizes.blocks(source, self.family(), false)?,
            last: sizes.norm(source, "post_layernorm", self.family())?,
            projection: Affine::unbiased(source, "visual_projection", [sizes.out, sizes.width])?,
            dim: sizes.out,
        })
    }

    fn text(&self, source: &Source<'_>, sizes: Sizes) -> Built<Text> {
        let tower = TextTower::new(source, sizes, self.family(), true)?;
        Ok(Text { tower, projection: Affine::unbiased(source, "text_projection", [sizes.out, sizes.width])? })
    }
}

/// The layers of the image network.
struct Image {
    patches: Patches,
    first: LayerNorm,
    blocks: Vec<PreNormBlock>,
    last: LayerNorm,
    projection: Affine,
    dim: usize,
}

impl Architecture for Image {
    const NORMALIZE: [[f32; 3]; 2] = NORMALIZE;

    fn dim(&self) -> usize {
        self.dim
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let x = self.first.forward(&self.patches.forward(images, pass)?, pass)?;
        let x = run_blocks(&self.blocks, &x, pass)?;
        let class = x.narrow(1, 0, 1)?.squeeze(1)?;
        self.projection.forward(&self.last.forward(&class, pass)?, pass)
    }
}

/// The layers of the text network.
struct Text {
    tower: TextTower,
    projection: Affine,
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
        self.projection.forward(&self.tower.last(tokens, texts, pass)?, pass)
    }
}
