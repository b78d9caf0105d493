//! Invented sections, typed as real ones are.

use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[image]`. Planning puts a digest in the place of `weights`; a grey encoder needs none.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ImageEncoder {
    encoder: String,
    weights: Option<String>,
    /// Side of the input in pixels.
    #[schemars(range(min = 8, max = 1024))]
    image_size: usize,
    #[schemars(range(min = 1), extend("appliesTo" = "augmented"))]
    views: usize,
    #[schemars(extend("appliesTo" = "deep"))]
    finetune: bool,
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<usize>,
}

impl Default for ImageEncoder {
    fn default() -> Self {
        Self { encoder: "tiny".into(), weights: None, image_size: 32, views: 2, finetune: false, digest: None }
    }
}

impl Params for ImageEncoder {
    fn check(&self) -> Violations {
        let fits = self.encoder != "fixed" || self.image_size == 224;
        Violations::none().require(fits, ["image_size", "encoder"], "`image_size` must be 224 for `fixed`")
    }

    fn inactive(&self) -> Vec<&'static str> {
        match self.encoder.as_str() {
            "grey" => vec!["digest"],
            "none" => vec!["weights", "image_size", "views", "finetune", "digest"],
            _ => Vec::new(),
        }
    }
}

/// `[text]`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TextEncoder {
    encoder: String,
    #[schemars(range(min = 1, max = 512))]
    max_tokens: usize,
}

impl Default for TextEncoder {
    fn default() -> Self {
        Self { encoder: "words".into(), max_tokens: 32 }
    }
}

impl Params for TextEncoder {
    fn inactive(&self) -> Vec<&'static str> {
        if self.encoder == "none" { vec!["max_tokens"] } else { Vec::new() }
    }
}

/// `[train]`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Train {
    #[schemars(range(min = 1))]
    epochs: usize,
    /// Epochs of a
    /// growing learning rate.
    warmup: usize,
    #[schemars(range(min = 1))]
    batch_size: usize,
    rate: f64,
    nesterov: bool,
    #[schemars(inner(range(min = 0, max = 1)))]
    drops: Vec<f64>,
    /// The longest gradient.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    clip: Option<f64>,
}

impl Default for Train {
    fn default() -> Self {
        let (epochs, warmup, batch_size) = (100, 10, 64);
        Self { epochs, warmup, batch_size, rate: 0.001, nesterov: false, drops: vec![0.5], clip: None }
    }
}

impl Params for Train {
    fn check(&self) -> Violations {
        let fits = self.warmup <= self.epochs;
        Violations::none().require(fits, ["warmup", "epochs"], "`warmup` must not exceed `epochs`")
    }

    fn inactive(&self) -> Vec<&'static str> {
        if self.nesterov { vec!["warmup", "drops"] } else { Vec::new() }
    }
}

/// `[eval]`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Eval {
    map_at: Depth,
    curves: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Depth {
    Named(NamedDepth),
    Rank(#[schemars(range(min = 1))] usize),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum NamedDepth {
    Protocol,
    All,
}

impl Default for Eval {
    fn default() -> Self {
        Self { map_at: Depth::Named(NamedDepth::Protocol), curves: true }
    }
}

impl Params for Eval {}

/// `[data]` of every data set but `mine`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Data {
    #[schemars(range(min = 1))]
    size: usize,
}

impl Default for Data {
    fn default() -> Self {
        Self { size: 1000 }
    }
}

impl Params for Data {}

/// `[data]` of `mine`.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mine {
    pub(crate) folder: Option<String>,
}

impl Params for Mine {}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Loss {
    Cosine,
    Hinge,
}

/// Hyperparameters of `waves`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Waves {
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    tau: f64,
    low: f64,
    high: f64,
    #[schemars(range(min = 1))]
    steps: usize,
    loss: Loss,
}

impl Default for Waves {
    fn default() -> Self {
        Self { tau: 0.3, low: 0.1, high: 0.9, steps: 20, loss: Loss::Cosine }
    }
}

impl Params for Waves {
    fn check(&self) -> Violations {
        Violations::none().require(self.low < self.high, ["low", "high"], "`low` must be below `high`")
    }

    fn inactive(&self) -> Vec<&'static str> {
        if matches!(self.loss, Loss::Hinge) { vec!["low", "high"] } else { Vec::new() }
    }
}

/// Hyperparameters of `prism`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prism {
    #[schemars(range(min = 1))]
    rounds: usize,
}

impl Default for Prism {
    fn default() -> Self {
        Self { rounds: 50 }
    }
}

impl Params for Prism {}
