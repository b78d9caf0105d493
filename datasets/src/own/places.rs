//! Finding a user's files and folders.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, special};

/// Finds what a key names: as a path, then in every data directory.
///
/// # Errors
/// [`DataError::Missing`], with the places, if there is nothing of that name.
pub(crate) fn find(set: &str, key: &str, name: &str, dirs: &DataDirs) -> Result<PathBuf, DataError> {
    let looked = candidates(name, dirs);
    match looked.iter().find(|path| path.exists()) {
        Some(found) => Ok(found.clone()),
        None => Err(DataError::Missing {
            what: format!("`{key} = \"{name}\"` of data set `{set}`"),
            looked,
            help: format!("correct `{key}` in [data], or say where data are: --data-dir or HASHLAB_DATA"),
        }),
    }
}

/// Finds the files that a pattern with `*` and `?` names, in the order of their names.
///
/// # Errors
/// [`DataError::Missing`] if there is none; [`DataError::Invalid`] for a pattern that is none.
pub(crate) fn find_all(set: &str, key: &str, pattern: &str, dirs: &DataDirs) -> Result<Vec<PathBuf>, DataError> {
    for candidate in candidates(pattern, dirs) {
        let found = glob::glob(&candidate.to_string_lossy())
            .map_err(|error| DataError::Invalid(format!("`{key} = \"{pattern}\"`: {error}")))?;
        let mut files: Vec<PathBuf> = found.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        if !files.is_empty() {
            files.sort();
            return Ok(files);
        }
    }
    find(set, key, pattern, dirs).map(|file| vec![file])
}

/// Says that a key is not set which a data set cannot do without.
pub(crate) fn unset(set: &str, key: &str, example: &str) -> DataError {
    let value = if example.parse::<f64>().is_ok() { example.to_owned() } else { format!("{example:?}") };
    DataError::Missing {
        what: format!("`{key}` of data set `{set}`"),
        looked: Vec::new(),
        help: format!("set it in [data], e.g. `{key} = {value}`"),
    }
}

fn candidates(name: &str, dirs: &DataDirs) -> Vec<PathBuf> {
    if Path::new(name).is_absolute() {
        return vec![name.into()];
    }
    std::iter::once(name.into()).chain(dirs.search.iter().map(|dir| dir.join(name))).collect()
}

/// Makes an error of what the system says about a file.
pub(crate) fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> DataError {
    |source| DataError::Io { path: path.into(), source }
}

/// Opens a file.
///
/// # Errors
/// If it cannot be opened, or something else is in its place: a pipe or device may have no end.
pub(crate) fn opened(path: &Path) -> Result<File, DataError> {
    match special(path) {
        Some(found) => Err(damaged(path, format!("this is {found}"), "name a file")),
        None => File::open(path).map_err(unreadable(path)),
    }
}

/// Reads a whole file.
///
/// # Errors
/// As [`opened`].
pub(crate) fn content(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    opened(path)?.read_to_end(&mut bytes).map_err(unreadable(path))?;
    Ok(bytes)
}

/// An error about what a file holds.
pub(crate) fn damaged(path: &Path, problem: impl Into<String>, help: impl Into<String>) -> DataError {
    DataError::Damaged { path: path.into(), problem: problem.into(), help: help.into() }
}

/// An error about a line of a file.
pub(crate) fn damaged_line(path: &Path, line: usize, problem: impl Into<String>, help: impl Into<String>) -> DataError {
    let place = format!("{}:{line}", path.display());
    DataError::Damaged { path: place.into(), problem: problem.into(), help: help.into() }
}
