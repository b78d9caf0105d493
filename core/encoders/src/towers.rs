//! Common parts of CLIP's and SigLIP's networks: the layers of transformers' `CLIPEncoder`, and their names.

use candle_core::{Result, Tensor, Var, bail};
use hashlab_kernels::conv::{Activation, Padding, Window};
use hashlab_kernels::select_rows;
use hashlab_kernels::transformer::Gelu;

use crate::layers::{Affine, Pass};
use crate::naming;
use crate::network::{Architecture, build};
use crate::patches::{Others, Patches};
use crate::source::{Draw, Init, Plan, Source};
use crate::text::{TextArchitecture, build_text};
use crate::token_batch::TokenBatch;
use crate::transformer::{Inputs, LayerNorm, Mlp, PreNormBlock, STORED, SelfAttention};
use crate::weights::{Weights, WeightsError};
use crate::{EncoderError, Mode, TrainableEncoder};

pub(crate) type Built<T> = std::result::Result<T, WeightsError>;

/// An image and a text network, whose weights are in one file or in two.
pub(crate) trait Towers {
    /// The image network.
    type Image: Architecture;
    /// The text network.
    type Text: TextArchitecture;
    /// The matrices whose rows are the features of an image and of a text.
    const PROJECTIONS: [&str; 2];

    /// Makes the image network.
    fn image(&self, source: &Source<'_>, sizes: Sizes) -> Built<Self::Image>;

    /// Makes the text network.
    fn text(&self, source: &Source<'_>, sizes: Sizes) -> Built<Self::Text>;
}

/// Builds the image network of the sizes of `weights`, in which some tensors have given shapes.
pub(crate) fn image<T: Towers>(
    name: &'static str,
    towers: &T,
    weights: &Weights,
    shapes: &[(&str, &[usize])],
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let weights = naming::towers(weights)?.renamed(|name| without(name, &["text_", "logit_"]));
    weights.check_shapes(shapes)?;
    let sizes = Sizes::of(&weights, "vision_model", T::PROJECTIONS[0])?;
    build(name, Some(&weights), mode, |source| towers.image(source, sizes))
}

/// Builds the text network of the sizes of `weights`.
pub(crate) fn text<T: Towers>(
    name: &'static str,
    towers: &T,
    weights: &Weights,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let weights = naming::towers(weights)?.renamed(|name| without(name, &["vision_", "visual_", "logit_"]));
    let sizes = Sizes::of(&weights, "text_model", T::PROJECTIONS[1])?;
    build_text(name, &weights, mode, |source| towers.text(source, sizes))
}

/// Drops the names of the other network's tensors, by their beginning. Unknown names are kept, so that they are
/// reported.
fn without(name: &str, others: &[&str]) -> Option<String> {
    (!others.iter().any(|start| name.starts_with(start))).then(|| name.to_owned())
}

/// Features of an attention head.
pub(crate) const HEAD: usize = 64;

/// Hyperparameters of a network family that its weights do not determine.
#[derive(Clone, Copy)]
pub(crate) struct Family {
    /// The activation of dense layers.
    pub(crate) activation: Gelu,
    /// ε of the norms.
    pub(crate) eps: f64,
}

/// The sizes of a network of images or of texts.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// `vision_model` or `text_model`.
    pub(crate) prefix: &'static str,
    /// Features of a token.
    pub(crate) width: usize,
    pub(crate) hidden: usize,
    pub(crate) blocks: usize,
    /// Rows of the table of positions.
    pub(crate) positions: usize,
    /// The side length of a patch; of texts 0.
    pub(crate) patch: usize,
    /// The size of the vocabulary; of images 0.
    pub(crate) words: usize,
    /// Features behind the projection; 0 where there is none.
    pub(crate) out: usize,
}

impl Sizes {
    /// Reads the sizes off the shapes of a file.
    fn of(weights: &Weights, prefix: &'static str, projection: &str) -> Result<Self> {
        let size =
            |name: &str, axis: usize| weights.shape(&format!("{prefix}.{name}")).get(axis).copied().unwrap_or_default();
        let hidden = |block: usize| size(&format!("encoder.layers.{block}.mlp.fc1.weight"), 0);
        let sizes = Self {
            prefix,
            width: size("embeddings.position_embedding.weight", 1),
            hidden: hidden(0),
            blocks: (0..).take_while(|block| hidden(*block) > 0).count(),
            positions: size("embeddings.position_embedding.weight", 0),
            patch: size("embeddings.patch_embedding.weight", 2),
            words: size("embeddings.token_embedding.weight", 0),
            out: weights.shape(projection).first().copied().unwrap_or_default(),
        };
        if !sizes.width.is_multiple_of(HEAD) {
            bail!("{prefix} has {} features, which heads of {HEAD} do not divide", sizes.width);
        }
        Ok(sizes)
    }

    /// Names a tensor.
    pub(crate) fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }

    pub(crate) fn norm(&self, source: &Source<'_>, part: &str, family: Family) -> Built<LayerNorm> {
        LayerNorm::new(source, &self.name(part), self.width, family.eps)
    }

    pub(crate) fn mlp(&self, source: &Source<'_>, part: &str, family: Family) -> Built<Mlp> {
        let names = ["fc1", "fc2"].map(|layer| self.name(&format!("{part}.{layer}")));
        Ok(Mlp { activation: family.activation, ..Mlp::new(source, names, [self.width, self.hidden], STORED)? })
    }

    /// Makes all blocks.
    pub(crate) fn blocks(&self, source: &Source<'_>, family: Family, causal: bool) -> Built<Vec<PreNormBlock>> {
        (0..self.blocks).map(|index| self.block(source, index, family, causal)).collect()
    }

    fn block(&self, source: &Source<'_>, index: usize, family: Family, causal: bool) -> Built<PreNormBlock> {
        let part = |part: &str| format!("encoder.layers.{index}.{part}");
        let layer =
            |name: &str| Affine::new(source, &self.name(&part(&format!("self_attn.{name}"))), [self.width; 2], STORED);
        let inputs = Inputs::Three(Box::new([layer("q_proj")?, layer("k_proj")?, layer("v_proj")?]));
        let attention = SelfAttention { inputs, output: layer("out_proj")?, heads: self.width / HEAD, causal };
        let norms =
            [self.norm(source, &part("layer_norm1"), family)?, self.norm(source, &part("layer_norm2"), family)?];
        Ok(PreNormBlock { norms, attention, mlp: self.mlp(source, &part("mlp"), family)? })
    }

    /// Makes the layer that maps images to tokens, with a class token or without.
    pub(crate) fn patches(&self, source: &Source<'_>, class: bool) -> Built<Patches> {
        let var = |name: &str, shape: &[usize]| source.var(&self.name(name), shape, Draw::Constant(0.0));
        let class = class.then(|| var("embeddings.class_embedding", &[self.width])).transpose()?;
        let name = self.name("embeddings.patch_embedding");
        let plan = Plan {
            name: &name,
            shape: [self.width, 3, self.patch, self.patch],
            window: Window { stride: self.patch, padding: Padding::NONE },
            activation: Activation::None,
            init: Init::Normal(0.0),
        };
        // CLIP's patches have a class token and no bias, SigLIP's a bias and no class token.
        let conv = if class.is_some() { source.bare_conv(&plan)? } else { source.conv(&plan)? };
        let positions = var("embeddings.position_embedding.weight", &[self.positions, self.width])?;
        Ok(Patches { conv, size: self.patch, class, positions, others: Others::Refused })
    }
}

/// The text network of either family, up to the norm after the last block.
pub(crate) struct TextTower {
    pub(crate) sizes: Sizes,
    words: Var,
    positions: Var,
    blocks: Vec<PreNormBlock>,
    norm: LayerNorm,
}

impl TextTower {
    pub(crate) fn new(source: &Source<'_>, sizes: Sizes, family: Family, causal: bool) -> Built<Self> {
        let table = |name: &str, len: usize| {
            let name = sizes.name(&format!("embeddings.{name}_embedding.weight"));
            source.var(&name, &[len, sizes.width], Draw::Constant(0.0))
        };
        Ok(Self {
            words: table("token", sizes.words)?,
            positions: table("position", sizes.positions)?,
            blocks: sizes.blocks(source, family, causal)?,
            norm: sizes.norm(source, "final_layer_norm", family)?,
            sizes,
        })
    }

    /// Maps texts to the outputs of their last tokens, `(n, dim)`.
    pub(crate) fn last(&self, tokens: &Tensor, texts: &TokenBatch, pass: &Pass<'_>) -> Result<Tensor> {
        let words = select_rows(&pass.value(&self.words), tokens)?;
        let positions = select_rows(&pass.value(&self.positions), &texts.positions(tokens.device())?)?;
        let mut x = (words + positions)?;
        for block in &self.blocks {
            x = block.forward(&x, &texts.lengths, pass)?;
        }
        self.norm.forward(&x.index_select(&texts.last(tokens.device())?, 0)?, pass)
    }
}
