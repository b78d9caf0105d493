//! Public sets that are lists of images, `path label0 label1 …`, as HashNet and DeepHash-pytorch publish them.

use std::path::Path;

use hashlab_data::{DataDirs, DataError};

use super::Opened;
use super::public::{Found, count, folder, given, share};
use super::split::Given;
use crate::image_list::{ListLabels, Lists};

/// A public set of three lists.
pub(crate) struct ListSet {
    /// The data set.
    pub(crate) set: &'static str,
    /// Folders in which the lists may be.
    pub(crate) folders: &'static [&'static str],
    /// Prefix of the paths of its lists; a folder that is missing here is left out of them.
    pub(crate) prefix: &'static str,
    /// Lines of the lists of queries, training items and database, where all copies have as many.
    pub(crate) sizes: [Option<usize>; 3],
    /// Name, description and depth of the protocol.
    pub(crate) protocol: (&'static str, &'static str, Option<usize>),
    /// Advice where files are missing.
    pub(crate) help: &'static str,
}

/// The lists by role.
const LISTS: [(&str, &str); 3] = [("query", "test.txt"), ("train", "train.txt"), ("database", "database.txt")];

impl ListSet {
    /// Opens the set, of which the lists hold a `part`-th; its images lie below the folder of the lists or the one around it.
    ///
    /// # Errors
    /// If files are missing, damaged, or have another number of lines.
    pub(crate) fn open(&self, dirs: &DataDirs, part: usize) -> Result<Opened, DataError> {
        let place = folder(self.set, self.folders, LISTS[0].1, dirs, self.help)?;
        let mut lists = Lists::new(ListLabels::Hot, self.prefix);
        let (mut roles, mut found_at) = (Given::default(), Vec::new());
        for ((role, file), size) in LISTS.into_iter().zip(self.sizes) {
            let path = place.join(file);
            let items = lists.read(&path)?;
            count(&path, "lines", size.map_or(items.len(), |size| share(size, part)), items.len(), self.help)?;
            roles.set(role, items);
            found_at.push(path);
        }
        let (name, description, map_at) = self.protocol;
        let first = lists.paths.get(0).to_owned();
        let around = place.parent().unwrap_or(Path::new("")).to_owned();
        let root = if place.join(&first).exists() || !around.join(&first).exists() { place } else { around };
        let recipes = vec![given(name, description, map_at, roles)];
        let (paths, labels) = (lists.paths, lists.labels);
        Found { root, paths, captions: None, labels, recipes, found_at }.open(dirs)
    }
}
