//! Setup of a run, as far as a table must state it: epoch selection and encoders.

use std::fmt;

use hashlab_data::ByModality;
use serde::{Deserialize, Serialize};

use crate::wording::short;
use hashlab_store::counted;

/// What a row's numbers depend on beside its method's hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Which epoch's state was evaluated.
    pub selection: Selection,
    /// The encoder of each modality that the run uses.
    pub encoders: ByModality<EncoderSummary>,
    /// The files of codes that others computed; none of a method's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalCodes>,
}

/// Files of codes that others computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalCodes {
    /// Their path as the experiment has it, with places for what differs.
    pub codes: String,
    /// SHA-256 of each, and the array's name behind `#` where it has several.
    pub files: Vec<String>,
}

/// Which epoch's state was evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// A shallow method has no epochs.
    None,
    /// The epoch with the best validation metric.
    Best,
    /// The last epoch.
    Last,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Best => "best",
            Self::Last => "last",
        })
    }
}

/// An encoder, as far as it can change a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSummary {
    /// Registered name, e.g. `mobilenet_v2`; `none` for a data set's own features.
    pub name: String,
    /// Pixels that images are resized to; `None` for texts and features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// How the features of a text are made of its tokens', e.g. `mean`; `None` for images and features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<String>,
    /// Tokens of a text that count; `None` for images and features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// Element type of the encoder's computation, e.g. `f32`.
    pub dtype: String,
    /// Element type of features in the cache, e.g. `f16`.
    pub cache_dtype: String,
    /// Stored views per training item; `None` where the method draws none of the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<usize>,
    /// Last frozen layer; those behind it run in every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_until: Option<String>,
    /// How it is trained with the method; `None` where it is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finetuning: Option<Finetuning>,
    /// Where its weights come from.
    pub weights: EncoderWeights,
}

/// How an encoder is trained with the method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finetuning {
    /// Factor on the learning rate.
    pub lr_scale: f64,
    /// What batch norms do, e.g. `frozen`; `None` where the encoder has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<String>,
}

/// Where an encoder's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderWeights {
    /// It has no weights, e.g. `none`.
    None,
    /// Drawn at random.
    Random,
    /// A file with this digest.
    Digest(String),
}

impl EncoderSummary {
    /// A frozen encoder in f32, to be changed where a run differs.
    pub fn frozen(name: &str, weights: EncoderWeights) -> Self {
        let f32 = || "f32".to_owned();
        Self {
            name: name.to_owned(),
            image_size: None,
            pooling: None,
            max_tokens: None,
            dtype: f32(),
            cache_dtype: f32(),
            views: None,
            frozen_until: None,
            finetuning: None,
            weights,
        }
    }

    /// The encoder in phrases, the most important first.
    pub(crate) fn phrases(&self) -> Vec<String> {
        let other = |dtype: &String| (dtype != "f32").then(|| dtype.clone());
        let phrases = [
            Some(self.subject()),
            self.image_size.map(|size| format!("{size} px")),
            self.pooling.as_ref().map(|pooling| format!("{pooling} pooling")),
            self.max_tokens.map(|most| format!("at most {most} tokens")),
            other(&self.dtype).map(|dtype| format!("computed in {dtype}")),
            other(&self.cache_dtype).map(|dtype| format!("features stored in {dtype}")),
            self.views.map(|views| format!("{} per training item", counted(views, "stored view"))),
            self.frozen_until.as_ref().map(|layer| format!("layers behind {layer} run in every step")),
            self.finetuning.as_ref().map(|tuning| format!("learning rate × {}", tuning.lr_scale)),
            self.finetuning.as_ref().and_then(|tuning| Some(format!("batch norm: {}", tuning.norm.as_ref()?))),
            self.weights_phrase(),
        ];
        phrases.into_iter().flatten().collect()
    }

    fn subject(&self) -> String {
        match (self.name.as_str(), &self.finetuning) {
            ("none", _) => "none (features of the data set)".to_owned(),
            (name, None) => format!("{name}, frozen"),
            (name, Some(_)) => format!("{name}, trained with the method"),
        }
    }

    fn weights_phrase(&self) -> Option<String> {
        match &self.weights {
            EncoderWeights::None => None,
            EncoderWeights::Random => Some("random weights".to_owned()),
            EncoderWeights::Digest(digest) => Some(format!("weights {}", short(digest))),
        }
    }
}
