//! The layers of BERT and DistilBERT.

use candle_core::{Result, Tensor, Var, bail};
use hashlab_kernels::conv::{Activation, add};
use hashlab_kernels::{broadcast_add, select_rows};

use crate::layers::{Affine, Pass};
use crate::source::{Draw, Source};
use crate::token_batch::TokenBatch;
use crate::transformer::{Inputs, LayerNorm, Mlp, SelfAttention};
use crate::weights::{Weights, WeightsError};

const EPS: f64 = 1e-12;

/// Placeholder distributions: the sizes come from a file, which also has the values.
const DRAWS: [Draw; 2] = [Draw::Normal(0.02), Draw::Constant(0.0)];

/// The sizes of an encoder.
pub(super) struct Sizes {
    pub(super) words: usize,
    pub(super) positions: usize,
    /// 0 in DistilBERT.
    segments: usize,
    pub(super) dim: usize,
    hidden: usize,
    blocks: usize,
    heads: usize,
    pooler: bool,
}

impl Sizes {
    pub(super) fn of(weights: &Weights, heads: usize, distilled: bool) -> Result<Self> {
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
pub(super) struct Layers {
    pub(super) sizes: Sizes,
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
    pub(super) fn new(source: &Source<'_>, sizes: Sizes, dropout: f64) -> std::result::Result<Self, WeightsError> {
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
    pub(super) fn padded(&self, ids: &Tensor, mask: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let texts = TokenBatch::new(mask)?;
        if ids.dims() != mask.dims() || mask.dim(1)? > self.sizes.positions {
            let most = self.sizes.positions;
            bail!("token ids {:?} with a mask {:?}, at most {most} tokens per text", ids.dims(), mask.dims());
        }
        let tokens = texts.pack(ids)?;
        let last = tokens.max(0)?.to_scalar::<u32>()?;
        if last as usize >= self.sizes.words {
            // A GPU does not check that the row exists.
            bail!("token {last} is not in a vocabulary of {}", self.sizes.words);
        }
        texts.pad(&self.run(&tokens, &texts, pass)?)
    }

    /// Maps the tokens of all texts, `(tokens)`, to `(tokens, dim)`.
    pub(super) fn run(&self, tokens: &Tensor, texts: &TokenBatch, pass: &mut Pass<'_>) -> Result<Tensor> {
        let words = select_rows(&pass.value(&self.words), tokens)?;
        let positions = select_rows(&pass.value(&self.positions), &texts.positions(tokens.device())?)?;
        let mut x = (words + positions)?;
        if let Some(segments) = &self.segments {
            x = broadcast_add(&x, &pass.value(segments).narrow(0, 0, 1)?)?;
        }
        x = dropped(&self.norm.forward(&x, pass)?, "embeddings.dropout", self.dropout, pass)?;
        for block in &self.blocks {
            x = block.forward(&x, &texts.lengths, pass)?;
        }
        Ok(x)
    }

    /// Maps the first tokens of texts, `(n, dim)`, through the pooler.
    pub(super) fn pool(&self, first: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let Some(pooler) = &self.pooler else { bail!("the weights of this encoder have no pooler") };
        pooler.forward(first, pass)?.tanh()
    }
}

/// Applies dropout with probability `p`, if that is not 0.
fn dropped(x: &Tensor, name: &str, p: f64, pass: &mut Pass<'_>) -> Result<Tensor> {
    if p > 0.0 { pass.dropout(name, x, p) } else { Ok(x.clone()) }
}

/// Attention and dense layers, each added to its input, with a norm behind the sum.
struct Block {
    attention: SelfAttention,
    mlp: Mlp,
    norms: [LayerNorm; 2],
    /// Dropouts of the outputs of attention and dense layers: name and probability.
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
        // DistilBERT, which has no segments, has no dropout after its attention.
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

    /// Adds `layer(x)`, after dropout, to `residual`.
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
