//! Where weights come from: files on the Hugging Face hub, and libraries that have the networks.

use hashlab_hub::{File, Kind, Published};

use crate::EncoderEntry;

/// Files of encoders of images. All were trained at 224 pixels, with the mean and deviation of ImageNet and symmetric
/// padding. A file is listed here only if its revision and digest were verified.
const PUBLISHED: &[(&str, Published)] = &[
    (
        "mobilenet_v2",
        weights(
            "timm/mobilenetv2_100.ra_in1k",
            "f3ff81ba89de0bc46b546568ebeab2edef6b9d49",
            "Apache-2.0",
            &[File {
                name: "model.safetensors",
                place: "weights/mobilenetv2_100.ra_in1k.safetensors",
                sha256: "55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e",
                megabytes: 14.2,
            }],
        ),
    ),
    (
        "resnet50", // torchvision's IMAGENET1K_V1
        weights(
            "timm/resnet50.tv_in1k",
            "aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8",
            "BSD-3-Clause",
            &[File {
                name: "model.safetensors",
                place: "weights/resnet50.tv_in1k.safetensors",
                sha256: "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
                megabytes: 102.5,
            }],
        ),
    ),
];

/// Models on the hub whose files, saved as safetensors by Hugging Face's transformers, have the names and shapes that
/// an encoder reads. They are not downloaded: no revision of theirs was verified.
const MODELS: &[(&str, &str)] = &[
    ("clip_vit_b_32", "openai/clip-vit-base-patch32"),
    ("clip_vit_b_16", "openai/clip-vit-base-patch16"),
    ("siglip_base_16", "google/siglip-base-patch16-224"),
    ("dinov2_s_14", "facebook/dinov2-small"),
    ("dinov2_b_14", "facebook/dinov2-base"),
    ("minilm", "sentence-transformers/all-MiniLM-L6-v2"),
    ("bert_base", "google-bert/bert-base-uncased"),
    ("distilbert", "distilbert/distilbert-base-uncased"),
];

/// Encoders whose weights torchvision has under the same name.
const TORCHVISION: &[&str] =
    &["mobilenet_v2", "squeezenet1_1", "resnet18", "resnet34", "resnet50", "resnet101", "vgg16", "alexnet", "vit_b_16"];

const fn weights(
    repo: &'static str,
    revision: &'static str,
    license: &'static str,
    files: &'static [File],
) -> Published {
    Published { kind: Kind::Model, repo, revision, license, files }
}

impl EncoderEntry {
    /// Its weights on the hub, if a file that it reads is there and was verified.
    pub fn published(&self) -> Option<&'static Published> {
        self.image()?;
        of_name(PUBLISHED, self.name())
    }

    /// The model on the hub, to be saved by Hugging Face's transformers, whose weights it reads.
    pub fn hub_model(&self) -> Option<&'static str> {
        of_name(MODELS, self.name()).copied()
    }

    /// Whether torchvision has weights that it reads, under the same name.
    pub fn is_in_torchvision(&self) -> bool {
        self.image().is_some() && TORCHVISION.contains(&self.name())
    }
}

fn of_name<T>(list: &'static [(&'static str, T)], name: &str) -> Option<&'static T> {
    list.iter().find(|(of, _)| *of == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ENCODERS;

    #[test]
    fn whoever_needs_weights_says_where_there_are_some() {
        for entry in ENCODERS {
            let sources = [entry.published().is_some(), entry.hub_model().is_some(), entry.is_in_torchvision()];
            assert_eq!(entry.needs_weights(), sources.contains(&true), "{}", entry.name());
        }
        let names = PUBLISHED.iter().map(|(name, _)| *name).chain(MODELS.iter().map(|(name, _)| *name));
        for name in names.chain(TORCHVISION.iter().copied()) {
            assert!(ENCODERS.iter().any(|entry| entry.name() == name), "`{name}` is an encoder");
        }
    }
}
