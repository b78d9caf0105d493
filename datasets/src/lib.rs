//! The data sets that hashlab knows: one file each, and one line each in [`DATASETS`].

pub mod cifar10;
pub mod features;
pub mod shapes;

use hashlab_data::DatasetEntry;

/// Every data set, in the order in which they are listed.
pub const DATASETS: &[DatasetEntry] = &[
    DatasetEntry::of::<cifar10::Cifar10>(), //
    DatasetEntry::of::<shapes::Shapes>(),
    DatasetEntry::of::<features::Features>(),
];
