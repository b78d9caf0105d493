//! The data sets that hashlab knows: one file each, and one line each in [`DATASETS`]. `own` holds what readers of a
//! user's own files share.
//!
//! ```
//! use hashlab_data::DataDirs;
//! use hashlab_datasets::DATASETS;
//!
//! let shapes = DATASETS.iter().find(|dataset| dataset.summary.name == "shapes").unwrap();
//! let dataset = shapes.open(&Default::default(), &DataDirs::of(vec![]))?;
//! let split = dataset.split(&dataset.info().protocols[0].name, 0)?;
//! assert!(!split.query.is_empty() && dataset.labels().classes() > 1);
//! # Ok::<_, hashlab_data::DataError>(())
//! ```

pub mod array;
pub mod cifar10;
pub mod cifar100;
pub mod coco;
pub mod cub200;
pub mod fashion_mnist;
pub mod fashion_products;
pub mod features;
pub mod flickr30k;
pub mod iapr_tc12;
pub mod image_folder;
pub mod image_list;
pub mod imagenet100;
pub mod mat;
pub mod mirflickr;
pub mod mnist;
pub mod nuswide;
mod own;
pub mod parquet;
pub mod shapes;
pub mod table;
pub mod tiny_imagenet;

use hashlab_data::DatasetEntry;

/// Every data set, in the order in which they are listed.
pub const DATASETS: &[DatasetEntry] = &[
    DatasetEntry::of::<cifar10::Cifar10>(), //
    DatasetEntry::of::<cifar100::Cifar100>(),
    DatasetEntry::of::<mnist::Mnist>(),
    DatasetEntry::of::<fashion_mnist::FashionMnist>(),
    DatasetEntry::of::<imagenet100::Imagenet100>(),
    DatasetEntry::of::<tiny_imagenet::TinyImagenet>(),
    DatasetEntry::of::<cub200::Cub200>(),
    DatasetEntry::of::<coco::Coco>(),
    DatasetEntry::of::<mirflickr::Mirflickr>(),
    DatasetEntry::of::<nuswide::NusWide>(),
    DatasetEntry::of::<flickr30k::Flickr30k>(),
    DatasetEntry::of::<iapr_tc12::IaprTc12>(),
    DatasetEntry::of::<fashion_products::FashionProducts>(),
    DatasetEntry::of::<shapes::Shapes>(),
    DatasetEntry::of::<features::Features>(),
    DatasetEntry::of::<image_folder::ImageFolder>(),
    DatasetEntry::of::<image_list::ImageList>(),
    DatasetEntry::of::<mat::Mat>(),
    DatasetEntry::of::<table::Table>(),
    DatasetEntry::of::<parquet::Parquet>(),
];

/// The sets whose files are put in place by hand, with files of a five-hundredth of their items: the same readers and
/// protocols, so that tests run their experiments on files that they can write.
pub const SMALL: &[DatasetEntry] = &[
    DatasetEntry::of::<imagenet100::Imagenet100<500>>(),
    DatasetEntry::of::<coco::Coco<500>>(),
    DatasetEntry::of::<mirflickr::Mirflickr<500>>(),
    DatasetEntry::of::<nuswide::NusWide<500>>(),
];
