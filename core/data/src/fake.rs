//! A data set for tests: grey pixels, every other item with two labels.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DataDirs, DataError, Dataset, Info, Labels, Protocol, Rgb, Roles, Settings, Source, Split, draw};

pub(crate) struct Fake {
    labels: Labels,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FakeSettings {
    /// Number of items, in a sentence
    /// of two lines.
    items: usize,
    /// Whether odd items have a second label.
    odd: bool,
}

impl Default for FakeSettings {
    fn default() -> Self {
        Self { items: 40, odd: false }
    }
}

impl Settings for FakeSettings {
    fn check(&self) -> Result<(), String> {
        if self.items < 20 { Err("`items` must be at least 20".into()) } else { Ok(()) }
    }
}

impl Source for Fake {
    const INFO: Info = Info {
        name: "fake",
        title: "grey pixels",
        source: "generated",
        licence: "none",
        citation: "none",
        identity: "fake-v1",
        classes: &["even", "odd"],
        captions: false,
        protocols: &[Protocol { name: "fake", description: "a quarter are queries", map_at: 0 }],
    };
    type Settings = FakeSettings;

    fn open(settings: &FakeSettings, _: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        let first = usize::from(settings.odd);
        let labels = Labels::multi(2, (0..settings.items).map(|i| if i % 2 == first { vec![0, 1] } else { vec![0] }));
        Ok(Box::new(Self { labels }))
    }
}

impl Dataset for Fake {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        Ok(Rgb { width: 1, height: 1, pixels: vec![index as u8; 3] })
    }

    fn caption(&self, _: usize) -> Option<String> {
        None
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok("fake")
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        Fake::INFO.protocol(protocol)?;
        let ([query], rest) = draw::overall(self.len(), split_seed, [self.len() / 4])?;
        let roles = Roles { train: rest.clone(), validation_query: None, query, database: rest };
        roles.into_split(self.len(), split_seed)
    }

    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
