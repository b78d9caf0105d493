//! BERT (Devlin et al., NAACL 2019) and DistilBERT (Sanh et al., arXiv 1910.01108): transformers over the tokens of a
//! text.
//!
//! Sizes are those of the weights file, with the names of Hugging Face's transformers: bert-base-uncased,
//! all-MiniLM-L6-v2, distilbert-base-uncased and similar ones. Every token has the type of the first segment. An empty
//! text is `[CLS] [SEP]`.
//!
//! In training, dropout applies to the embeddings and to the outputs of attention and dense layers, as in transformers;
//! the dropout of attention weights that transformers also has is left out.

mod layers;
mod names;
mod padded;

use candle_core::{Result, Tensor};

pub use padded::{Bert, mean};

use crate::layers::Pass;
use crate::text::{Pooling, TextArchitecture, TextEntry, build_text};
use crate::token_batch::TokenBatch;
use crate::tokenizer::TokenSource;
use crate::weights::Weights;
use crate::{EncoderError, Mode, TrainableEncoder};
use layers::{Layers, Sizes};

/// The registration of all-MiniLM-L6-v2. It was trained on texts of up to 128 tokens, and its authors cut at 256.
pub const MINILM: TextEntry = TextEntry {
    name: "minilm",
    doc: "all-MiniLM-L6-v2: 384 features, the mean of the tokens",
    needs_weights: true,
    dim: 384,
    tokens: TokenSource::File(&["tokenizer.json", "vocab.txt"]),
    max_tokens: 256,
    positions: 512,
    padding: None,
    poolings: &[Pooling::Mean, Pooling::First, Pooling::Pooler],
    published: Some(crate::published::MINILM),
    open: |entry, weights, pooling, place| Ok(published(entry, weights, pooling, Mode::Frozen(place))?),
    train: Some(|entry, weights, pooling, place| published(entry, weights, pooling, Mode::Trained(place))),
};

/// The registration of BERT base.
pub const BERT_BASE: TextEntry = TextEntry {
    name: "bert_base",
    doc: "BERT base: 768 features, the first token's",
    dim: 768,
    max_tokens: 512,
    poolings: &[Pooling::First, Pooling::Mean, Pooling::Pooler],
    published: Some(crate::published::BERT_BASE),
    ..MINILM
};

/// The registration of DistilBERT base.
pub const DISTILBERT: TextEntry = TextEntry {
    name: "distilbert",
    doc: "DistilBERT base: 768 features, the first token's",
    poolings: &[Pooling::First, Pooling::Mean],
    published: Some(crate::published::DISTILBERT),
    ..BERT_BASE
};

/// Attention heads of the registered networks, which the shapes of their tensors do not determine.
const HEADS: usize = 12;

/// Dropout probability in the training of the published encoders.
const DROPOUT: f64 = 0.1;

/// Builds a network whose attention has `heads` heads; a trained one has dropout.
///
/// # Errors
/// If the weights are not those of an encoder, `heads` does not divide the length of its features, or they lack the
/// pooler that `pooling` asks for.
pub fn text(
    weights: &Weights,
    heads: usize,
    pooling: Pooling,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    network("bert", weights, (heads, pooling), mode)
}

fn published(
    entry: &TextEntry,
    weights: Option<&Weights>,
    pooling: Pooling,
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    network(entry.name, weights.ok_or(EncoderError::NeedsWeights(entry.name))?, (HEADS, pooling), mode)
}

fn network(
    name: &'static str,
    weights: &Weights,
    (heads, pooling): (usize, Pooling),
    mode: Mode<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let distilled = names::is_distilled(weights);
    let weights = weights.renamed(|name| names::for_pooling(name, pooling));
    let sizes = Sizes::of(&weights, heads, distilled)?;
    build_text(name, &weights, mode, |source| Ok(Pooled { layers: Layers::new(source, sizes, DROPOUT)?, pooling }))
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

    fn run(&self, tokens: &Tensor, texts: &TokenBatch, pass: &mut Pass<'_>) -> Result<Tensor> {
        let x = self.layers.run(tokens, texts, pass)?;
        match self.pooling {
            Pooling::Mean => texts.mean(&x),
            Pooling::First => x.index_select(&texts.first(x.device())?, 0),
            Pooling::Last => x.index_select(&texts.last(x.device())?, 0),
            Pooling::Pooler => self.layers.pool(&x.index_select(&texts.first(x.device())?, 0)?, pass),
        }
    }
}
