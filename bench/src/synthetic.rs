//! A generated data set with the roles of CIBHash's protocol on CIFAR-10, and images so small that extracting their
//! features takes seconds.

use std::path::PathBuf;

use hashlab_data::{DataDirs, DataError, Dataset, Info, Labels, NoSettings, Protocol, Rgb, Roles, Source, Split};
use hashlab_rng::stream;

const CLASSES: usize = 10;
/// Pixels per row, and rows.
pub const SIZE: usize = 16;
/// Items 0 to 5,000 are trained on; they are in the database too, as in CIBHash's code.
const TRAIN: u32 = 5_000;
const DATABASE: u32 = 50_000;
const QUERIES: u32 = 5_000;
/// Fields of one colour per row, and rows: so few that crops of an image resemble it.
const FIELDS: usize = 2;
/// Weight of an item's own colours beside its class's: enough that classes overlap.
const NOISE: f64 = 0.5;

/// Coloured fields: those of an item are those of its class and its own, mixed.
pub struct Synthetic {
    labels: Labels,
    classes: Vec<Vec<f64>>,
}

impl Synthetic {
    /// Opens the data set.
    pub fn new() -> Self {
        let items = (DATABASE + 2 * QUERIES) as usize;
        let classes = (0..CLASSES as u64).map(|class| colours("class", class)).collect();
        Self { labels: Labels::single(CLASSES, (0..items).map(|item| item % CLASSES)), classes }
    }
}

impl Default for Synthetic {
    fn default() -> Self {
        Self::new()
    }
}

/// Draws the colours of all fields.
fn colours(of: &str, index: u64) -> Vec<f64> {
    let mut values = stream(0, of, &[index]);
    (0..FIELDS * FIELDS * 3).map(|_| values.uniform()).collect()
}

impl Source for Synthetic {
    const INFO: Info = Info {
        name: "synthetic",
        title: "coloured fields on 16 × 16 pixels, 10 classes",
        source: "generated",
        licence: "MIT OR Apache-2.0, as hashlab",
        citation: "cite hashlab",
        identity: "synthetic-v1",
        classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        captions: false,
        protocols: &[Protocol {
            name: "cibhash",
            description: "5,000 items to train on, 50,000 in the database, 5,000 validation and 5,000 test queries",
            map_at: 1_000,
        }],
    };
    type Settings = NoSettings;

    fn open(_: &NoSettings, _: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(Self::new()))
    }
}

impl Dataset for Synthetic {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        let (class, own) = (&self.classes[index % CLASSES], colours("item", index as u64));
        let field = |at: usize| at * FIELDS / SIZE;
        let value = |i: usize| {
            let (y, x, channel) = (i / (3 * SIZE), i / 3 % SIZE, i % 3);
            let at = (field(y) * FIELDS + field(x)) * 3 + channel;
            (255.0 * (NOISE * own[at] + (1.0 - NOISE) * class[at])) as u8
        };
        let pixels = (0..SIZE * SIZE * 3).map(value).collect();
        Ok(Rgb { width: SIZE, height: SIZE, pixels })
    }

    fn caption(&self, _: usize) -> Option<String> {
        None
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok(Self::INFO.identity)
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        Self::INFO.protocol(protocol)?;
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
