//! Fashion-MNIST: 70,000 grey pictures of clothes, 28 × 28 pixels.
//!
//! The files are those of the Hugging Face hub or the authors' own (idx); items are in their order, the training part first. Grey pixels are
//! repeated in all three colors.

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_hub::{File, Kind, Published};
use hashlab_settings::NoParams;

use crate::own::hub::{DIGIT_PROTOCOLS, HubSet, Part};
use crate::own::idx::IdxSet;

const SET: HubSet = HubSet {
    name: "fashion_mnist",
    parts: &[
        Part { name: "train", files: &["fashion_mnist/train-*.parquet", "train-*.parquet"], items: 60_000 },
        Part { name: "test", files: &["fashion_mnist/test-*.parquet", "test-*.parquet"], items: 10_000 },
    ],
    image: &["image"],
    captions: &[],
    help: "`hashlab fetch fashion_mnist` downloads it; or put fashion_mnist/train-00000-of-00001.parquet and fashion_mnist/test-00000-of-00001.parquet of \
           https://huggingface.co/datasets/zalando-datasets/fashion_mnist into the folder `fashion_mnist` of a data directory; \
           or the four -ubyte files (.gz or not) of https://github.com/zalandoresearch/fashion-mnist",
    protocols: DIGIT_PROTOCOLS,
};

/// The authors' own files, in a folder of this name or as torchvision puts them.
const IDX: IdxSet = IdxSet {
    folders: &["fashion_mnist", "fashion_mnist/raw", "fashion_mnist/FashionMNIST/raw", "FashionMNIST/raw"],
    parts: [("train", "train", 60_000), ("test", "t10k", 10_000)],
    classes: 10,
    protocols: DIGIT_PROTOCOLS,
};

/// Fashion-MNIST.
pub struct FashionMnist;

impl DatasetSource for FashionMnist {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: SET.name,
        title: "Fashion-MNIST",
        description: "70,000 grey pictures of clothes, 28 × 28 pixels, ten classes",
        source: "https://huggingface.co/datasets/zalando-datasets/fashion_mnist, of https://github.com/zalandoresearch/fashion-mnist",
        license: "MIT",
        citation: "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms. arXiv 1708.07747, 2017",
    };
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "zalando-datasets/fashion_mnist",
        revision: "531be5e2ccc9dba0c201ad3ae567a4f3d16ecdd2",
        license: Self::SUMMARY.license,
        files: &[
            File {
                name: "fashion_mnist/train-00000-of-00001.parquet",
                place: "fashion_mnist/fashion_mnist/train-00000-of-00001.parquet",
                sha256: None,
                megabytes: 30.9,
            },
            File {
                name: "fashion_mnist/test-00000-of-00001.parquet",
                place: "fashion_mnist/fashion_mnist/test-00000-of-00001.parquet",
                sha256: None,
                megabytes: 5.2,
            },
        ],
    });
    type Settings = NoParams;

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(IDX.unless(SET.open(&["label"], dirs), dirs, 1)?))
    }
}
