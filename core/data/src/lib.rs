//! Data sets, their protocols and their splits.
//!
//! A data set is a [`DatasetSource`]: facts, typed settings, and a way to open it. [`DatasetEntry::of`] erases the
//! types, so that a registry is a plain slice. An opened data set is a [`Dataset`]: labels, splits, and the items' data
//! by [`Modality`]. [`Roles::into_split`] turns a protocol's draws into a [`Split`] under rules that hold for every
//! data set.
//!
//! ```
//! use hashlab_data::Roles;
//!
//! let roles =
//!     Roles { train: (20..100).collect(), validation_query: None, query: (0..20).collect(), database: (20..100).collect() };
//! let split = roles.into_split(100, 0).unwrap();
//! assert_eq!((split.train.len(), split.validation_query.len()), (72, 8)); // a tenth is held out
//! ```

mod contents;
mod dataset;
mod dirs;
pub mod draw;
mod error;
mod facts;
#[cfg(test)]
mod fake;
mod labels;
mod modality;
mod needs;
mod registration;
mod small_map;
mod special;
mod split;

pub use contents::Contents;
pub use dataset::{Dataset, DatasetInfo, Images, ItemData, Protocol, StoredFeatures, Texts};
pub use dirs::{DATA_VARIABLE, DataDirs};
pub use error::DataError;
pub use facts::{EncoderFacts, RunFacts};
pub use hashlab_image::Rgb;
pub use labels::Labels;
pub use modality::{ByModality, Modality, Task};
pub use needs::{DataKind, Needs};
pub use registration::{DatasetEntry, DatasetSource, DatasetSummary};
pub use small_map::SmallMap;
pub use special::special;
pub use split::{Roles, Sizes, Split};
