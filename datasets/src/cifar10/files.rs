//! Finding the files, and reading either layout.

use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Rgb};

use super::read_error::damaged;
use super::records::{BLOCKS, CLASSES, RECORD, Reference, TRAIN_BLOCKS};
use super::{bin, parquet};

const PARQUET: [&str; 2] = ["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"];
const BIN: [&str; BLOCKS] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// Where the files of a layout may lie in a data folder or in its subfolder `cifar10`.
const LAYOUTS: [(Layout, &str); 4] = [
    (Layout::Parquet, "plain_text"),
    (Layout::Parquet, "."),
    (Layout::Bin, "cifar-10-batches-bin"),
    (Layout::Bin, "."),
];

const MISSING_HELP: &str = "`hashlab fetch cifar10` downloads it; or put into one of these folders either
  plain_text/train-00000-of-00001.parquet and plain_text/test-00000-of-00001.parquet, from https://huggingface.co/datasets/uoft-cs/cifar10
  or cifar-10-batches-bin/ with data_batch_1.bin … data_batch_5.bin and test_batch.bin, the binary version from https://www.cs.toronto.edu/~kriz/cifar.html
  (another folder: --data-dir or HASHLAB_DATA)";

/// Names of versions of the data set that are not read.
const OTHERS: [&str; 4] =
    ["cifar-10-batches-py", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "cifar-10-matlab.tar.gz"];

/// The first of the versions that are not read.
fn unread(places: &[PathBuf]) -> Option<PathBuf> {
    places.iter().flat_map(|place| OTHERS.map(|name| place.join(name))).find(|path| path.exists())
}

/// A published file layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The Hugging Face hub's: a file for train and one for test.
    Parquet,
    /// The authors' binary version: a file per block.
    Bin,
}

impl Layout {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Parquet => &PARQUET,
            Self::Bin => &BIN,
        }
    }
}

/// A complete set of files.
#[derive(Debug)]
pub(super) struct Files {
    /// How to read them.
    pub(super) layout: Layout,
    /// The files, in the order of their items.
    pub(super) paths: Vec<PathBuf>,
}

impl Files {
    /// Takes the first complete set of files. An incomplete set is an error only where no complete one is found.
    pub(super) fn find(dirs: &DataDirs) -> Result<Self, DataError> {
        let places = dirs.places_of("cifar10");
        let mut incomplete = None;
        for (place, (layout, folder)) in places.iter().flat_map(|place| LAYOUTS.map(|layout| (place, layout))) {
            let folder = if folder == "." { place.clone() } else { place.join(folder) };
            let paths: Vec<_> = layout.names().iter().map(|name| folder.join(name)).collect();
            let absent: Vec<_> = paths.iter().filter(|path| !path.exists()).collect();
            if absent.is_empty() {
                return Ok(Self { layout, paths });
            }
            if absent.len() < paths.len() {
                let looked = absent.into_iter().cloned().collect();
                incomplete.get_or_insert(("part of data set `cifar10`".to_owned(), looked));
            }
        }
        let what = unread(&places).map_or("data set `cifar10`".to_owned(), |path| {
            format!("{} is not read, and another version of data set `cifar10`", path.display())
        });
        let (what, looked) = incomplete.unwrap_or((what, places));
        Err(DataError::Missing { what, looked, help: MISSING_HELP.into() })
    }

    /// Reads the labels of all items, without their pixels.
    pub(super) fn labels(&self, reference: &Reference) -> Result<Vec<usize>, DataError> {
        let mut labels = Vec::with_capacity(reference.items());
        for (path, items) in self.parts(reference) {
            let part = match self.layout {
                Layout::Parquet => parquet::labels(path, items)?,
                Layout::Bin => bin::labels(path, items)?,
            };
            for (item, label) in part.into_iter().enumerate() {
                let class = usize::try_from(label).ok().filter(|class| *class < CLASSES);
                let problem = || format!("item {item} has label {label}, expected 0 to {}", CLASSES - 1);
                labels.push(class.ok_or_else(|| damaged(path, problem()))?);
            }
        }
        Ok(labels)
    }

    /// Reads the records of all items, decoded.
    pub(super) fn records(&self, reference: &Reference) -> Result<Vec<u8>, DataError> {
        let mut records = Vec::with_capacity(reference.items() * RECORD);
        for (path, items) in self.parts(reference) {
            match self.layout {
                Layout::Parquet => parquet::append_records(path, items, &mut records)?,
                Layout::Bin => bin::append_records(path, items, &mut records)?,
            }
        }
        Ok(records)
    }

    /// Reads the image of one item. It is not compared with the reference.
    pub(super) fn image(&self, item: usize, reference: &Reference) -> Result<Rgb, DataError> {
        let mut row = item;
        for (path, items) in self.parts(reference) {
            if row < items {
                return match self.layout {
                    Layout::Parquet => parquet::image(path, row),
                    Layout::Bin => bin::image(path, items, row),
                };
            }
            row -= items;
        }
        panic!("item {item} of {}", reference.items())
    }

    /// Compares all records with the reference.
    pub(super) fn verify(&self, records: &[u8], reference: &Reference) -> Result<(), DataError> {
        let Some((block, got)) = reference.first_difference(records) else { return Ok(()) };
        let path = match self.layout {
            Layout::Parquet => &self.paths[block / TRAIN_BLOCKS],
            Layout::Bin => &self.paths[block],
        };
        let (first, last) = (block * reference.block, (block + 1) * reference.block - 1);
        let expected = reference.digests[block];
        let problem = format!(
            "labels or pixels among items {first} to {last} are not those of CIFAR-10: expected digest {expected}, got {got}"
        );
        Err(damaged(path, problem))
    }

    /// Every file with the number of its items.
    fn parts(&self, reference: &Reference) -> impl Iterator<Item = (&Path, usize)> {
        let counts = match self.layout {
            Layout::Parquet => vec![TRAIN_BLOCKS * reference.block, (BLOCKS - TRAIN_BLOCKS) * reference.block],
            Layout::Bin => vec![reference.block; BLOCKS],
        };
        self.paths.iter().map(PathBuf::as_path).zip(counts)
    }
}
