//! Weights on the Hugging Face hub.

use hashlab_hub::{File, Kind, Published};

use crate::Entry;

/// By backbone. timm's MobileNetV2: mean and deviation of ImageNet, symmetric padding, trained at 224 pixels.
const PUBLISHED: &[(&str, Published)] = &[(
    "mobilenet_v2",
    Published {
        kind: Kind::Model,
        repo: "timm/mobilenetv2_100.ra_in1k",
        revision: "f3ff81ba89de0bc46b546568ebeab2edef6b9d49",
        licence: "Apache-2.0",
        files: &[File {
            name: "model.safetensors",
            place: "weights/mobilenetv2_100.ra_in1k.safetensors",
            sha256: "55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e",
            megabytes: 14.2,
        }],
    },
)];

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
            let entry = crate::find(name).unwrap_or_else(|| panic!("`{name}` is a backbone"));
            assert!(entry.needs_weights && entry.published().is_some(), "{name}");
        }
    }
}
