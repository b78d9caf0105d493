//! Search directories of data sets and weights.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Environment variable with a directory of data sets.
pub const DATA_VARIABLE: &str = "HASHLAB_DATA";

/// Default directory of data sets.
const WORKING: &str = "./data";

/// Directories of data sets and weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDirs {
    /// Directories that are searched for files, in order.
    pub search: Vec<PathBuf>,
    /// Folder of the cache of digests of a user's files; without it they are computed every time.
    pub notes: Option<PathBuf>,
}

impl DataDirs {
    /// Searches these directories, without a cache of digests.
    pub fn of(search: Vec<PathBuf>) -> Self {
        Self { search, notes: None }
    }

    /// Caches digests of files in a folder, which is created when needed.
    #[must_use]
    pub fn with_notes(self, notes: PathBuf) -> Self {
        Self { notes: Some(notes), ..self }
    }

    /// Lists the folder of `--data-dir`, that of `HASHLAB_DATA`, and `./data`, each once.
    pub fn discover(flag: Option<PathBuf>) -> Self {
        let variable = env::var_os(DATA_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self::distinct(flag.into_iter().chain(variable).chain([PathBuf::from(WORKING)]))
    }

    /// Lists, for every folder, its subfolder `name` and the folder itself: the places of the data set `name`.
    pub fn places_of(&self, name: &str) -> Vec<PathBuf> {
        self.search.iter().flat_map(|dir| [dir.join(name), dir.clone()]).collect()
    }

    /// Directory of downloads: the first.
    pub fn target(&self) -> &Path {
        self.search.first().map_or(Path::new(WORKING), PathBuf::as_path)
    }

    /// Keeps the first spelling of every folder.
    fn distinct(dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut seen = Vec::new();
        let mut kept = Vec::new();
        for dir in dirs {
            let resolved = resolve(&dir);
            if !seen.contains(&resolved) {
                seen.push(resolved);
                kept.push(dir);
            }
        }
        Self::of(kept)
    }
}

/// The canonical path of an existing folder, else its absolute path.
fn resolve(dir: &Path) -> PathBuf {
    fs::canonicalize(dir).or_else(|_| std::path::absolute(dir)).unwrap_or_else(|_| dir.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_once_by_its_first_spelling() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        fs::create_dir(&a).unwrap();
        let again = a.join("..").join("a");
        let absent_again = root.path().join(".").join("b");
        let dirs = DataDirs::distinct([a.clone(), again, b.clone(), absent_again]);
        assert_eq!(dirs, DataDirs::of(vec![a, b]));
    }

    #[test]
    fn the_flag_comes_first_and_the_working_folder_is_listed() {
        let dirs = DataDirs::discover(Some("/some/flag".into()));
        assert_eq!(dirs.target(), Path::new("/some/flag"));
        assert!(dirs.search.iter().any(|dir| resolve(dir) == resolve(Path::new("./data"))));
    }

    #[test]
    fn a_data_set_may_lie_in_its_own_folder_or_directly() {
        let dirs = DataDirs::of(vec!["d".into()]);
        assert_eq!(dirs.places_of("set"), [PathBuf::from("d/set"), PathBuf::from("d")]);
    }
}
