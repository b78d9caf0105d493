//! Fashion Product Images (Small): 44,072 small photos of products with their titles, in categories of three levels.
//!
//! The files are those of the Hugging Face hub, or of a copy whose columns have shorter names.

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_hub::{File, Kind, Published};
use hashlab_settings::Params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::hub::{Column, HubProtocol, HubSet, HubSplit, Part};
use crate::own::split::Draw;

const SET: HubSet = HubSet {
    name: "fashion_products",
    parts: &[Part { name: "train", files: &["data/train-*.parquet", "train-*.parquet"], items: 44_072 }],
    image: &["image"],
    captions: &[&["productDisplayName", "text"]],
    help: "`hashlab fetch fashion_products` downloads it; or put data/train-*.parquet of https://huggingface.co/datasets/ashraq/fashion-product-images-small into the folder \
           `fashion_products` of a data directory",
    protocols: &[HubProtocol {
        name: "drawn",
        description: "2,000 queries and 5,000 train items drawn by split_seed, database all but the queries (sizes as those of MIRFlickr in cross-modal papers)",
        map_at: None,
        split: HubSplit::Drawn(Draw {
            queries: 2_000.0,
            train_items: Some(5_000.0),
            per_class: false,
            train_in_database: true,
        }),
    }],
};

/// The column of the labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Seven kinds, such as apparel and footwear.
    Master,
    /// 45 groups, such as topwear and shoes.
    #[default]
    Sub,
    /// 141 articles, such as T-shirts.
    Article,
}

/// Settings of `fashion_products`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The labels: `master` (7 classes), `sub` (45) or `article` (141).
    pub category: Category,
}

impl Params for Settings {}

/// Photos of products.
pub struct FashionProducts;

impl DatasetSource for FashionProducts {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: SET.name,
        title: "Fashion Product Images (Small)",
        description: "44,072 small photos of products with English titles, in categories of three levels",
        source: "https://huggingface.co/datasets/ashraq/fashion-product-images-small, of https://www.kaggle.com/datasets/paramaggarwal/fashion-product-images-small",
        license: "not stated on the hub; see the page on Kaggle",
        citation: "P. Aggarwal: Fashion Product Images (Small). Kaggle, 2019",
    };
    /// No source states the digests.
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "ashraq/fashion-product-images-small",
        revision: "bd09c69e56fc0b1f279743fef89d735f3bdf8a42",
        license: Self::SUMMARY.license,
        files: &[
            File {
                name: "data/train-00000-of-00002-6cff4c59f91661c3.parquet",
                place: "fashion_products/data/train-00000-of-00002-6cff4c59f91661c3.parquet",
                sha256: None,
                megabytes: 136.0,
            },
            File {
                name: "data/train-00001-of-00002-bb459e5ac5f01e71.parquet",
                place: "fashion_products/data/train-00001-of-00002-bb459e5ac5f01e71.parquet",
                sha256: None,
                megabytes: 135.0,
            },
        ],
    });
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        let column: Column = match settings.category {
            Category::Master => &["masterCategory", "master"],
            Category::Sub => &["subCategory", "sub"],
            Category::Article => &["articleType", "article"],
        };
        Ok(Box::new(SET.open(column, dirs)?))
    }
}
