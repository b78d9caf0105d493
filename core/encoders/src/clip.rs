//! CLIP (Radford et al., ICML 2021): an image and a text transformer with a common space of features.
//!
//! The features of an image are its class token, those of a text its last token (the end of the text), each behind a
//! norm and a projection: `image_embeds` and `text_embeds` of transformers' `CLIPModel` before these are normalized.
//! Sizes are those of the weights file, which may hold both networks or one. Images have the size of the position table,
//! 224 pixels for the published files.

use candle_core::{Device, Result, Tensor};
use hashlab_kernels::transformer::Gelu;

use crate::layers::Pass;
use crate::network::{Architecture, frozen, trainable};
use crate::patches::Patches;
use crate::source::Source;
use crate::text::{TextArchitecture, TextEncoder, TrainableText, frozen_text, trainable_text};
use crate::texts::Texts;
use crate::towers::{Family, Sizes, TextTower};
use crate::transformer::{Affine, LayerNorm, PreNormBlock, run_blocks};
use crate::weights::{Weights, WeightsError};
use crate::{Backbone, BackboneError, Entry, Filter, Norm, Place, Preprocess, Trainable};

/// The registration of ViT-B/32's image network.
pub const VIT_B_32: Entry = Entry {
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
    open: |weights, _, place| open("clip_vit_b_32", &published("clip_vit_b_32", weights, 32)?, place),
    train: Some(|weights, _, _, device| train("clip_vit_b_32", &published("clip_vit_b_32", weights, 32)?, device)),
    cut: None,
};

/// The registration of ViT-B/16's image network.
pub const VIT_B_16: Entry = Entry {
    name: "clip_vit_b_16",
    doc: "CLIP ViT-B/16: 512 features, in one space with its text encoder's",
    open: |weights, _, place| open("clip_vit_b_16", &published("clip_vit_b_16", weights, 16)?, place),
    train: Some(|weights, _, _, device| train("clip_vit_b_16", &published("clip_vit_b_16", weights, 16)?, device)),
    ..VIT_B_32
};

/// Mean and deviation of the images of CLIP's training.
pub const NORMALIZE: [[f32; 3]; 2] =
    [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]];

const FAMILY: Family = Family { activation: Gelu::Quick, eps: 1e-5 };

/// Builds the frozen image network of the sizes of `weights`.
///
/// # Errors
/// If the weights are those of another network.
pub fn image(weights: &Weights, place: Place<'_>) -> std::result::Result<Box<dyn Backbone>, BackboneError> {
    open("clip", &weights.renamed(of_images), place)
}

/// Builds the same to be trained.
///
/// # Errors
/// As [`image`].
pub fn train_image(weights: &Weights, device: &Device) -> std::result::Result<Box<dyn Trainable>, BackboneError> {
    train("clip", &weights.renamed(of_images), device)
}

/// Builds the frozen text network of the sizes of `weights`.
///
/// # Errors
/// If the weights are those of another network.
pub fn text(weights: &Weights, place: Place<'_>) -> std::result::Result<Box<dyn TextEncoder>, BackboneError> {
    open_text("clip", weights, place)
}

/// Builds the same to be trained.
///
/// # Errors
/// As [`text`].
pub fn train_text(weights: &Weights, device: &Device) -> std::result::Result<Box<dyn TrainableText>, BackboneError> {
    open_trainable_text("clip", weights, device)
}

/// Returns the image network's part of a file for `name`, whose patches have this size.
fn published(
    name: &'static str,
    weights: Option<&Weights>,
    patch: usize,
) -> std::result::Result<Weights, BackboneError> {
    let weights = weights.ok_or(BackboneError::NeedsWeights(name))?.renamed(of_images);
    weights.check_shapes(&[
        ("vision_model.embeddings.patch_embedding.weight", &[768, 3, patch, patch]),
        ("visual_projection.weight", &[512, 768]),
    ])?;
    Ok(weights)
}

fn open(
    name: &'static str,
    weights: &Weights,
    place: Place<'_>,
) -> std::result::Result<Box<dyn Backbone>, BackboneError> {
    let (sizes, out) = (Sizes::of(weights, "vision_model")?, rows(weights, "visual_projection.weight"));
    frozen(name, (Some(weights), place), |source| Image::new(source, sizes, out))
}

fn train(
    name: &'static str,
    weights: &Weights,
    device: &Device,
) -> std::result::Result<Box<dyn Trainable>, BackboneError> {
    let (sizes, out) = (Sizes::of(weights, "vision_model")?, rows(weights, "visual_projection.weight"));
    trainable(name, (Some(weights), 0, Norm::Frozen, device.into()), |source| Image::new(source, sizes, out))
}

pub(crate) fn open_text(
    name: &'static str,
    weights: &Weights,
    place: Place<'_>,
) -> std::result::Result<Box<dyn TextEncoder>, BackboneError> {
    let weights = weights.renamed(of_texts);
    let (sizes, out) = (Sizes::of(&weights, "text_model")?, rows(&weights, "text_projection.weight"));
    frozen_text(name, (&weights, place), |source| Text::new(source, sizes, out))
}

pub(crate) fn open_trainable_text(
    name: &'static str,
    weights: &Weights,
    device: &Device,
) -> std::result::Result<Box<dyn TrainableText>, BackboneError> {
    let weights = weights.renamed(of_texts);
    let (sizes, out) = (Sizes::of(&weights, "text_model")?, rows(&weights, "text_projection.weight"));
    trainable_text(name, (&weights, device.into()), |source| Text::new(source, sizes, out))
}

/// How many rows a matrix has; 0 without the matrix.
pub(crate) fn rows(weights: &Weights, name: &str) -> usize {
    weights.shape(name).first().copied().unwrap_or_default()
}

/// Keeps the names of the image network and unknown ones, which are mistakes.
pub(crate) fn of_images(name: &str) -> Option<String> {
    let other = ["text_", "logit_"].iter().any(|start| name.starts_with(start));
    (!other).then(|| name.to_owned())
}

/// Keeps the names of the text network and unknown ones.
pub(crate) fn of_texts(name: &str) -> Option<String> {
    let other = ["vision_", "visual_", "logit_"].iter().any(|start| name.starts_with(start));
    (!other).then(|| name.to_owned())
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

impl Image {
    fn new(source: &Source<'_>, sizes: Sizes, out: usize) -> std::result::Result<Self, WeightsError> {
        Ok(Self {
            patches: sizes.patches(source, true)?,
            first: sizes.norm(source, "pre_layrnorm", FAMILY)?, // as it is spelt in every file
            blocks: sizes.blocks(source, FAMILY, false)?,
            last: sizes.norm(source, "post_layernorm", FAMILY)?,
            projection: Affine::unbiased(source, "visual_projection", [out, sizes.dim])?,
            dim: out,
        })
    }
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
    dim: usize,
}

impl Text {
    fn new(source: &Source<'_>, sizes: Sizes, out: usize) -> std::result::Result<Self, WeightsError> {
        let tower = TextTower::new(source, sizes, FAMILY, true)?;
        Ok(Self { tower, projection: Affine::unbiased(source, "text_projection", [out, sizes.dim])?, dim: out })
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
        self.projection.forward(&self.tower.last(tokens, texts, pass)?, pass)
    }
}
