//! Encoders of texts: their registration, and what their networks have in common.

use candle_core::{Device, Result, Tensor, bail};
use hashlab_hub::Published;

use crate::layers::Pass;
use crate::network::{Architecture, build};
use crate::source::Source;
use crate::token_batch::{NO_TOKEN, TokenBatch};
use crate::tokenizer::TokenSource;
use crate::weights::{Weights, WeightsError};
use crate::{Encoder, EncoderError, Mode, Place, TrainableEncoder};

/// How the features of a text are made of those of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's: BERT's `[CLS]`.
    First,
    /// The last token's: the end of the text.
    Last,
    /// The first token's through a dense layer with tanh, which BERT's files call `pooler`.
    Pooler,
}

impl Pooling {
    /// Every pooling.
    pub const ALL: [Self; 4] = [Self::Mean, Self::First, Self::Last, Self::Pooler];

    /// Name in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::First => "first",
            Self::Last => "last",
            Self::Pooler => "pooler",
        }
    }
}

/// A registered encoder of texts.
#[derive(Clone, Copy)]
pub struct TextEntry {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// One line: what it is.
    pub doc: &'static str,
    /// Whether it needs a weights file.
    pub needs_weights: bool,
    /// The length of a feature vector.
    pub dim: usize,
    /// Where token ids come from.
    pub tokens: TokenSource,
    /// How many tokens of a text count by default, those that mark its start and its end included.
    pub max_tokens: usize,
    /// The most tokens that may count: the network's positions.
    pub positions: usize,
    /// The token that fills every text up to [`Self::max_tokens`], where the network was trained so.
    pub padding: Option<u32>,
    /// The poolings to choose from; the first is the usual one.
    pub poolings: &'static [Pooling],
    /// Its public weights on the hub and the tokenizer, which an experiment means that names none.
    pub published: Option<Published>,
    /// Builds the frozen network. [`Self::open`] calls it.
    pub open: OpenText,
    /// Builds the trainable network, if there is one. [`Self::train`] calls it.
    pub train: Option<TrainText>,
}

/// Builds the encoder of an entry at a place, from its weights where it needs some.
pub type OpenText =
    fn(&TextEntry, Option<&Weights>, Pooling, Place<'_>) -> std::result::Result<Box<dyn Encoder>, EncoderError>;

/// Builds the encoder of an entry to be trained at a place.
pub type TrainText = fn(
    &TextEntry,
    Option<&Weights>,
    Pooling,
    Place<'_>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError>;

impl TextEntry {
    /// Builds the frozen encoder at a place.
    ///
    /// # Errors
    /// If it needs weights and there are none, or they are those of another network.
    pub fn open(
        &self,
        weights: Option<&Weights>,
        pooling: Pooling,
        place: Place<'_>,
    ) -> std::result::Result<Box<dyn Encoder>, EncoderError> {
        self.check_weights(weights)?;
        let encoder = (self.open)(self, weights, pooling, place)?;
        self.check_dim(encoder.dim())?;
        Ok(encoder)
    }

    /// Builds the encoder to be trained at a place.
    ///
    /// # Errors
    /// As [`Self::open`], and if the encoder stays frozen.
    pub fn train(
        &self,
        weights: Option<&Weights>,
        pooling: Pooling,
        place: Place<'_>,
    ) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
        self.check_weights(weights)?;
        let train = self.train.ok_or(EncoderError::Frozen(self.name))?;
        let encoder = train(self, weights, pooling, place)?;
        self.check_dim(encoder.dim())?;
        Ok(encoder)
    }

    fn check_weights(&self, weights: Option<&Weights>) -> std::result::Result<(), EncoderError> {
        match (self.needs_weights, weights) {
            (true, None) => Err(EncoderError::NeedsWeights(self.name)),
            (false, Some(_)) => Err(EncoderError::TakesNoWeights(self.name)),
            _ => Ok(()),
        }
    }

    /// Refuses a network of another length of features than the registered one.
    fn check_dim(&self, got: usize) -> std::result::Result<(), EncoderError> {
        let (name, expected) = (self.name, self.dim);
        if got == expected { Ok(()) } else { Err(EncoderError::Dim { name, expected, got }) }
    }
}

/// The layers of a text network and how tokens run through them.
pub(crate) trait TextArchitecture: Send + Sync + 'static {
    /// The length of a feature vector.
    fn dim(&self) -> usize;

    /// Rows of the table of positions.
    fn max_tokens(&self) -> usize;

    /// The size of the vocabulary.
    fn words(&self) -> usize;

    /// Maps the tokens of all texts, `(tokens)`, to features `(n, dim)`.
    fn run(&self, tokens: &Tensor, texts: &TokenBatch, pass: &mut Pass<'_>) -> Result<Tensor>;
}

/// Builds the text network `name`.
pub(crate) fn build_text<A: TextArchitecture>(
    name: &'static str,
    weights: &Weights,
    mode: Mode<'_>,
    layers: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let device = mode.place().device.clone();
    build(name, Some(weights), mode, |source| Ok(OfTexts { layers: layers(source)?, device }))
}

/// A text network as one that takes texts filled up with [`NO_TOKEN`].
struct OfTexts<A> {
    layers: A,
    device: Device,
}

impl<A: TextArchitecture> Architecture for OfTexts<A> {
    fn dim(&self) -> usize {
        self.layers.dim()
    }

    fn run(&self, items: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let rows: Vec<Vec<u32>> = items.to_vec2()?;
        let text = |row: &Vec<u32>| row.iter().position(|token| *token == NO_TOKEN).unwrap_or(row.len());
        let lengths: Vec<usize> = rows.iter().map(text).collect();
        let (most, words) = (self.layers.max_tokens(), self.layers.words());
        if let Some(length) = lengths.iter().find(|length| **length > most) {
            bail!("a text of {length} tokens, where {most} are the most");
        }
        let texts = rows.iter().zip(&lengths).map(|(row, length)| &row[..*length]);
        let tokens: Vec<u32> = texts.flatten().copied().collect();
        if let Some(token) = tokens.iter().find(|token| **token as usize >= words) {
            bail!("token {token} is not in a vocabulary of {words}"); // no GPU looks whether there is such a row
        }
        self.layers.run(&Tensor::new(tokens, &self.device)?, &TokenBatch::of(lengths)?, pass)
    }
}
