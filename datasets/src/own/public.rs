//! Parts of the readers of public sets of image files: folders, lists of lines, checks of sizes, protocols.

use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Protocol};
use hashlab_image::Exif;
use hashlab_rng::numpy::LegacyRandomState;

use super::captions::Captions;
use super::image_files::ImageFiles;
use super::labels::NamedLabels;
use super::places::{content, damaged, damaged_line};
use super::settings::OwnSettings;
use super::split::{Draw, Given, Recipe, Rule};
use super::strings::Strings;
use super::{Listed, Opened};

/// A public set as a reader finds it.
pub(crate) struct Found {
    /// The folder in which the paths start.
    pub(crate) root: PathBuf,
    pub(crate) paths: Strings,
    pub(crate) captions: Option<Captions>,
    pub(crate) labels: NamedLabels,
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) found_at: Vec<PathBuf>,
}

impl Found {
    /// Opens the set.
    ///
    /// # Errors
    /// If an image cannot be read or an item has no caption.
    pub(crate) fn open(self, dirs: &DataDirs) -> Result<Opened, DataError> {
        self.open_saying(Vec::new(), dirs)
    }

    /// Opens the set, and keeps what else was found, a line each.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_saying(self, findings: Vec<String>, dirs: &DataDirs) -> Result<Opened, DataError> {
        let Self { root, paths, captions, labels, recipes, found_at } = self;
        let pictures = Box::new(ImageFiles::new(root, paths, Exif::Ignore));
        let class_names = Vec::new();
        let listed = Listed { pictures: Some(pictures), captions, labels, class_names, recipes, found_at, findings };
        Opened::of(listed, &OwnSettings::default(), dirs)
    }
}

/// Finds the folder of data set `set` that holds `file`: one of `folders` in a data directory or in its folder `set`, or
/// that folder itself.
///
/// # Errors
/// [`DataError::Missing`], with the places and `help`.
pub(crate) fn folder(
    set: &str,
    folders: &[&str],
    file: &str,
    dirs: &DataDirs,
    help: &str,
) -> Result<PathBuf, DataError> {
    let places = dirs.places_of(set);
    let looked: Vec<PathBuf> = places
        .iter()
        .flat_map(|place| folders.iter().map(|folder| place.join(folder)).chain([place.clone()]))
        .collect();
    match looked.iter().find(|folder| folder.join(file).exists()) {
        Some(folder) => Ok(folder.clone()),
        None => {
            Err(DataError::Missing { what: format!("`{file}` of data set `{set}`"), looked, help: help.to_owned() })
        }
    }
}

/// The lines of a text file with what `parse` makes of each; empty lines are skipped.
///
/// # Errors
/// If the file cannot be read, or `parse` says what is wrong with a line.
pub(crate) fn lines<T>(
    path: &Path,
    help: &str,
    mut parse: impl FnMut(&str) -> Result<T, String>,
) -> Result<Vec<T>, DataError> {
    let text = content(path)?;
    let text = String::from_utf8_lossy(&text);
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(number, line)| parse(line.trim_end()).map_err(|problem| damaged_line(path, number, problem, help)))
        .collect()
}

/// All lines of a text file, empty ones included: an item may have no text.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn every_line(path: &Path) -> Result<Vec<String>, DataError> {
    let text = content(path)?;
    Ok(String::from_utf8_lossy(&text).lines().map(|line| line.trim().to_owned()).collect())
}

/// Refuses a part of a public set with another number of items.
///
/// # Errors
/// [`DataError::Damaged`] with both numbers.
pub(crate) fn count(path: &Path, what: &str, expected: usize, got: usize, help: &str) -> Result<(), DataError> {
    if got == expected {
        return Ok(());
    }
    Err(damaged(path, format!("expected {expected} {what}, got {got}"), help))
}

/// A number of a public set's items, in files of a `part`-th of them: at least one.
pub(crate) const fn share(number: usize, part: usize) -> usize {
    if number < part { 1 } else { number / part }
}

/// A protocol whose roles files give.
pub(crate) fn given(name: &str, description: &str, map_at: Option<usize>, given: Given) -> Recipe {
    Recipe { protocol: Protocol::new(name, description, map_at), rule: Rule::Given(given) }
}

/// A protocol that draws so many queries and training items of all; the database is all but the queries.
pub(crate) fn drawn(name: &str, description: &str, map_at: Option<usize>, [queries, train]: [usize; 2]) -> Recipe {
    let draw =
        Draw { queries: queries as f64, train_items: Some(train as f64), per_class: false, train_in_database: true };
    Recipe { protocol: Protocol::new(name, description, map_at), rule: Rule::Drawn(draw) }
}

/// The draws of kalenforn/DCHMT (numpy's legacy generator, seed 1814): one permutation of the items, of which the first are
/// queries and the next are trained on; all but the queries are the database.
pub(crate) fn dchmt(items: usize, [queries, train]: [usize; 2]) -> Given {
    numpy_split(1814, items, [queries, train])
}

/// The same with any seed.
pub(crate) fn numpy_split(seed: u32, items: usize, [queries, train]: [usize; 2]) -> Given {
    let mut query = LegacyRandomState::new(seed).permutation(items);
    let mut database = query.split_off(queries.min(items));
    let train = database[..train.min(database.len())].to_vec();
    database.sort_unstable();
    Given { query, train: Some(train), database: Some(database), ..Given::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.random.seed(1814); np.random.permutation(range(20015))` (numpy 2.4.6).
    #[test]
    fn the_split_of_dchmt_is_numpys() {
        let Given { query, train, database, .. } = dchmt(20_015, [2_000, 5_000]);
        let (train, database) = (train.unwrap(), database.unwrap());
        assert_eq!((query.len(), train.len(), database.len()), (2_000, 5_000, 18_015));
        assert_eq!(query[..3], DCHMT_FIRST);
        assert_eq!(train[..3], DCHMT_TRAIN);
        assert!(train.iter().all(|item| database.binary_search(item).is_ok()));
    }

    const DCHMT_FIRST: [u32; 3] = [19460, 7831, 17831];
    const DCHMT_TRAIN: [u32; 3] = [19376, 16710, 7114];
}
