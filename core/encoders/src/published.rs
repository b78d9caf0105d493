//! Weights on the Hugging Face hub.

use hashlab_hub::{File, Kind, Published};

use crate::Entry;

/// By backbone. All were trained at 224 pixels, with the mean and deviation of ImageNet and symmetric padding.
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

const fn weights(
    repo: &'static str,
    revision: &'static str,
    license: &'static str,
    files: &'static [File],
) -> Published {
    Published { kind: Kind::Model, repo, revision, license, files }
}

impl Entry {
    /// Its weights on the hub, if a file that it reads is there.
    pub fn published(&self) -> Option<&'static Published> {
        PUBLISHED.iter().find(|(name, _)| *name == self.name).map(|(_, published)| published)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_published_for_backbones_that_read_some() {
        for (name, _) in PUBLISHED {
            let entry = crate::find(name).unwrap_or_else(|| panic!("`{name}` is an encoder"));
            assert!(entry.needs_weights && entry.published().is_some(), "{name}");
        }
    }
}
