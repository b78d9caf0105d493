//! Data sets, their protocols and their splits.
//!
//! A data set is a [`Source`]: a declaration ([`Info`]), typed settings, and a way to open it. [`Entry::of`] erases
//! the types, so that a registry is a plain slice. What is opened is a [`Dataset`]; [`Roles::into_split`] turns a
//! protocol's draws into a [`Split`] under rules that hold for every data set.

pub mod dataset;
pub mod describe;
pub mod dirs;
pub mod draw;
pub mod entry;
pub mod error;
#[cfg(test)]
mod fake;
pub mod labels;
pub mod split;

pub use dataset::{Dataset, Info, Protocol};
pub use describe::{Contents, Description};
pub use dirs::DataDirs;
pub use entry::{Entry, NoSettings, Settings, Source};
pub use error::DataError;
pub use hashlab_image::Rgb;
pub use labels::Labels;
pub use split::{Roles, Split};
