//! A generated data set with the roles of CIBHash's protocol on CIFAR-10, and images so small that extracting their
//! features takes seconds.

use std::path::PathBuf;

use hashlab_data::{
    ByModality, DataDirs, DataError, DataKind, Dataset, DatasetInfo, DatasetSource, DatasetSummary, Images, ItemData,
    Labels, Modality, Protocol, Rgb, Roles, Split,
};
use hashlab_rng::stream;
use hashlab_settings::NoParams;

const CLASSES: usize = 10;
/// Pixels per row, and rows.
pub const SIZE: usize = 16;
/// Items 0 to 5,000 are trained on; they are in the database too, as in CIBHash's code.
const TRAIN: u32 = 5_000;
const DATABASE: u32 = 50_000;
const QUERIES: u32 = 5_000;
/// Fields of one color per row, and rows: so few that crops of an image resemble it.
const FIELDS: usize = 2;
/// Weight of an item's own colors beside its class's: enough that classes overlap.
const NOISE: f64 = 0.5;

/// Colored fields: those of an item are those of its class and its own, mixed.
pub struct Synthetic {
    info: DatasetInfo,
    labels: Labels,
    classes: Vec<Vec<f64>>,
}

impl Synthetic {
    /// Opens the data set.
    pub fn new() -> Self {
        let items = (DATABASE + 2 * QUERIES) as usize;
        let classes = (0..CLASSES as u64).map(|class| colors("class", class)).collect();
        Self { info: info(), labels: Labels::single(CLASSES, (0..items).map(|item| item % CLASSES)), classes }
    }
}

impl Default for Synthetic {
    fn default() -> Self {
        Self::new()
    }
}

/// Draws the colors of all fields.
fn colors(of: &str, index: u64) -> Vec<f64> {
    let mut values = stream(0, of, &[index]);
    (0..FIELDS * FIELDS * 3).map(|_| values.uniform()).collect()
}

/// Identity of the content; raised when items or labels change.
const IDENTITY: &str = "synthetic-v1";

/// The name of the only protocol.
pub const PROTOCOL: &str = "cibhash";

fn info() -> DatasetInfo {
    let description = "5,000 items to train on, 50,000 in the database, 5,000 validation and 5,000 test queries";
    DatasetInfo {
        identity: IDENTITY.to_owned(),
        modalities: ByModality::one(Modality::Image, DataKind::Pixels),
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        protocols: vec![Protocol::new(PROTOCOL, description, Some(1_000))],
    }
}

impl DatasetSource for Synthetic {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: "synthetic",
        title: "Synthetic",
        description: "colored fields on 16 × 16 pixels, 10 classes",
        source: "generated",
        license: "MIT OR Apache-2.0, as hashlab",
        citation: "cite hashlab",
    };
    type Settings = NoParams;

    fn declared(_: &NoParams) -> Option<DatasetInfo> {
        Some(info())
    }

    fn open(_: &NoParams, _: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(Self::new()))
    }
}

impl Images for Synthetic {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        let (class, own) = (&self.classes[index % CLASSES], colors("item", index as u64));
        let field = |at: usize| at * FIELDS / SIZE;
        let value = |i: usize| {
            let (y, x, channel) = (i / (3 * SIZE), i / 3 % SIZE, i % 3);
            let at = (field(y) * FIELDS + field(x)) * 3 + channel;
            (255.0 * (NOISE * own[at] + (1.0 - NOISE) * class[at])) as u8
        };
        let pixels = (0..SIZE * SIZE * 3).map(value).collect();
        Ok(Rgb { width: SIZE, height: SIZE, pixels })
    }
}

impl Dataset for Synthetic {
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
        Ok(IDENTITY)
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        self.info.protocol(protocol)?;
        let validation = DATABASE..DATABASE + QUERIES;
        let roles = Roles {
            train: (0..TRAIN).collect(),
            query: (validation.end..validation.end + QUERIES).collect(),
            validation_query: Some(validation.collect()),
            database: (0..DATABASE).collect(),
        };
        roles.into_split(self.len(), split_seed)
    }

    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
