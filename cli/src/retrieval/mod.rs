//! Search in indexes of images and texts, for the commands `index`, `search` and `serve`.

pub(crate) mod collection;
pub(crate) mod page;
pub(crate) mod searcher;
