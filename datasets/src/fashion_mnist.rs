//! Fashion-MNIST: 70,000 grey pictures of clothes, 28 × 28 pixels.
//!
//! The files are those of the Hugging Face hub; items are in their order, the training part first. Grey pixels are
//! repeated in all three colors.

use hashlab_data::{DataDirs, DataError, Dataset, DatasetInfo, DatasetSource, DatasetSummary};
use hashlab_settings::NoParams;

use crate::own::hub::{DIGIT_PROTOCOLS, HubSet, Part};

const SET: HubSet = HubSet {
    name: "fashion_mnist",
    parts: &[
        Part { name: "train", files: &["fashion_mnist/train-*.parquet", "train-*.parquet"], items: 60_000 },
        Part { name: "test", files: &["fashion_mnist/test-*.parquet", "test-*.parquet"], items: 10_000 },
    ],
    image: &["image"],
    captions: &[],
    help: "put fashion_mnist/train-00000-of-00001.parquet and fashion_mnist/test-00000-of-00001.parquet of \
           https://huggingface.co/datasets/zalando-datasets/fashion_mnist into the folder `fashion_mnist` of a data directory",
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
    type Settings = NoParams;

    fn describe(settings: &NoParams, dirs: &DataDirs) -> Result<DatasetInfo, DataError> {
        Ok(Self::open(settings, dirs)?.info().clone())
    }

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(SET.open(&["label"], dirs)?))
    }
}
