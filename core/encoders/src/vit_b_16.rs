//! ViT-B/16 (Dosovitskiy et al., ICLR 2021): a transformer over patches of 16 by 16 pixels.
//!
//! The features are the class token after the last norm, 768 numbers: torchvision's network without `heads`. There is a
//! position for each patch of an image of 224 pixels, so images have that size.

use candle_core::{Result, Tensor};
use hashlab_kernels::conv::{Activation, Padding, Window};

use crate::layers::Pass;
use crate::network::{Architecture, frozen, trainable};
use crate::patches::{Others, Patches};
use crate::source::{Draw, Init, Plan, Source};
use crate::transformer::{LayerNorm, Mlp, PreNormBlock, SelfAttention, run_blocks};
use crate::weights::{IMAGENET, WeightsError};
use crate::{ImageEntry, Preprocess};

/// The network's registration.
pub const ENTRY: ImageEntry = ImageEntry {
    name: "vit_b_16",
    doc: "ViT-B/16: the 768 features of the class token",
    needs_weights: true,
    dim: DIM,
    image_size: SIZE,
    together: 8,
    only_size: Some(SIZE),
    normed: false,
    normalize: IMAGENET,
    preprocess: Preprocess::SQUEEZED,
    published: None,
    open: |weights, _, place| frozen("vit_b_16", (weights, place), Vit::new),
    train: Some(|weights, seed, norm, place| trainable("vit_b_16", (weights, seed, norm, place), Vit::new)),
    cut: None,
};

const SIZE: usize = 224;
const PATCH: usize = 16;
const DIM: usize = 768;
const HIDDEN: usize = 3072;
const HEADS: usize = 12;
const BLOCKS: usize = 12;
const EPS: f64 = 1e-6;

/// The layers.
struct Vit {
    patches: Patches,
    blocks: Vec<PreNormBlock>,
    norm: LayerNorm,
}

impl Vit {
    fn new(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        let tokens = 1 + (SIZE / PATCH).pow(2);
        let class = Some(source.var("class_token", &[1, 1, DIM], Draw::Constant(0.0))?);
        let conv = source.conv(&Plan {
            name: "conv_proj",
            shape: [DIM, 3, PATCH, PATCH],
            window: Window { stride: PATCH, padding: Padding::NONE },
            activation: Activation::None,
            init: Init::Normal(((3 * PATCH * PATCH) as f64).sqrt().recip()),
        })?;
        let positions = source.var("encoder.pos_embedding", &[1, tokens, DIM], Draw::Normal(0.02))?;
        Ok(Self {
            patches: Patches { conv, size: PATCH, class, positions, others: Others::Refused },
            blocks: (0..BLOCKS).map(|index| block(source, index)).collect::<std::result::Result<_, _>>()?,
            norm: LayerNorm::new(source, "encoder.ln", DIM, EPS)?,
        })
    }
}

impl Architecture for Vit {
    fn dim(&self) -> usize {
        DIM
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let x = run_blocks(&self.blocks, &self.patches.forward(images, pass)?, pass)?;
        self.norm.forward(&x.narrow(1, 0, 1)?, pass)?.squeeze(1)
    }
}

fn block(source: &Source<'_>, index: usize) -> std::result::Result<PreNormBlock, WeightsError> {
    let name = |part: &str| format!("encoder.layers.encoder_layer_{index}.{part}");
    let first = LayerNorm::new(source, &name("ln_1"), DIM, EPS)?;
    let attention = SelfAttention::new(source, &name("self_attention"), DIM, HEADS)?;
    let second = LayerNorm::new(source, &name("ln_2"), DIM, EPS)?;
    let draws = [Draw::Uniform((6.0 / (DIM + HIDDEN) as f64).sqrt()), Draw::Normal(1e-6)]; // torchvision's
    let mlp = Mlp::new(source, [name("mlp.0"), name("mlp.3")], [DIM, HIDDEN], draws)?;
    Ok(PreNormBlock { norms: [first, second], attention, mlp })
}
