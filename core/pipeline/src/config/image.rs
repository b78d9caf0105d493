//! The section `[image]`.

use hashlab_cache::CacheDtype;
use hashlab_data::Modality;
use hashlab_encoders::{EncoderEntry, ImageEntry};
use hashlab_settings::{Params, Schema, Settings, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NO_ENCODER;
use super::compute_dtype::ComputeDtype;
use super::known::{check_trainable, read, unknown};

/// The section `[image]`: the encoder between pixels and methods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageConfig {
    /// Network: `hashlab encoders` lists them. `none` passes the features of the data set through.
    pub encoder: String,
    /// File with the network's weights: a path, a name in the `weights` folder of the data directory, or an address on the
    /// Hugging Face hub (`hf://org/name@revision/model.safetensors`). Not set: the encoder's public weights, or with
    /// `finetune` random ones.
    pub weights: Option<String>,
    /// Side of the square input in pixels. Not set: the encoder's own.
    #[schemars(range(min = 8, max = 2048))]
    pub image_size: Option<usize>,
    /// Augmented views kept per training item. A step draws its pair from them; with twice as many views as epochs
    /// every epoch has views of its own, as on-line augmentation would draw.
    #[schemars(range(min = 1, max = 10_000), extend("appliesTo" = "augmented"))]
    pub views: usize,
    /// Format of stored features: `f32`, or `f16` in half the space, which rounds them to 11 bits.
    pub cache_dtype: CacheDtype,
    /// Type in which the network computes features: `f32`; `bf16`, which rounds weights and activations to 8 bits and
    /// is faster on GPUs, while a CPU is much slower with it; or `tf32`, on GPUs only: `f32` whose products round their
    /// factors to 11 bits. With `finetune`, `bf16` keeps weights and the optimizer's moments in f32 (mixed precision)
    /// and needs frozen batch norms; `tf32` is refused. Heads, and layers behind `frozen_until`, compute in f32.
    pub dtype: ComputeDtype,
    /// Layer up to which features are stored; the layers behind it run in every step with their dropouts, as in
    /// CIBHash's reference code with `frozen_until = "fc6"` of VGG-16. Not set: all layers are in the stored features.
    #[schemars(extend("appliesTo" = "deep"))]
    pub frozen_until: Option<String>,
    /// Whether a run trains the network along with its method, on images that are augmented in every step. Shallow
    /// methods, and every run without this, use features of the frozen network.
    #[schemars(extend("appliesTo" = "deep"))]
    pub finetune: bool,
    /// `finetune`: factor on the learning rate for the network.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub lr_scale: f64,
    /// `finetune`: batch norms use the statistics of the `batch`, or stay `frozen`, as they must with `train.devices`
    /// above 1, with `dtype = "bf16"`, or where the weights file has folded them into the convolutions. Weights of such a
    /// file hold the scale of the norm, so they learn at other rates than those of a file with the norms apart.
    pub norm: NormMode,
    /// Digest of the weights; filled in when the experiment is planned.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            encoder: "convnet".into(),
            weights: None,
            image_size: None,
            views: 10,
            cache_dtype: CacheDtype::F32,
            dtype: ComputeDtype::F32,
            frozen_until: None,
            finetune: false,
            lr_scale: 1.0,
            norm: NormMode::Batch,
            digest: None,
        }
    }
}

impl Params for ImageConfig {
    fn check(&self) -> Violations {
        Violations::none()
            .require(
                !self.finetune || self.encoder != NO_ENCODER,
                ["finetune", "encoder"],
                "`finetune` trains an encoder, and with `encoder = \"none\"` there is none",
            )
            .require(
                self.frozen_until.is_none() || !self.finetune,
                ["finetune", "frozen_until"],
                "`finetune` trains the whole network: leave `frozen_until` out",
            )
            .require(
                !self.finetune || self.dtype != ComputeDtype::Tf32,
                ["finetune", "dtype"],
                "`finetune` trains in `f32` or `bf16`: `tf32` is a type of frozen networks",
            )
    }

    fn inactive(&self) -> Vec<&'static str> {
        if self.encoder == NO_ENCODER {
            return vec![
                "weights",
                "image_size",
                "views",
                "cache_dtype",
                "dtype",
                "frozen_until",
                "finetune",
                "lr_scale",
                "norm",
            ];
        }
        match self.finetune {
            true => vec!["views", "cache_dtype"],
            false => vec!["lr_scale", "norm"],
        }
    }
}

/// Batch norms of a network that is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NormMode {
    /// Normalization by the statistics of the batch; the running ones follow.
    Batch,
    /// Normalization by the running statistics; weights and biases are constant.
    Frozen,
}

/// The schema of `[image]` for the registered encoders.
pub fn image_schema(encoders: &'static [EncoderEntry]) -> Schema {
    let rules = move |settings: &Settings| match read::<ImageConfig>(settings) {
        Some(config) if config.encoder != NO_ENCODER => fits(&config, encoders),
        _ => Violations::none(),
    };
    let inactive = move |settings: &Settings| {
        let config = read::<ImageConfig>(settings);
        let normed = config.and_then(|config| find(encoders, &config.encoder)).is_some_and(|entry| entry.normed);
        if normed { Vec::new() } else { vec!["norm"] }
    };
    Schema::of::<ImageConfig>().with_rules(rules).with_inactive(inactive)
}

fn find(encoders: &'static [EncoderEntry], name: &str) -> Option<&'static ImageEntry> {
    encoders.iter().filter_map(EncoderEntry::image).find(|entry| entry.name == name)
}

/// Checks the rules of the chosen network.
fn fits(config: &ImageConfig, encoders: &'static [EncoderEntry]) -> Violations {
    let name = &config.encoder;
    let Some(network) = find(encoders, name) else { return unknown(Modality::Image, name, encoders) };
    let only = network.only_size.filter(|only| config.image_size.is_some_and(|size| size != *only));
    let cut = network.cut.as_ref().map(|cut| cut.name);
    let statistics = config.finetune && network.normed && config.norm == NormMode::Batch;
    let dividable = cut.map_or("it cannot be divided".to_owned(), |cut| format!("known: `{cut}`"));
    Violations::none()
        .require(
            only.is_none(),
            ["image_size", "encoder"],
            format!("`image_size` must be {} for `{name}`, which takes no other", only.unwrap_or_default()),
        )
        .require(
            config.frozen_until.is_none() || config.frozen_until.as_deref() == cut,
            ["frozen_until", "encoder"],
            format!("`frozen_until` names no layer of `{name}`; {dividable}"),
        )
        .require(
            config.dtype != ComputeDtype::Bf16 || !statistics,
            ["dtype", "norm"],
            format!(
                "`dtype` must be `f32` while the batch norms of `{name}` are trained: `norm = \"frozen\"` allows `bf16`"
            ),
        )
        .and(check_trainable(Modality::Image, config.finetune, name, encoders))
}

#[cfg(test)]
mod tests {
    use hashlab_encoders::ENCODERS;
    use serde_json::{Value, json};

    use super::*;

    fn broken(settings: Value) -> String {
        image_schema(ENCODERS).check(settings.as_object().unwrap()).to_string()
    }

    #[test]
    fn a_network_of_one_size_takes_no_other() {
        assert_eq!(broken(json!({ "encoder": "vit_b_16" })), "");
        assert_eq!(broken(json!({ "encoder": "vit_b_16", "image_size": 224 })), "");
        let message = "`image_size` must be 224 for `vit_b_16`, which takes no other";
        assert_eq!(broken(json!({ "encoder": "vit_b_16", "image_size": 128 })), message);
    }

    #[test]
    fn only_networks_that_can_be_trained_are_known_to_finetune() {
        let message = broken(json!({ "encoder": "squeezenet1_1", "finetune": true }));
        assert!(message.contains("known: ") && message.contains("resnet18"), "{message}");
    }

    #[test]
    fn batch_norms_are_trained_in_f32_only() {
        let bf16 = |encoder: &str, norm: &str, finetune: bool| {
            broken(json!({ "encoder": encoder, "dtype": "bf16", "norm": norm, "finetune": finetune }))
        };
        assert_eq!(bf16("resnet18", "batch", false), "");
        assert_eq!(bf16("resnet18", "frozen", true), "");
        assert_eq!(bf16("vgg16", "batch", true), "");
        let message = bf16("resnet18", "batch", true);
        assert!(message.contains("`dtype` must be `f32` while the batch norms of `resnet18`"), "{message}");
    }

    #[test]
    fn tf32_is_for_frozen_networks() {
        let tf32 = |finetune: bool| broken(json!({ "encoder": "vgg16", "dtype": "tf32", "finetune": finetune }));
        assert_eq!(tf32(false), "");
        assert!(tf32(true).contains("`tf32` is a type of frozen networks"), "{}", tf32(true));
    }

    #[test]
    fn what_batch_norms_do_matters_where_there_are_some_and_they_are_trained() {
        let inactive = |settings: Value| {
            let schema = image_schema(ENCODERS);
            let mut complete = schema.defaults.clone();
            complete.extend(settings.as_object().unwrap().clone());
            schema.inactive(&complete).contains(&"norm")
        };
        assert!(!inactive(json!({ "encoder": "resnet18", "finetune": true })));
        assert!(inactive(json!({ "encoder": "vgg16", "finetune": true })));
        assert!(inactive(json!({ "encoder": "resnet18" })));
    }

    #[test]
    fn an_encoder_of_texts_is_none_of_images() {
        let message = broken(json!({ "encoder": "bert_base" }));
        assert!(message.contains("`bert_base` encodes texts") && message.contains("resnet18"), "{message}");
    }

    #[test]
    fn an_unknown_encoder_lists_the_known_ones() {
        assert!(broken(json!({ "encoder": "resnet19" })).contains("resnet18"));
        assert_eq!(broken(json!({ "encoder": "none" })), "");
    }
}
