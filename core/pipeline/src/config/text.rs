//! The section `[text]`.

use hashlab_cache::CacheDtype;
use hashlab_data::Modality;
use hashlab_encoders::{EncoderEntry, Pooling, TextEntry};
use hashlab_settings::{Params, Schema, Settings, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NO_ENCODER;
use super::compute_dtype::ComputeDtype;
use super::known::{check_trainable, read, unknown};

/// The section `[text]`: the encoder between texts and methods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextConfig {
    /// Network: `hashlab encoders` lists them. `none` passes the features of the data set through. Of an item with
    /// several captions, training draws one per step; codes are those of the first.
    pub encoder: String,
    /// File with the network's weights: a path, a name in the `weights` folder of the data directory, or an address on the
    /// Hugging Face hub (`hf://org/name@revision/model.safetensors`). Not set: the encoder's public weights.
    pub weights: Option<String>,
    /// File of the tokenizer, `tokenizer.json` or the `vocab.txt` of an uncased BERT: a path, a name in the `weights`
    /// folder, or an address on the hub. Not set: the one in the folder of the weights.
    pub tokenizer: Option<String>,
    /// Pooling of the token features into those of the text. Not set: the encoder's own.
    pub pooling: Option<PoolingMode>,
    /// Largest number of tokens of a text, including those that mark its start and end; further ones are dropped. Not
    /// set: the encoder's own number.
    #[schemars(range(min = 3, max = 65_536))]
    pub max_tokens: Option<usize>,
    /// Format of stored features: `f32`, or `f16` in half the space, which rounds them to 11 bits.
    pub cache_dtype: CacheDtype,
    /// Type in which the network computes features: `f32`; `bf16`, which rounds weights and activations to 8 bits and
    /// is faster on GPUs, while a CPU is much slower with it; or `tf32`, on GPUs only: `f32` whose products round their
    /// factors to 11 bits. With `finetune`, `bf16` keeps weights and the optimizer's moments in f32 (mixed precision);
    /// `tf32` is refused. Heads compute in f32.
    pub dtype: ComputeDtype,
    /// Whether a run trains the network along with its method. Shallow methods, and every run without this, use
    /// features of the frozen network.
    #[schemars(extend("appliesTo" = "deep"))]
    pub finetune: bool,
    /// `finetune`: factor on the learning rate for the network.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub lr_scale: f64,
    /// Digest of the weights; filled in when the experiment is planned.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the tokenizer; filled in when the experiment is planned.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer_digest: Option<String>,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            encoder: NO_ENCODER.into(),
            weights: None,
            tokenizer: None,
            pooling: None,
            max_tokens: None,
            cache_dtype: CacheDtype::F32,
            dtype: ComputeDtype::F32,
            finetune: false,
            lr_scale: 1.0,
            digest: None,
            tokenizer_digest: None,
        }
    }
}

impl Params for TextConfig {
    fn check(&self) -> Violations {
        Violations::none().require(
            !self.finetune || self.dtype != ComputeDtype::Tf32,
            ["finetune", "dtype"],
            "`finetune` trains in `f32` or `bf16`: `tf32` is a type of frozen networks",
        )
    }

    fn inactive(&self) -> Vec<&'static str> {
        if self.encoder == NO_ENCODER {
            return vec![
                "weights",
                "tokenizer",
                "pooling",
                "max_tokens",
                "cache_dtype",
                "dtype",
                "finetune",
                "lr_scale",
            ];
        }
        vec![if self.finetune { "cache_dtype" } else { "lr_scale" }]
    }
}

/// Pooling of the token features into those of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolingMode {
    /// Their mean.
    Mean,
    /// The features of the first token.
    First,
    /// The features of the last token.
    Last,
    /// The features of the first token through the dense layer `pooler` of BERT's files.
    Pooler,
}

impl From<PoolingMode> for Pooling {
    fn from(mode: PoolingMode) -> Self {
        match mode {
            PoolingMode::Mean => Self::Mean,
            PoolingMode::First => Self::First,
            PoolingMode::Last => Self::Last,
            PoolingMode::Pooler => Self::Pooler,
        }
    }
}

impl From<Pooling> for PoolingMode {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Mean => Self::Mean,
            Pooling::First => Self::First,
            Pooling::Last => Self::Last,
            Pooling::Pooler => Self::Pooler,
        }
    }
}

/// The schema of `[text]` for the registered encoders.
pub fn text_schema(encoders: &'static [EncoderEntry]) -> Schema {
    Schema::of::<TextConfig>().with_rules(move |settings: &Settings| match read::<TextConfig>(settings) {
        Some(config) if config.encoder != NO_ENCODER => fits(&config, encoders),
        _ => Violations::none(),
    })
}

/// Checks the rules of the chosen network.
fn fits(config: &TextConfig, encoders: &'static [EncoderEntry]) -> Violations {
    let name = &config.encoder;
    let Some(network) = encoders.iter().filter_map(EncoderEntry::text).find(|entry| entry.name == name) else {
        return unknown(Modality::Text, name, encoders);
    };
    let poolings: Vec<String> = network.poolings.iter().map(|pooling| format!("`{}`", pooling.name())).collect();
    Violations::none()
        .require(
            config.pooling.is_none_or(|pooling| network.poolings.contains(&pooling.into())),
            ["pooling", "encoder"],
            format!("`pooling` of `{name}` must be {}", poolings.join(" or ")),
        )
        .and(tokens_fit(config, network))
        .and(check_trainable(Modality::Text, config.finetune, name, encoders))
}

fn tokens_fit(config: &TextConfig, network: &TextEntry) -> Violations {
    let (name, most) = (network.name, network.positions);
    let max_tokens = config.max_tokens.unwrap_or(network.max_tokens);
    let filled = network.padding.is_some() && max_tokens != network.max_tokens;
    let rule = match filled {
        true => format!("must be {} for `{name}`, which fills every text up to it", network.max_tokens),
        false => format!("must be at most {most} for `{name}`, the positions that it has"),
    };
    let keys = ["max_tokens", "encoder"];
    Violations::none().require(!filled && max_tokens <= most, keys, format!("`max_tokens` {rule}"))
}

#[cfg(test)]
mod tests {
    use hashlab_encoders::ENCODERS;
    use serde_json::{Value, json};

    use super::*;

    fn broken(settings: Value) -> String {
        text_schema(ENCODERS).check(settings.as_object().unwrap()).to_string()
    }

    #[test]
    fn tokens_are_no_more_than_the_network_has_positions() {
        assert_eq!(broken(json!({ "encoder": "minilm", "max_tokens": 512 })), "");
        let message = "`max_tokens` must be at most 512 for `minilm`, the positions that it has";
        assert_eq!(broken(json!({ "encoder": "minilm", "max_tokens": 513 })), message);
        assert_eq!(broken(json!({ "encoder": "siglip_base_16", "max_tokens": 64 })), "");
        let message = "`max_tokens` must be 64 for `siglip_base_16`, which fills every text up to it";
        assert_eq!(broken(json!({ "encoder": "siglip_base_16", "max_tokens": 32 })), message);
    }

    #[test]
    fn poolings_are_those_of_the_network() {
        assert_eq!(broken(json!({ "encoder": "distilbert", "pooling": "mean" })), "");
        let message = broken(json!({ "encoder": "distilbert", "pooling": "pooler" }));
        assert_eq!(message, "`pooling` of `distilbert` must be `first` or `mean`");
        assert!(broken(json!({ "encoder": "minilm", "pooling": "max" })).contains("`pooling` must be"));
        for pooling in Pooling::ALL {
            let mode: PoolingMode = serde_json::from_value(json!(pooling.name())).unwrap();
            assert_eq!(Pooling::from(mode), pooling);
        }
    }

    #[test]
    fn an_encoder_of_images_is_none_of_texts() {
        let message = broken(json!({ "encoder": "resnet18" }));
        assert!(message.contains("`resnet18` encodes images") && message.contains("bert_base"), "{message}");
        let message = broken(json!({ "encoder": "minilm_l6" }));
        assert!(message.contains("did you mean `minilm`?"), "{message}");
        assert_eq!(broken(json!({ "encoder": "clip_vit_b_32" })), "");
        assert_eq!(broken(json!({ "encoder": "none" })), "");
    }

    #[test]
    fn every_key_changes_nothing_without_an_encoder() {
        let schema = text_schema(ENCODERS);
        let inactive = schema.inactive(&schema.defaults);
        let others: Vec<&str> = schema.defaults.keys().map(String::as_str).filter(|key| *key != "encoder").collect();
        assert_eq!(inactive, others);
    }
}
