//! What data sets of a user's own files share: settings of items and splits, digests, labels, captions, and the opened
//! data set.
//!
//! A reader lists items, with a [`Pictures`] source for their images, their captions and labels, and the roles that its
//! files give them. [`Opened::of`] leaves out what the settings say, derives the identity and keeps account of what was
//! found.

pub(crate) mod captions;
pub(crate) mod digests;
pub(crate) mod hub;
pub(crate) mod idx;
pub(crate) mod image_files;
pub(crate) mod labels;
pub(crate) mod lists;
pub(crate) mod mat;
pub(crate) mod mith;
#[cfg(test)]
pub(crate) mod mutations;
mod opened;
pub(crate) mod places;
pub(crate) mod public;
pub(crate) mod rows;
pub(crate) mod settings;
pub(crate) mod split;
pub(crate) mod strings;

pub(crate) use opened::{Examined, Listed, Opened, Pictures};
