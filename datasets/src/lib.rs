//! The data sets that hashlab knows: one file each, and one line each in [`DATASETS`].
//!
//! ```
//! use hashlab_data::DataDirs;
//! use hashlab_datasets::DATASETS;
//!
//! let shapes = DATASETS.iter().find(|dataset| dataset.summary.name == "shapes").unwrap();
//! let dataset = shapes.open(&Default::default(), &DataDirs(vec![]))?;
//! let split = dataset.split(&dataset.info().protocols[0].name, 0)?;
//! assert!(!split.query.is_empty() && dataset.labels().classes() > 1);
//! # Ok::<_, hashlab_data::DataError>(())
//! ```

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
