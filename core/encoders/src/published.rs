//! Sources of weights: files on the Hugging Face hub, and libraries that have the networks.
//!
//! Revisions, digests and sizes are those that at least two independent public sources state, among them the hub's own
//! pages. Where no source was found for a digest, the file has none here, and the first fetch records it.

use hashlab_hub::{File, Kind, Published};

use crate::EncoderEntry;

pub(crate) const MOBILENET_V2: Published = model(
    "timm/mobilenetv2_100.ra_in1k",
    "f3ff81ba89de0bc46b546568ebeab2edef6b9d49",
    "Apache-2.0",
    &[File {
        name: "model.safetensors",
        place: "weights/mobilenetv2_100.ra_in1k.safetensors",
        sha256: Some("55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e"),
        megabytes: 14.2,
    }],
);

/// torchvision's IMAGENET1K_V1, as the next three.
pub(crate) const RESNET18: Published = model(
    "timm/resnet18.tv_in1k",
    "a987fd6b60f845221bfff84b6f0191273ba56ead",
    "BSD-3-Clause",
    &[File {
        name: "model.safetensors",
        place: "weights/resnet18.tv_in1k.safetensors",
        sha256: Some("694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"),
        megabytes: 46.8,
    }],
);

pub(crate) const RESNET34: Published = model(
    "timm/resnet34.tv_in1k",
    "main",
    "BSD-3-Clause",
    &[File { name: "model.safetensors", place: "weights/resnet34.tv_in1k.safetensors", sha256: None, megabytes: 87.3 }],
);

pub(crate) const RESNET50: Published = model(
    "timm/resnet50.tv_in1k",
    "aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8",
    "BSD-3-Clause",
    &[File {
        name: "model.safetensors",
        place: "weights/resnet50.tv_in1k.safetensors",
        sha256: Some("5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"),
        megabytes: 102.5,
    }],
);

pub(crate) const RESNET101: Published = model(
    "timm/resnet101.tv_in1k",
    "main",
    "BSD-3-Clause",
    &[File {
        name: "model.safetensors",
        place: "weights/resnet101.tv_in1k.safetensors",
        sha256: None,
        megabytes: 179.0,
    }],
);

/// torchvision's IMAGENET1K_V1, under timm's names.
pub(crate) const VGG16: Published = model(
    "timm/vgg16.tv_in1k",
    "3394518cba29aee1ea82a49d971be90d2dd1dab7",
    "BSD-3-Clause",
    &[File {
        name: "model.safetensors",
        place: "weights/vgg16.tv_in1k.safetensors",
        sha256: Some("57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8"),
        megabytes: 553.0,
    }],
);

/// The commit is that of a pull request (refs/pr/15): the main branch has no safetensors file.
pub(crate) const CLIP_VIT_B_32: Published = model(
    "openai/clip-vit-base-patch32",
    "b33cedfd0df4e43b8238760678fcc89e1a0d38b3",
    "MIT as the code of openai/CLIP; the hub states none",
    &[File {
        name: "model.safetensors",
        place: "weights/clip_vit_b_32/model.safetensors",
        sha256: Some("99d28a652e6ec46629ab7047a0ac82c69b1fe11e0ce672c43af65d3a9a3fc05d"),
        megabytes: 605.2,
    }],
);

/// The same file, and the tokenizer.
pub(crate) const TEXT_CLIP_VIT_B_32: Published = model(
    "openai/clip-vit-base-patch32",
    "b33cedfd0df4e43b8238760678fcc89e1a0d38b3",
    "MIT as the code of openai/CLIP; the hub states none",
    &[
        File {
            name: "model.safetensors",
            place: "weights/clip_vit_b_32/model.safetensors",
            sha256: Some("99d28a652e6ec46629ab7047a0ac82c69b1fe11e0ce672c43af65d3a9a3fc05d"),
            megabytes: 605.2,
        },
        File {
            name: "tokenizer.json",
            place: "weights/clip_vit_b_32/tokenizer.json",
            sha256: Some("b556ac8c99757ffb677208af34bc8c6721572114111a6e0aaf5fa69ff0b8d842"),
            megabytes: 2.2,
        },
    ],
);

/// The commit is that of a pull request (refs/pr/17): the main branch has no safetensors file.
pub(crate) const CLIP_VIT_B_16: Published = model(
    "openai/clip-vit-base-patch16",
    "5ef227a78de3f75873f373246dac80def63b0003",
    "MIT as the code of openai/CLIP; the hub states none",
    &[File {
        name: "model.safetensors",
        place: "weights/clip_vit_b_16/model.safetensors",
        sha256: None,
        megabytes: 599.0,
    }],
);

/// The same file, and the tokenizer.
pub(crate) const TEXT_CLIP_VIT_B_16: Published = model(
    "openai/clip-vit-base-patch16",
    "5ef227a78de3f75873f373246dac80def63b0003",
    "MIT as the code of openai/CLIP; the hub states none",
    &[
        File {
            name: "model.safetensors",
            place: "weights/clip_vit_b_16/model.safetensors",
            sha256: None,
            megabytes: 599.0,
        },
        File { name: "tokenizer.json", place: "weights/clip_vit_b_16/tokenizer.json", sha256: None, megabytes: 2.2 },
    ],
);

/// The repository's file for open_clip, whose digest more sources state than that of the file for transformers.
pub(crate) const LAION_CLIP_VIT_B_32: Published =
    model("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "1a25a446712ba5ee05982a381eed697ef9b435cf", "MIT", &[LAION_WEIGHTS]);

/// The same file, and the tokenizer.
pub(crate) const TEXT_LAION_CLIP_VIT_B_32: Published = model(
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "1a25a446712ba5ee05982a381eed697ef9b435cf",
    "MIT",
    &[
        LAION_WEIGHTS,
        File {
            name: "tokenizer.json",
            place: "weights/laion_clip_vit_b_32/tokenizer.json",
            sha256: None,
            megabytes: 2.2,
        },
    ],
);

const LAION_WEIGHTS: File = File {
    name: "open_clip_model.safetensors",
    place: "weights/laion_clip_vit_b_32/open_clip_model.safetensors",
    sha256: Some("ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6"),
    megabytes: 605.1,
};

pub(crate) const SIGLIP_BASE_16: Published = model(
    "google/siglip-base-patch16-224",
    "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed",
    "Apache-2.0",
    &[File {
        name: "model.safetensors",
        place: "weights/siglip_base_16/model.safetensors",
        sha256: Some("2c63cb7d1f2e95ba501893cbb8faeb4ea9a3af295498d35097126228659c2af8"),
        megabytes: 812.7,
    }],
);

/// The same file, and the tokenizer.
pub(crate) const TEXT_SIGLIP_BASE_16: Published = model(
    "google/siglip-base-patch16-224",
    "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed",
    "Apache-2.0",
    &[
        File {
            name: "model.safetensors",
            place: "weights/siglip_base_16/model.safetensors",
            sha256: Some("2c63cb7d1f2e95ba501893cbb8faeb4ea9a3af295498d35097126228659c2af8"),
            megabytes: 812.7,
        },
        File {
            name: "tokenizer.json",
            place: "weights/siglip_base_16/tokenizer.json",
            sha256: Some("c6e405cb7c670d56636a9402c81023a55bc6c3c53d89cf02b92f5c5005bfe920"),
            megabytes: 2.4,
        },
    ],
);

pub(crate) const DINOV2_S_14: Published = model(
    "facebook/dinov2-small",
    "ed25f3a31f01632728cabb09d1542f84ab7b0056",
    "Apache-2.0",
    &[File {
        name: "model.safetensors",
        place: "weights/dinov2_s_14.safetensors",
        sha256: Some("ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"),
        megabytes: 88.2,
    }],
);

pub(crate) const DINOV2_B_14: Published = model(
    "facebook/dinov2-base",
    "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
    "Apache-2.0",
    &[File {
        name: "model.safetensors",
        place: "weights/dinov2_b_14.safetensors",
        sha256: Some("d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841"),
        megabytes: 346.3,
    }],
);

pub(crate) const MINILM: Published = model(
    "sentence-transformers/all-MiniLM-L6-v2",
    "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    "Apache-2.0",
    &[
        File {
            name: "model.safetensors",
            place: "weights/minilm/model.safetensors",
            sha256: Some("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            megabytes: 90.9,
        },
        File {
            name: "tokenizer.json",
            place: "weights/minilm/tokenizer.json",
            sha256: Some("be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            megabytes: 0.5,
        },
    ],
);

pub(crate) const BERT_BASE: Published = model(
    "google-bert/bert-base-uncased",
    "86b5e0934494bd15c9632b12f734a8a67f723594",
    "Apache-2.0",
    &[
        File {
            name: "model.safetensors",
            place: "weights/bert_base/model.safetensors",
            sha256: Some("68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3"),
            megabytes: 440.4,
        },
        File {
            name: "tokenizer.json",
            place: "weights/bert_base/tokenizer.json",
            sha256: Some("ce64fce797c24f68df90b40a3f74f579b336a493db14bd583fd520ea0d8c9a98"),
            megabytes: 0.5,
        },
    ],
);

pub(crate) const DISTILBERT: Published = model(
    "distilbert/distilbert-base-uncased",
    "12040accade4e8a0f71eabdb258fecc2e7e948be",
    "Apache-2.0",
    &[
        File {
            name: "model.safetensors",
            place: "weights/distilbert/model.safetensors",
            sha256: Some("5e3f1108e3cb34ee048634875d8482665b65ac713291a7e32396fb18f6ff0063"),
            megabytes: 268.0,
        },
        File {
            name: "tokenizer.json",
            place: "weights/distilbert/tokenizer.json",
            sha256: Some("ce64fce797c24f68df90b40a3f74f579b336a493db14bd583fd520ea0d8c9a98"),
            megabytes: 0.5,
        },
    ],
);

/// Encoders whose weights torchvision has under the same name.
const TORCHVISION: &[&str] =
    &["mobilenet_v2", "squeezenet1_1", "resnet18", "resnet34", "resnet50", "resnet101", "vgg16", "alexnet", "vit_b_16"];

const fn model(repo: &'static str, revision: &'static str, license: &'static str, files: &'static [File]) -> Published {
    Published { kind: Kind::Model, repo, revision, license, files }
}

impl EncoderEntry {
    /// Its public weights on the hub, which an experiment means that names none: the weights file, then the tokenizer.
    pub fn published(&self) -> Option<&Published> {
        match self {
            Self::Image(entry) => entry.published.as_ref(),
            Self::Text(entry) => entry.published.as_ref(),
        }
    }

    /// Whether torchvision has weights that it reads, under the same name.
    pub fn is_in_torchvision(&self) -> bool {
        self.image().is_some() && TORCHVISION.contains(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ENCODERS;

    #[test]
    fn whoever_needs_weights_says_where_there_are_some() {
        for entry in ENCODERS {
            let sources = [entry.published().is_some(), entry.is_in_torchvision()];
            assert_eq!(entry.needs_weights(), sources.contains(&true), "{}", entry.name());
        }
        for name in TORCHVISION {
            assert!(ENCODERS.iter().any(|entry| entry.name() == *name), "`{name}` is an encoder");
        }
    }

    /// An entry that is written as another with some differences must not keep the other's files.
    #[test]
    fn every_encoder_has_files_of_its_own() {
        let mut owners = BTreeMap::new();
        for entry in ENCODERS {
            for file in entry.published().into_iter().flat_map(|published| published.files) {
                let owner = owners.entry(file.place).or_insert(entry.name());
                assert_eq!(*owner, entry.name(), "{}", file.place);
            }
            let files = entry.published().map_or(0, |published| published.files.len());
            let reads = usize::from(entry.needs_weights()) + usize::from(entry.text().is_some());
            assert!(files == 0 || files == reads, "{} reads {reads} files", entry.name());
        }
    }
}
