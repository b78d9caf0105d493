//! BERT (Devlin et al., NAACL 2019): a transformer over the tokens of a text.
//!
//! Sizes are those of the weights file, with the names of Hugging Face's transformers: bert-base-uncased,
//! all-MiniLM-L6-v2 and their like. Every token counts as one of the first segment.

use candle_core::{Device, Result, Tensor, Var, bail};

use hashlab_rng::Stream;

use crate::layers::Pass;
use crate::source::{Draw, Source, State};
use crate::texts::Texts;
use crate::transformer::{Affine, Inputs, LayerNorm, Mlp, SelfAttention};
use crate::weights::{IMAGENET, Weights, WeightsError};
use crate::{BackboneError, Norm};

const EPS: f64 = 1e-12;

/// What a layer is drawn like; but sizes need a file, which has the values, too.
const DRAWS: [Draw; 2] = [Draw::Normal(0.02), Draw::Constant(0.0)];

/// A text encoder.
pub struct Bert {
    layers: Layers,
    state: State,
}

impl Bert {
    /// Builds the frozen encoder on a device. Its attention has `heads` heads; no tensor's shape tells their number.
    ///
    /// # Errors
    /// If the weights are not those of an encoder, or `heads` does not divide the length of its features.
    pub fn open(weights: &Weights, heads: usize, device: &Device) -> std::result::Result<Self, BackboneError> {
        Self::new(weights, heads, device, |weights, device| Source::frozen("bert", Some(weights), device.into()))
    }

    /// Builds the encoder to be trained on a device, without dropout.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn train(weights: &Weights, heads: usize, device: &Device) -> std::result::Result<Self, BackboneError> {
        Self::new(weights, heads, device, |weights, device| {
            Ok(Source::trainable("bert", Some(weights), (0, Norm::Frozen), device.into()))
        })
    }

    fn new(
        weights: &Weights,
        heads: usize,
        device: &Device,
        source: impl for<'a> FnOnce(&'a Weights, &'a Device) -> std::result::Result<Source<'a>, BackboneError>,
    ) -> std::result::Result<Self, BackboneError> {
        let weights = weights.renamed(canonical);
        let source = source(&weights, device)?;
        let layers = Layers::new(&source, Sizes::of(&weights, heads)?)?;
        let (state, _) = source.finish(IMAGENET)?;
        Ok(Self { layers, state })
    }

    /// Returns the length of a feature vector.
    pub fn dim(&self) -> usize {
        self.layers.sizes.dim
    }

    /// Returns how many tokens a text may have.
    pub fn max_tokens(&self) -> usize {
        self.layers.sizes.positions
    }

    /// Maps token ids `(n, t)` in u32, on the encoder's device, to features `(n, t, dim)`.
    ///
    /// `mask`, of the same shape, is 0 where a text has no token; there the features are 0, and nothing is computed.
    /// Those of a text depend neither on its padding nor on the other texts. Spreads over the rayon pool it is called
    /// from; inside [`hashlab_kernels::threads::serial`] it stays on its thread.
    ///
    /// # Errors
    /// If shapes differ, a text has no token, an id is not in the vocabulary or `t` is above [`Self::max_tokens`].
    pub fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        self.layers.run(ids, mask, &Pass::evaluation())
    }

    /// The same, differentiably.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_train(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let mut draws = no_dropout;
        self.layers.run(ids, mask, &Pass::training(&mut draws))
    }

    /// Maps features `(n, t, dim)` to `(n, dim)`: the first token's through the pooler, a dense layer with tanh. It is
    /// differentiable if `features` are.
    ///
    /// # Errors
    /// If the shape is another one, or the weights have no pooler.
    pub fn pooled(&self, features: &Tensor) -> Result<Tensor> {
        let Some(pooler) = &self.layers.pooler else { bail!("the weights of this encoder have no pooler") };
        let mut draws = no_dropout;
        let pass = if features.track_op() { Pass::training(&mut draws) } else { Pass::evaluation() };
        pooler.forward(&features.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?, &pass)?.tanh()
    }

    /// Returns the trainable parameters by name, in a fixed order; none of a frozen encoder's dense layers.
    ///
    /// A pass gives each of them a gradient, except for the pooler's, which [`Self::pooled`] gives.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.state.vars.clone()
    }
}

fn no_dropout(layer: &str) -> Stream {
    unreachable!("`{layer}` has no dropout")
}

/// Returns the mean of the features `(n, t, dim)` of each text's tokens, `(n, dim)`: where `mask`, `(n, t)`, is not 0.
///
/// # Errors
/// If the shapes do not fit together.
pub fn mean(features: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let present = mask.ne(0.0)?.to_dtype(features.dtype())?;
    features.broadcast_mul(&present.unsqueeze(2)?)?.sum(1)?.broadcast_div(&present.sum_keepdim(1)?)
}

/// Names a tensor as `BertModel` does. The files of models built on it add `bert.` and the heads of the pre-training;
/// those converted from TensorFlow call the parameters of norms gamma and beta.
fn canonical(name: &str) -> Option<String> {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    let name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    (!name.starts_with("cls.")).then_some(name)
}

/// The sizes of an encoder.
struct Sizes {
    words: usize,
    positions: usize,
    segments: usize,
    dim: usize,
    hidden: usize,
    blocks: usize,
    heads: usize,
    pooler: bool,
}

impl Sizes {
    fn of(weights: &Weights, heads: usize) -> Result<Self> {
        let size = |name: &str, axis: usize| weights.shape(name).get(axis).copied().unwrap_or_default();
        let intermediate = |block: usize| size(&format!("{}.weight", part(block, "intermediate.dense")), 0);
        let sizes = Self {
            words: size("embeddings.word_embeddings.weight", 0),
            positions: size("embeddings.position_embeddings.weight", 0),
            segments: size("embeddings.token_type_embeddings.weight", 0),
            dim: size("embeddings.word_embeddings.weight", 1),
            hidden: intermediate(0),
            blocks: (0..).take_while(|block| intermediate(*block) > 0).count(),
            heads,
            pooler: size("pooler.dense.weight", 0) > 0,
        };
        if heads == 0 || !sizes.dim.is_multiple_of(heads) {
            bail!("an encoder of {} features cannot have {heads} heads", sizes.dim);
        }
        Ok(sizes)
    }
}

fn part(block: usize, part: &str) -> String {
    format!("encoder.layer.{block}.{part}")
}

/// The layers.
struct Layers {
    sizes: Sizes,
    words: Var,
    positions: Var,
    segments: Var,
    norm: LayerNorm,
    blocks: Vec<Block>,
    pooler: Option<Affine>,
}

impl Layers {
    fn new(source: &Source<'_>, sizes: Sizes) -> std::result::Result<Self, WeightsError> {
        let dim = sizes.dim;
        let table =
            |name: &str, len| source.var(&format!("embeddings.{name}_embeddings.weight"), &[len, dim], DRAWS[0]);
        Ok(Self {
            words: table("word", sizes.words)?,
            positions: table("position", sizes.positions)?,
            segments: table("token_type", sizes.segments)?,
            norm: LayerNorm::new(source, "embeddings.LayerNorm", dim, EPS)?,
            blocks: (0..sizes.blocks)
                .map(|block| Block::new(source, &sizes, block))
                .collect::<std::result::Result<_, _>>()?,
            pooler: sizes.pooler.then(|| Affine::new(source, "pooler.dense", [dim, dim], DRAWS)).transpose()?,
            sizes,
        })
    }

    fn run(&self, ids: &Tensor, mask: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let texts = Texts::new(mask)?;
        if ids.dims() != mask.dims() || mask.dim(1)? > self.sizes.positions {
            let most = self.sizes.positions;
            bail!("token ids {:?} with a mask {:?}, at most {most} tokens per text", ids.dims(), mask.dims());
        }
        let tokens = texts.pack(ids)?;
        let last = tokens.max(0)?.to_scalar::<u32>()?;
        if last as usize >= self.sizes.words {
            bail!("token {last} is not in a vocabulary of {}", self.sizes.words); // no GPU looks whether there is such a row
        }
        let words = pass.value(&self.words).index_select(&tokens, 0)?;
        let positions = pass.value(&self.positions).index_select(&texts.positions(ids.device())?, 0)?;
        let x = (words + positions)?.broadcast_add(&pass.value(&self.segments).narrow(0, 0, 1)?)?;
        let mut x = self.norm.forward(&x, pass)?;
        for block in &self.blocks {
            x = block.forward(&x, &texts.lengths, pass)?;
        }
        texts.pad(&x)
    }
}

/// Attention and dense layers, each added to its input, with a norm behind the sum.
struct Block {
    attention: SelfAttention,
    mlp: Mlp,
    norms: [LayerNorm; 2],
}

impl Block {
    fn new(source: &Source<'_>, sizes: &Sizes, block: usize) -> std::result::Result<Self, WeightsError> {
        let (dim, name) = (sizes.dim, |name: &str| part(block, name));
        let layer = |name: String| Affine::new(source, &name, [dim, dim], DRAWS);
        let [q, k, v] = ["query", "key", "value"].map(|name| part(block, &format!("attention.self.{name}")));
        let inputs = Inputs::Three(Box::new([layer(q)?, layer(k)?, layer(v)?]));
        let attention = SelfAttention { inputs, output: layer(name("attention.output.dense"))?, heads: sizes.heads };
        let first = LayerNorm::new(source, &name("attention.output.LayerNorm"), dim, EPS)?;
        let names = [name("intermediate.dense"), name("output.dense")];
        let mlp = Mlp::new(source, names, [dim, sizes.hidden], DRAWS)?;
        Ok(Self { attention, mlp, norms: [first, LayerNorm::new(source, &name("output.LayerNorm"), dim, EPS)?] })
    }

    /// Maps sequences of `lengths` tokens, together `(tokens, dim)`, to the same shape.
    fn forward(&self, x: &Tensor, lengths: &[usize], pass: &Pass<'_>) -> Result<Tensor> {
        let x = self.norms[0].forward(&self.attention.forward_add(x, lengths, x, pass)?, pass)?;
        self.norms[1].forward(&self.mlp.forward_add(&x, &x, pass)?, pass)
    }
}
