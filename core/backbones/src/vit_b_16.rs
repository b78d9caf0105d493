//! ViT-B/16 (Dosovitskiy et al., ICLR 2021): a transformer over patches of 16 by 16 pixels.
//!
//! The features are the class token behind the last norm, 768 numbers: torchvision's network without `heads`. There is a
//! position for each patch of an image of 224 pixels, so images have that size.

use candle_core::{Result, Tensor, Var, bail};
use hashlab_kernels::conv::{Activation, Padding, Window};

use crate::Entry;
use crate::layers::{Conv, Pass};
use crate::network::{Architecture, frozen, trainable};
use crate::source::{Draw, Init, Plan, Source};
use crate::transformer::{LayerNorm, Mlp, SelfAttention};
use crate::weights::WeightsError;

/// The network's registration.
pub const ENTRY: Entry = Entry {
    name: "vit_b_16",
    doc: "ViT-B/16: the 768 features of the class token",
    needs_weights: true,
    dim: DIM,
    image_size: SIZE,
    together: 8,
    only_size: Some(SIZE),
    normed: false,
    open: |weights, _, place| frozen("vit_b_16", (weights, place), Vit::new),
    train: Some(|weights, seed, norm, device| trainable("vit_b_16", (weights, seed, norm, device.into()), Vit::new)),
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
    class: Var,
    patches: Conv,
    positions: Var,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Vit {
    fn new(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        let tokens = 1 + (SIZE / PATCH).pow(2);
        Ok(Self {
            class: source.var("class_token", &[1, 1, DIM], Draw::Constant(0.0))?,
            patches: source.conv(&Plan {
                name: "conv_proj",
                shape: [DIM, 3, PATCH, PATCH],
                window: Window { stride: PATCH, padding: Padding::NONE },
                activation: Activation::None,
                init: Init::Normal(((3 * PATCH * PATCH) as f64).sqrt().recip()),
            })?,
            positions: source.var("encoder.pos_embedding", &[1, tokens, DIM], Draw::Normal(0.02))?,
            blocks: (0..BLOCKS).map(|index| Block::new(source, index)).collect::<std::result::Result<_, _>>()?,
            norm: LayerNorm::new(source, "encoder.ln", DIM, EPS)?,
        })
    }
}

impl Architecture for Vit {
    fn dim(&self) -> usize {
        DIM
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (n, h, w, _) = images.dims4()?;
        if (h, w) != (SIZE, SIZE) {
            bail!("vit_b_16 takes images of {SIZE} by {SIZE} pixels, got {h} by {w}");
        }
        let patches = self.patches.forward(images, pass)?.reshape((n, (), DIM))?;
        let class = pass.value(&self.class).broadcast_as((n, 1, DIM))?;
        let x = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&pass.value(&self.positions))?;
        let (tokens, mut x) = (x.dim(1)?, x.flatten(0, 1)?);
        for block in &self.blocks {
            x = block.forward(&x, &vec![tokens; n], pass)?;
        }
        self.norm.forward(&x.reshape((n, tokens, DIM))?.narrow(1, 0, 1)?, pass)?.squeeze(1)
    }
}

/// Attention and dense layers, each behind a norm and added to its input.
struct Block {
    norms: [LayerNorm; 2],
    attention: SelfAttention,
    mlp: Mlp,
}

impl Block {
    fn new(source: &Source<'_>, index: usize) -> std::result::Result<Self, WeightsError> {
        let name = |part: &str| format!("encoder.layers.encoder_layer_{index}.{part}");
        let first = LayerNorm::new(source, &name("ln_1"), DIM, EPS)?;
        let attention = SelfAttention::new(source, &name("self_attention"), DIM, HEADS)?;
        let second = LayerNorm::new(source, &name("ln_2"), DIM, EPS)?;
        let draws = [Draw::Uniform((6.0 / (DIM + HIDDEN) as f64).sqrt()), Draw::Normal(1e-6)]; // torchvision's
        let mlp = Mlp::new(source, [name("mlp.0"), name("mlp.3")], [DIM, HIDDEN], draws)?;
        Ok(Self { norms: [first, second], attention, mlp })
    }

    /// Maps sequences of `lengths` tokens, together `(tokens, dim)`, to the same shape.
    fn forward(&self, x: &Tensor, lengths: &[usize], pass: &Pass<'_>) -> Result<Tensor> {
        let x = self.attention.forward_add(&self.norms[0].forward(x, pass)?, lengths, x, pass)?;
        self.mlp.forward_add(&self.norms[1].forward(&x, pass)?, &x, pass)
    }
}
