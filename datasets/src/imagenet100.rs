//! ImageNet-100: photos of a hundred of ImageNet's classes, as HashNet chose them.
//!
//! The lists are those of thuml/HashNet and swuxyj/DeepHash-pytorch (`data/imagenet/{train,test,database}.txt`), the images
//! those of ILSVRC 2012.

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::NoParams;

use crate::own::lists::ListSet;

const SET: ListSet = ListSet {
    set: "imagenet100",
    folders: &["imagenet"],
    prefix: "./data/imagenet/",
    sizes: [Some(5_000), Some(13_000), Some(128_503)],
    protocol: (
        "hashnet",
        "queries 5,000 of ILSVRC's validation part, train 13,000 and database 128,503 of its training part (HashNet's lists; its text says 10,000 train)",
        Some(1000),
    ),
    help: "put train.txt, test.txt and database.txt of `data/imagenet` of https://github.com/swuxyj/DeepHash-pytorch into the \
           folder `imagenet100` of a data directory, and ILSVRC 2012's images below it as the lists name them",
};

/// ImageNet-100, or lists of a `PART`-th of its images.
pub struct Imagenet100<const PART: usize = 1>;

impl<const PART: usize> DatasetSource for Imagenet100<PART> {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: SET.set,
        title: "ImageNet-100",
        description: "photos of a hundred of ImageNet's classes: HashNet's lists",
        source: "lists: https://github.com/thuml/HashNet, https://github.com/swuxyj/DeepHash-pytorch; images: https://image-net.org",
        license: "ImageNet's terms: non-commercial research and education",
        citation: "Z. Cao, M. Long, J. Wang, P. S. Yu: HashNet: Deep learning to hash by continuation. ICCV 2017; J. Deng et al.: ImageNet: A large-scale hierarchical image database. CVPR 2009",
    };
    type Settings = NoParams;

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(SET.open(dirs, PART)?))
    }
}
