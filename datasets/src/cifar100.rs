//! CIFAR-100: 60,000 color photos of 32 × 32 pixels in a hundred classes, which form twenty groups.
//!
//! Krizhevsky: Learning multiple layers of features from tiny images (2009). The files are those of the Hugging Face hub;
//! items are in their order, the training part first.

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_hub::{File, Kind, Published};
use hashlab_settings::Params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::hub::{Column, HubProtocol, HubSet, HubSplit, Part};
use crate::own::split::Draw;

const SET: HubSet = HubSet {
    name: "cifar100",
    parts: &[
        Part { name: "train", files: &["cifar100/train-*.parquet", "train-*.parquet"], items: 50_000 },
        Part { name: "test", files: &["cifar100/test-*.parquet", "test-*.parquet"], items: 10_000 },
    ],
    image: &["img", "image"],
    captions: &[],
    help: "`hashlab fetch cifar100` downloads it; or put cifar100/train-00000-of-00001.parquet and cifar100/test-00000-of-00001.parquet of \
           https://huggingface.co/datasets/uoft-cs/cifar100 into the folder `cifar100` of a data directory",
    protocols: &[
        HubProtocol {
            name: "official",
            description: "queries the official test part (10,000), train and database the official training part (50,000)",
            map_at: None,
            split: HubSplit::Queries("test"),
        },
        HubProtocol {
            name: "drawn",
            description: "10,000 queries and 10,000 train items, 100 of every class each, drawn by split_seed from all items, database all but the queries (hashlab's own)",
            map_at: None,
            split: HubSplit::Drawn(Draw {
                queries: 100.0,
                train_items: Some(100.0),
                per_class: true,
                train_in_database: true,
            }),
        },
    ],
};

/// The level of the classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A hundred classes.
    #[default]
    Fine,
    /// Twenty groups of five classes.
    Coarse,
}

/// Settings of `cifar100`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The labels: `fine`, a hundred classes, or `coarse`, twenty groups of them. Protocol `drawn` draws of each class of either.
    pub level: Level,
}

impl Params for Settings {}

/// CIFAR-100.
pub struct Cifar100;

impl DatasetSource for Cifar100 {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: SET.name,
        title: "CIFAR-100",
        description: "60,000 color photos of 32 × 32 pixels, a hundred classes in twenty groups",
        source: "https://huggingface.co/datasets/uoft-cs/cifar100, of https://www.cs.toronto.edu/~kriz/cifar.html",
        license: "none stated; the authors ask for citation",
        citation: "A. Krizhevsky: Learning multiple layers of features from tiny images. Technical report, University of Toronto, 2009",
    };
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "uoft-cs/cifar100",
        revision: "aadb3af77e9048adbea6b47c21a81e47dd092ae5",
        license: Self::SUMMARY.license,
        files: &[
            File {
                name: "cifar100/train-00000-of-00001.parquet",
                place: "cifar100/cifar100/train-00000-of-00001.parquet",
                sha256: Some("694865d6b990e234804f01268586c41e88bcbbb75e20858432c05ad4081aca23"),
                megabytes: 118.5,
            },
            File {
                name: "cifar100/test-00000-of-00001.parquet",
                place: "cifar100/cifar100/test-00000-of-00001.parquet",
                sha256: Some("98776c529bb146a9c791229df74a5cf076be9b43d82dbbd334b6a7788d73dc68"),
                megabytes: 23.8,
            },
        ],
    });
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        let column: Column = match settings.level {
            Level::Fine => &["fine_label"],
            Level::Coarse => &["coarse_label"],
        };
        Ok(Box::new(SET.open(column, dirs)?))
    }
}
