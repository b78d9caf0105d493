//! A data set for tests: grey pixels, every other item with two labels.

use std::path::PathBuf;

use hashlab_settings::Params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ByModality, DataDirs, DataError, DataKind, Dataset, DatasetInfo, DatasetSource, DatasetSummary, Images, ItemData,
    Labels, Modality, Protocol, Rgb, Roles, Split, draw,
};

pub(crate) struct Fake {
    info: DatasetInfo,
    labels: Labels,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FakeSettings {
    /// Number of items, in a sentence
    /// of two lines.
    #[schemars(range(min = 20))]
    items: usize,
    /// Whether odd items have a second label.
    odd: bool,
}

impl Default for FakeSettings {
    fn default() -> Self {
        Self { items: 40, odd: false }
    }
}

impl Params for FakeSettings {}

impl DatasetSource for Fake {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: "fake",
        title: "Fake",
        description: "grey pixels",
        source: "generated",
        license: "none",
        citation: "none",
    };
    type Settings = FakeSettings;

    fn declared(_: &FakeSettings) -> Option<DatasetInfo> {
        Some(DatasetInfo {
            identity: "fake-v1".into(),
            modalities: ByModality::one(Modality::Image, DataKind::Pixels),
            classes: vec!["even".into(), "odd".into()],
            protocols: vec![Protocol::new("fake", "a quarter are queries", None)],
        })
    }

    fn open(settings: &FakeSettings, _: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        let first = usize::from(settings.odd);
        let labels = Labels::multi(2, (0..settings.items).map(|i| if i % 2 == first { vec![0, 1] } else { vec![0] }));
        Ok(Box::new(Self { info: Self::declared(settings).expect("it is declared"), labels }))
    }
}

impl Images for Fake {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        Ok(Rgb { width: 1, height: 1, pixels: vec![index as u8; 3] })
    }
}

impl Dataset for Fake {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        (modality == Modality::Image).then_some(ItemData::Images(self))
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok("fake")
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        self.info.protocol(protocol)?;
        let ([query], rest) = draw::overall(self.len(), split_seed, [self.len() / 4])?;
        let roles = Roles { train: rest.clone(), validation_query: None, query, database: rest };
        roles.into_split(self.len(), split_seed)
    }

    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
