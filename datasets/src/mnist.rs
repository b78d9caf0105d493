//! MNIST: 70,000 handwritten digits of 28 × 28 pixels.
//!
//! The files are those of the Hugging Face hub or the authors' own (idx); items are in their order, the training part
//! first. Grey pixels are repeated in all three colors.

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_hub::{File, Kind, Published};
use hashlab_settings::NoParams;

use crate::own::hub::{DIGIT_PROTOCOLS, HubSet, Part};
use crate::own::idx::IdxSet;

const SET: HubSet = HubSet {
    name: "mnist",
    parts: &[
        Part { name: "train", files: &["mnist/train-*.parquet", "train-*.parquet"], items: 60_000 },
        Part { name: "test", files: &["mnist/test-*.parquet", "test-*.parquet"], items: 10_000 },
    ],
    image: &["image"],
    captions: &[],
    help: "`hashlab fetch mnist` downloads it; or put mnist/train-00000-of-00001.parquet and mnist/test-00000-of-00001.parquet of \
           https://huggingface.co/datasets/ylecun/mnist into the folder `mnist` of a data directory; \
           or the four -ubyte files (.gz or not) of https://ossci-datasets.s3.amazonaws.com/mnist/",
    protocols: DIGIT_PROTOCOLS,
};

/// The authors' own files, in a folder of this name or as torchvision puts them.
const IDX: IdxSet = IdxSet {
    folders: &["mnist", "mnist/raw", "mnist/MNIST/raw", "MNIST/raw"],
    parts: [("train", "train", 60_000), ("test", "t10k", 10_000)],
    classes: 10,
    protocols: DIGIT_PROTOCOLS,
};

/// MNIST, or authors' files of a `PART`-th of its items.
pub struct Mnist<const PART: usize = 1>;

impl<const PART: usize> DatasetSource for Mnist<PART> {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: SET.name,
        title: "MNIST",
        description: "70,000 handwritten digits of 28 × 28 pixels, ten classes",
        source: "https://huggingface.co/datasets/ylecun/mnist",
        license: "MIT, as the hub states",
        citation: "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition. Proceedings of the IEEE 86(11), 1998",
    };
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "ylecun/mnist",
        revision: "77f3279092a1c1579b2250db8eafed0ad422088c",
        license: Self::SUMMARY.license,
        files: &[
            File {
                name: "mnist/train-00000-of-00001.parquet",
                place: "mnist/mnist/train-00000-of-00001.parquet",
                sha256: Some("f2c01285a9f89399335b00ee4e8d499dc4e46db5e39c74903ce5618d895eb3bf"),
                megabytes: 15.6,
            },
            File {
                name: "mnist/test-00000-of-00001.parquet",
                place: "mnist/mnist/test-00000-of-00001.parquet",
                sha256: Some("d49fcf556ce25b002b302e318ce4a11098bbfe5d4499c3f35d7c72297c52374b"),
                megabytes: 2.6,
            },
        ],
    });
    type Settings = NoParams;

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(IDX.unless(SET.open(&["label"], dirs), dirs, PART)?))
    }
}
