//! The data sets that hashlab knows: one file each, and one line each in [`DATASETS`].

pub mod cifar10;
pub mod shapes;

use hashlab_data::Entry;

/// Every data set, in the order in which they are listed.
pub const DATASETS: &[Entry] = &[
    Entry::of::<cifar10::Cifar10>(), //
    Entry::of::<shapes::Shapes>(),
];
