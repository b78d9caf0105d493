//! CIFAR-10: 60,000 color photos of 32 × 32 pixels in ten classes.
//!
//! Krizhevsky: Learning multiple layers of features from tiny images (2009). Items are numbered in the official
//! order: 0..50,000 the five training batches, 50,000..60,000 the test batch.
//!
//! Two layouts are read, the Hugging Face parquet files and the authors' binary files. Whatever the layout, pixels are
//! kept in the authors' record format, so that one digest verifies both. Labels are read on opening, pixels when many
//! are asked for: many runs find their features in the cache and need only labels, and the images that a page shows.

mod bin;
mod files;
mod parquet;
mod protocols;
mod read_error;
mod records;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use hashlab_data::{
    ByModality, DataDirs, DataError, DataKind, Dataset, DatasetInfo, DatasetSource, DatasetSummary, Images, ItemData,
    Labels, Modality, Rgb, Split,
};
use hashlab_hub::{File, Kind, Published};
use hashlab_settings::NoParams;

use files::Files;
use records::{CLASSES, OFFICIAL, RECORD, Reference};

/// Images that are read one by one. All records take 184 MB and seconds to decode and verify, and a run whose features
/// are cached needs a hundred images, to be looked at.
const SINGLE: usize = 500;

/// CIFAR-10, opened.
pub struct Cifar10 {
    info: DatasetInfo,
    files: Files,
    reference: Reference,
    labels: Labels,
    /// All records, verified; empty until the digest, or more than [`SINGLE`] images, are asked for.
    records: OnceLock<Vec<u8>>,
    /// Images that were read by themselves.
    single: AtomicUsize,
    /// Held while `records` is filled, so that threads do not decode everything twice.
    filling: Mutex<()>,
}

impl DatasetSource for Cifar10 {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: "cifar10",
        title: "CIFAR-10",
        description: "60,000 color photos of 32 × 32 pixels, ten classes",
        source: "https://www.cs.toronto.edu/~kriz/cifar.html (binary version), or uoft-cs/cifar10 on the Hugging Face hub",
        license: "none stated; the authors ask for citation",
        citation: "A. Krizhevsky: Learning multiple layers of features from tiny images. Technical report, University of Toronto, 2009",
    };
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "uoft-cs/cifar10",
        revision: "0b2714987fa478483af9968de7c934580d0bb9a2",
        license: Self::SUMMARY.license,
        files: &[
            File {
                name: "plain_text/train-00000-of-00001.parquet",
                place: "cifar10/plain_text/train-00000-of-00001.parquet",
                sha256: Some("8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883"),
                megabytes: 119.7,
            },
            File {
                name: "plain_text/test-00000-of-00001.parquet",
                place: "cifar10/plain_text/test-00000-of-00001.parquet",
                sha256: Some("841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de"),
                megabytes: 23.9,
            },
        ],
    });
    type Settings = NoParams;

    fn declared(_: &NoParams) -> Option<DatasetInfo> {
        Some(info(OFFICIAL))
    }

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(Self::open_as(dirs, OFFICIAL)?))
    }
}

fn info(reference: Reference) -> DatasetInfo {
    DatasetInfo {
        identity: reference.digest().to_owned(),
        modalities: ByModality::one(Modality::Image, DataKind::Pixels),
        classes: NAMES.map(str::to_owned).to_vec(),
        protocols: protocols::protocols(),
    }
}

/// Names of the classes, in the order of their numbers.
const NAMES: [&str; CLASSES] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

impl Cifar10 {
    /// Opens files that must match `reference`.
    fn open_as(dirs: &DataDirs, reference: Reference) -> Result<Self, DataError> {
        let files = Files::find(dirs)?;
        let labels = Labels::single(CLASSES, files.labels(&reference)?);
        let (records, single, filling) = Default::default();
        Ok(Self { info: info(reference), files, reference, labels, records, single, filling })
    }

    /// All records, read and verified on first use.
    fn records(&self) -> Result<&[u8], DataError> {
        if let Some(records) = self.records.get() {
            return Ok(records);
        }
        let _guard = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.records.get().is_none() {
            let records = self.files.records(&self.reference)?;
            self.files.verify(&records, &self.reference)?;
            self.records.get_or_init(|| records);
        }
        Ok(self.records.get().expect("filled just now, or by the thread that held the lock"))
    }
}

impl Images for Cifar10 {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        if self.records.get().is_none() && self.single.fetch_add(1, Ordering::Relaxed) < SINGLE {
            return self.files.image(index, &self.reference);
        }
        Ok(records::unpack(&self.records()?[index * RECORD..][..RECORD]))
    }
}

impl Dataset for Cifar10 {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        (modality == Modality::Image).then_some(ItemData::Images(self))
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn digest(&self) -> Result<&str, DataError> {
        self.records()?;
        Ok(self.reference.digest())
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        protocols::split(&self.labels, protocol, split_seed)
    }

    fn found_at(&self) -> Vec<PathBuf> {
        self.files.paths.clone()
    }
}
