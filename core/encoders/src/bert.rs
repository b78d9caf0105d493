//! BERT (Devlin et al., NAACL 2019) and DistilBERT (Sanh et al., arXiv 1910.01108): transformers over the tokens of a
//! text.
//!
//! Sizes are those of the weights file, with the names of Hugging Face's transformers: bert-base-uncased,
//! all-MiniLM-L6-v2, distilbert-base-uncased and their like. Every token counts as one of the first segment.
//!
//! In training, dropout acts on the embeddings and on what attention and dense layers add, as in transformers; that of
//! the attention's weights, which transformers has besides, is left out.

use candle_core::{Device, Result, Tensor, Var, bail};
use hashlab_kernels::conv::{Activation, add};
use hashlab_rng::Stream;

use crate::layers::Pass;
use crate::source::{Draw, Source, State};
use crate::text::{Pooling, TextArchitecture, TextEncoder, TrainableText, frozen_text, trainable_text};
use crate::texts::Texts;
use crate::transformer::{Affine, Inputs, LayerNorm, Mlp, SelfAttention};
use crate::weights::{IMAGENET, Weights, WeightsError};
use crate::{BackboneError, Norm, Place};

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
        let (weights, distilled) = (weights.renamed(canonical), is_distilled(weights));
        let source = source(&weights, device)?;
        let layers = Layers::new(&source, Sizes::of(&weights, heads, distilled)?, 0.0)?;
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
        self.layers.padded(ids, mask, &mut Pass::evaluation())
    }

    /// The same, differentiably.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_train(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let mut draws = no_dropout;
        self.layers.padded(ids, mask, &mut Pass::training(&mut draws))
    }

    /// Maps features `(n, t, dim)` to `(n, dim)`: the first token's through the pooler, a dense layer with tanh. It is
    /// differentiable if `features` are.
    ///
    /// # Errors
    /// If the shape is another one, or the weights have no pooler.
    pub fn pooled(&self, features: &Tensor) -> Result<Tensor> {
        let mut draws = no_dropout;
        let pass = if features.track_op() { Pass::training(&mut draws) } else { Pass::evaluation() };
        self.layers.pool(&features.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?, &pass)
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

/// The dropout of the published encoders' training.
const DROPOUT: f64 = 0.1;

/// Builds a frozen encoder whose attention has `heads` heads.
///
/// # Errors
/// If the weights are not those of an encoder, `heads` does not divide the length of its features, or they lack the
/// pooler that `pooling` asks for.
pub fn text(
    weights: &Weights,
    heads: usize,
    pooling: Pooling,
    place: Place<'_>,
) -> std::result::Result<Box<dyn TextEncoder>, BackboneError> {
    open_text("bert", weights, (heads, pooling), place)
}

/// Builds the same to be trained with dropout.
///
/// # Errors
/// As [`text`].
pub fn train_text(
    weights: &Weights,
    heads: usize,
    pooling: Pooling,
    device: &Device,
) -> std::result::Result<Box<dyn TrainableText>, BackboneError> {
    open_trainable("bert", weights, (heads, pooling), device)
}

pub(crate) fn open_text(
    name: &'static str,
    weights: &Weights,
    (heads, pooling): (usize, Pooling),
    place: Place<'_>,
) -> std::result::Result<Box<dyn TextEncoder>, BackboneError> {
    let (weights, distilled) = (weights.renamed(|name| for_pooling(name, pooling)), is_distilled(weights));
    let sizes = Sizes::of(&weights, heads, distilled)?;
    frozen_text(name, (&weights, place), |source| Ok(Pooled { layers: Layers::new(source, sizes, 0.0)?, pooling }))
}

pub(crate) fn open_trainable(
    name: &'static str,
    weights: &Weights,
    (heads, pooling): (usize, Pooling),
    device: &Device,
) -> std::result::Result<Box<dyn TrainableText>, BackboneError> {
    let (weights, distilled) = (weights.renamed(|name| for_pooling(name, pooling)), is_distilled(weights));
    let sizes = Sizes::of(&weights, heads, distilled)?;
    let build = |source: &Source<'_>| Ok(Pooled { layers: Layers::new(source, sizes, DROPOUT)?, pooling });
    trainable_text(name, (&weights, device.into()), build)
}

/// Names a tensor as `BertModel` does and leaves out a pooler that is not asked for.
fn for_pooling(name: &str, pooling: Pooling) -> Option<String> {
    canonical(name).filter(|name| pooling == Pooling::Pooler || !name.starts_with("pooler."))
}

/// Names a tensor as `BertModel` does. The files of models built on it add `bert.` and the heads of the pre-training;
/// those converted from TensorFlow call the parameters of norms gamma and beta; those of DistilBERT have other names.
fn canonical(name: &str) -> Option<String> {
    let name = ["bert.", "distilbert."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    let head = ["cls.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector."];
    let of_head = head.iter().any(|prefix| name.starts_with(prefix));
    let Some(layer) = name.strip_prefix("transformer.layer.") else { return (!of_head).then_some(name) };
    let renamed = DISTILLED.iter().fold(layer.to_owned(), |name, (distilled, bert)| name.replace(distilled, bert));
    Some(format!("encoder.layer.{renamed}"))
}

/// Whether a file has DistilBERT's names.
fn is_distilled(weights: &Weights) -> bool {
    ["", "distilbert."]
        .iter()
        .any(|prefix| !weights.shape(&format!("{prefix}transformer.layer.0.ffn.lin1.weight")).is_empty())
}

/// DistilBERT's names of the modules of a block, and BERT's.
const DISTILLED: [(&str, &str); 8] = [
    (".output_layer_norm.", ".output.LayerNorm."),
    (".sa_layer_norm.", ".attention.output.LayerNorm."),
    (".attention.q_lin.", ".attention.self.query."),
    (".attention.k_lin.", ".attention.self.key."),
    (".attention.v_lin.", ".attention.self.value."),
    (".attention.out_lin.", ".attention.output.dense."),
    (".ffn.lin1.", ".intermediate.dense."),
    (".ffn.lin2.", ".output.dense."),
];

/// The sizes of an encoder.
struct Sizes {
    words: usize,
    positions: usize,
    /// None in DistilBERT.
    segments: usize,
    dim: usize,
    hidden: usize,
    blocks: usize,
    heads: usize,
    pooler: bool,
}

impl Sizes {
    fn of(weights: &Weights, heads: usize, distilled: bool) -> Result<Self> {
        let size = |name: &str, axis: usize| weights.shape(name).get(axis).copied().unwrap_or_default();
        let intermediate = |block: usize| size(&format!("{}.weight", part(block, "intermediate.dense")), 0);
        let sizes = Self {
            words: size("embeddings.word_embeddings.weight", 0),
            positions: size("embeddings.position_embeddings.weight", 0),
            segments: if distilled { 0 } else { size("embeddings.token_type_embeddings.weight", 0).max(1) },
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
    /// Absent in DistilBERT.
    segments: Option<Var>,
    norm: LayerNorm,
    blocks: Vec<Block>,
    pooler: Option<Affine>,
    dropout: f64,
}

impl Layers {
    fn new(source: &Source<'_>, sizes: Sizes, dropout: f64) -> std::result::Result<Self, WeightsError> {
        let dim = sizes.dim;
        let table =
            |name: &str, len| source.var(&format!("embeddings.{name}_embeddings.weight"), &[len, dim], DRAWS[0]);
        Ok(Self {
            words: table("word", sizes.words)?,
            positions: table("position", sizes.positions)?,
            segments: (sizes.segments > 0).then(|| table("token_type", sizes.segments)).transpose()?,
            norm: LayerNorm::new(source, "embeddings.LayerNorm", dim, EPS)?,
            blocks: (0..sizes.blocks)
                .map(|block| Block::new(source, &sizes, block, dropout))
                .collect::<std::result::Result<_, _>>()?,
            pooler: sizes.pooler.then(|| Affine::new(source, "pooler.dense", [dim, dim], DRAWS)).transpose()?,
            sizes,
            dropout,
        })
    }

    /// Maps token ids and mask, `(n, t)`, to `(n, t, dim)`.
    fn padded(&self, ids: &Tensor, mask: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
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
        texts.pad(&self.run(&tokens, &texts, pass)?)
    }

    /// Maps the tokens of all texts, `(tokens)`, to `(tokens, dim)`.
    fn run(&self, tokens: &Tensor, texts: &Texts, pass: &mut Pass<'_>) -> Result<Tensor> {
        let words = pass.value(&self.words).index_select(tokens, 0)?;
        let positions = pass.value(&self.positions).index_select(&texts.positions(tokens.device())?, 0)?;
        let mut x = (words + positions)?;
        if let Some(segments) = &self.segments {
            x = x.broadcast_add(&pass.value(segments).narrow(0, 0, 1)?)?;
        }
        x = dropped(&self.norm.forward(&x, pass)?, "embeddings.dropout", self.dropout, pass)?;
        for block in &self.blocks {
            x = block.forward(&x, &texts.lengths, pass)?;
        }
        Ok(x)
    }

    /// Maps the first tokens of texts, `(n, dim)`, through the pooler.
    fn pool(&self, first: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let Some(pooler) = &self.pooler else { bail!("the weights of this encoder have no pooler") };
        pooler.forward(first, pass)?.tanh()
    }
}

/// Applies dropout with probability `p`, if that is not 0.
fn dropped(x: &Tensor, name: &str, p: f64, pass: &mut Pass<'_>) -> Result<Tensor> {
    if p > 0.0 { pass.dropout(name, x, p) } else { Ok(x.clone()) }
}

/// An encoder with its pooling.
struct Pooled {
    layers: Layers,
    pooling: Pooling,
}

impl TextArchitecture for Pooled {
    fn dim(&self) -> usize {
        self.layers.sizes.dim
    }

    fn max_tokens(&self) -> usize {
        self.layers.sizes.positions
    }

    fn words(&self) -> usize {
        self.layers.sizes.words
    }

    fn run(&self, tokens: &Tensor, texts: &Texts, pass: &mut Pass<'_>) -> Result<Tensor> {
        let x = self.layers.run(tokens, texts, pass)?;
        match self.pooling {
            Pooling::Mean => texts.mean(&x),
            Pooling::First => x.index_select(&texts.first(x.device())?, 0),
            Pooling::Last => x.index_select(&texts.last(x.device())?, 0),
            Pooling::Pooler => self.layers.pool(&x.index_select(&texts.first(x.device())?, 0)?, pass),
        }
    }
}

/// Attention and dense layers, each added to its input, with a norm behind the sum.
struct Block {
    attention: SelfAttention,
    mlp: Mlp,
    norms: [LayerNorm; 2],
    /// Those of what attention and dense layers add: name and probability.
    dropouts: [(String, f64); 2],
}

impl Block {
    fn new(source: &Source<'_>, sizes: &Sizes, block: usize, p: f64) -> std::result::Result<Self, WeightsError> {
        let (dim, name) = (sizes.dim, |name: &str| part(block, name));
        let layer = |name: String| Affine::new(source, &name, [dim, dim], DRAWS);
        let [q, k, v] = ["query", "key", "value"].map(|name| part(block, &format!("attention.self.{name}")));
        let inputs = Inputs::Three(Box::new([layer(q)?, layer(k)?, layer(v)?]));
        let output = layer(name("attention.output.dense"))?;
        let attention = SelfAttention { inputs, output, heads: sizes.heads, causal: false };
        let first = LayerNorm::new(source, &name("attention.output.LayerNorm"), dim, EPS)?;
        let names = [name("intermediate.dense"), name("output.dense")];
        let mlp = Mlp::new(source, names, [dim, sizes.hidden], DRAWS)?;
        let norms = [first, LayerNorm::new(source, &name("output.LayerNorm"), dim, EPS)?];
        // DistilBERT, which has no segments, drops nothing behind its attention.
        let behind_attention = if sizes.segments > 0 { p } else { 0.0 };
        let dropouts = [(name("attention.output.dropout"), behind_attention), (name("output.dropout"), p)];
        Ok(Self { attention, mlp, norms, dropouts })
    }

    /// Maps sequences of `lengths` tokens, together `(tokens, dim)`, to the same shape.
    fn forward(&self, x: &Tensor, lengths: &[usize], pass: &mut Pass<'_>) -> Result<Tensor> {
        let mixed = self.attention.mix(x, lengths, pass)?;
        let x = self.norms[0].forward(&self.add(0, &self.attention.output, &mixed, x, pass)?, pass)?;
        let hidden = self.mlp.hidden(&x, pass)?;
        self.norms[1].forward(&self.add(1, &self.mlp.layers[1], &hidden, &x, pass)?, pass)
    }

    /// Adds what `layer` makes of `x`, but for dropout, to `residual`.
    fn add(
        &self,
        dropout: usize,
        layer: &Affine,
        x: &Tensor,
        residual: &Tensor,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        match &self.dropouts[dropout] {
            (name, p) if *p > 0.0 && pass.is_training() => {
                add(&pass.dropout(name, &layer.forward(x, pass)?, *p)?, residual, Activation::None)
            }
            _ => layer.forward_add(x, residual, pass),
        }
    }
}
