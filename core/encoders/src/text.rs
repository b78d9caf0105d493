//! Text encoders: networks that map the tokens of texts to feature vectors.

use candle_core::{Device, Result, Tensor, Var, bail};

use crate::layers::Pass;
use crate::source::{Source, State};
use crate::texts::Texts;
use crate::weights::{IMAGENET, Weights, WeightsError};
use crate::{BackboneError, Draws, Norm, Place, bert, clip, siglip};

/// A network that maps texts to feature vectors.
pub trait TextEncoder: Send + Sync {
    /// Its name in [`TEXT_ENCODERS`], or the family's where the sizes are not those of a published network.
    fn name(&self) -> &'static str;

    /// The length of a feature vector.
    fn dim(&self) -> usize;

    /// How many tokens a text may have.
    fn max_tokens(&self) -> usize;

    /// Maps texts, each the ids of its tokens, to features `(n, dim)`.
    ///
    /// Texts differ in length without padding, and the features of one do not depend on the others. Spreads over the
    /// rayon pool it is called from; inside [`hashlab_kernels::threads::serial`] it stays on its thread.
    ///
    /// # Errors
    /// If a text has no token or more than [`Self::max_tokens`], or an id is not in the vocabulary.
    fn forward(&self, texts: &[&[u32]]) -> Result<Tensor>;
}

/// A text encoder whose parameters can be trained. Its [`TextEncoder::forward`] is the evaluation pass.
pub trait TrainableText: TextEncoder {
    /// The training pass, differentiable and with dropout. Every dropout layer draws from the stream that `draws` opens
    /// for its name.
    ///
    /// # Errors
    /// As [`TextEncoder::forward`].
    fn forward_train(&self, texts: &[&[u32]], draws: Draws<'_>) -> Result<Tensor>;

    /// Returns the trainable parameters by name, in a fixed order. A training pass gives each of them a gradient.
    fn vars(&self) -> Vec<(String, Var)>;
}

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

/// A registered text encoder.
pub struct TextEntry {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// One line: what it is.
    pub doc: &'static str,
    /// The length of a feature vector.
    pub dim: usize,
    /// How many tokens of a text count, those that mark its start and its end included.
    pub max_tokens: usize,
    /// The token that fills every text up to [`Self::max_tokens`], where the network was trained so.
    pub padding: Option<u32>,
    /// The poolings to choose from; the first is the usual one.
    pub poolings: &'static [Pooling],
    /// Builds the frozen network.
    pub open: OpenText,
    /// Builds the trainable network, if there is one.
    pub train: Option<TrainText>,
}

/// Builds a text encoder at a place.
pub type OpenText = fn(&Weights, Pooling, Place<'_>) -> std::result::Result<Box<dyn TextEncoder>, BackboneError>;

/// Builds a text encoder to be trained on a device, in f32.
pub type TrainText = fn(&Weights, Pooling, &Device) -> std::result::Result<Box<dyn TrainableText>, BackboneError>;

/// Every text encoder.
pub const TEXT_ENCODERS: &[TextEntry] = &[
    TextEntry {
        name: "minilm",
        doc: "all-MiniLM-L6-v2: 384 features, the mean of the tokens",
        dim: 384,
        max_tokens: 256,
        padding: None,
        poolings: &[Pooling::Mean, Pooling::First, Pooling::Pooler],
        open: |weights, pooling, place| {
            of_dim("minilm", 384, bert::open_text("minilm", weights, (12, pooling), place)?)
        },
        train: Some(|weights, pooling, device| {
            of_dim("minilm", 384, bert::open_trainable("minilm", weights, (12, pooling), device)?)
        }),
    },
    TextEntry {
        name: "bert_base",
        doc: "BERT base: 768 features, the first token's",
        dim: 768,
        max_tokens: 512,
        padding: None,
        poolings: &[Pooling::First, Pooling::Mean, Pooling::Pooler],
        open: |weights, pooling, place| {
            of_dim("bert_base", 768, bert::open_text("bert_base", weights, (12, pooling), place)?)
        },
        train: Some(|weights, pooling, device| {
            of_dim("bert_base", 768, bert::open_trainable("bert_base", weights, (12, pooling), device)?)
        }),
    },
    TextEntry {
        name: "distilbert",
        doc: "DistilBERT base: 768 features, the first token's",
        dim: 768,
        max_tokens: 512,
        padding: None,
        poolings: &[Pooling::First, Pooling::Mean],
        open: |weights, pooling, place| {
            of_dim("distilbert", 768, bert::open_text("distilbert", weights, (12, pooling), place)?)
        },
        train: Some(|weights, pooling, device| {
            of_dim("distilbert", 768, bert::open_trainable("distilbert", weights, (12, pooling), device)?)
        }),
    },
    TextEntry {
        name: "clip_vit_b_32",
        doc: "the text encoder of CLIP ViT-B/32: 512 features, in one space with its image encoder's",
        dim: 512,
        max_tokens: 77,
        padding: None,
        poolings: &[Pooling::Last],
        open: |weights, _, place| of_dim("clip_vit_b_32", 512, clip::open_text("clip_vit_b_32", weights, place)?),
        train: Some(|weights, _, device| {
            of_dim("clip_vit_b_32", 512, clip::open_trainable_text("clip_vit_b_32", weights, device)?)
        }),
    },
    TextEntry {
        name: "clip_vit_b_16",
        doc: "the text encoder of CLIP ViT-B/16: 512 features, in one space with its image encoder's",
        dim: 512,
        max_tokens: 77,
        padding: None,
        poolings: &[Pooling::Last],
        open: |weights, _, place| of_dim("clip_vit_b_16", 512, clip::open_text("clip_vit_b_16", weights, place)?),
        train: Some(|weights, _, device| {
            of_dim("clip_vit_b_16", 512, clip::open_trainable_text("clip_vit_b_16", weights, device)?)
        }),
    },
    TextEntry {
        name: "siglip_base_16",
        doc: "the text encoder of SigLIP base: 768 features, in one space with its image encoder's",
        dim: 768,
        max_tokens: 64,
        padding: Some(1),
        poolings: &[Pooling::Last],
        open: |weights, _, place| of_dim("siglip_base_16", 768, siglip::open_text("siglip_base_16", weights, place)?),
        train: Some(|weights, _, device| {
            of_dim("siglip_base_16", 768, siglip::open_trainable_text("siglip_base_16", weights, device)?)
        }),
    },
];

/// Finds a text encoder by name.
pub fn find_text(name: &str) -> Option<&'static TextEntry> {
    TEXT_ENCODERS.iter().find(|entry| entry.name == name)
}

/// Refuses a network of another length of features than the registered one.
fn of_dim<E: TextEncoder + ?Sized>(
    name: &'static str,
    expected: usize,
    encoder: Box<E>,
) -> std::result::Result<Box<E>, BackboneError> {
    match encoder.dim() {
        got if got == expected => Ok(encoder),
        got => Err(BackboneError::Dim { name, expected, got }),
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
    fn run(&self, tokens: &Tensor, texts: &Texts, pass: &mut Pass<'_>) -> Result<Tensor>;
}

/// An architecture with its parameters.
struct Network<A> {
    name: &'static str,
    layers: A,
    state: State,
    device: Device,
}

/// Builds the frozen text network `name` at a place.
pub(crate) fn frozen_text<A: TextArchitecture>(
    name: &'static str,
    (weights, place): (&Weights, Place<'_>),
    build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn TextEncoder>, BackboneError> {
    Ok(Box::new(Network::new(name, Source::frozen(name, Some(weights), place)?, place.device, build)?))
}

/// Builds the text network `name` to be trained.
pub(crate) fn trainable_text<A: TextArchitecture>(
    name: &'static str,
    (weights, place): (&Weights, Place<'_>),
    build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn TrainableText>, BackboneError> {
    let source = Source::trainable(name, Some(weights), (0, Norm::Frozen), place);
    Ok(Box::new(Network::new(name, source, place.device, build)?))
}

impl<A: TextArchitecture> Network<A> {
    fn new(
        name: &'static str,
        source: Source<'_>,
        device: &Device,
        build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
    ) -> std::result::Result<Self, BackboneError> {
        let layers = build(&source)?;
        let (state, _) = source.finish(IMAGENET)?; // which no text network looks at
        Ok(Self { name, layers, state, device: device.clone() })
    }

    fn run(&self, texts: &[&[u32]], pass: &mut Pass<'_>) -> Result<Tensor> {
        let (most, words) = (self.layers.max_tokens(), self.layers.words());
        if let Some(text) = texts.iter().find(|text| text.len() > most) {
            bail!("a text of {} tokens, where {most} are the most", text.len());
        }
        let tokens = texts.concat();
        if let Some(token) = tokens.iter().find(|token| **token as usize >= words) {
            bail!("token {token} is not in a vocabulary of {words}"); // no GPU looks whether there is such a row
        }
        let texts = Texts::of(texts.iter().map(|text| text.len()).collect())?;
        self.layers.run(&Tensor::new(tokens, &self.device)?, &texts, pass)
    }
}

impl<A: TextArchitecture> TextEncoder for Network<A> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dim(&self) -> usize {
        self.layers.dim()
    }

    fn max_tokens(&self) -> usize {
        self.layers.max_tokens()
    }

    fn forward(&self, texts: &[&[u32]]) -> Result<Tensor> {
        self.run(texts, &mut Pass::evaluation())
    }
}

impl<A: TextArchitecture> TrainableText for Network<A> {
    fn forward_train(&self, texts: &[&[u32]], draws: Draws<'_>) -> Result<Tensor> {
        self.run(texts, &mut Pass::training(draws))
    }

    fn vars(&self) -> Vec<(String, Var)> {
        self.state.vars.clone()
    }
}
