//! Reader of the text of an experiment file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use hashlab_data::special;

use crate::suggest::nearest;

/// Largest size of an experiment file in bytes.
const LARGEST: u64 = 64 << 20;

/// Reason why a file cannot be read as text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("there is no file {}{}", path.display(), suggestion(nearest.as_deref()))]
    Missing {
        /// The path as given.
        path: PathBuf,
        /// The file that was probably meant.
        nearest: Option<PathBuf>,
    },
    /// The path is that of a directory.
    #[error("{} is a directory\nhelp: name an experiment file in it", path.display())]
    Directory {
        /// The path as given.
        path: PathBuf,
    },
    /// The path is that of a pipe or device.
    #[error("{} is {what}\nhelp: name a file", path.display())]
    Special {
        /// The path as given.
        path: PathBuf,
        /// What it is, e.g. `a pipe`.
        what: &'static str,
    },
    /// Permission to read the file is denied.
    #[error("no permission to read {}", path.display())]
    Denied {
        /// The path as given.
        path: PathBuf,
    },
    /// The text is in another encoding.
    #[error(
        "{} is not UTF-8: byte {offset} and what follows look like {encoding}\nhelp: save it as UTF-8",
        path.display()
    )]
    NotUtf8 {
        /// The path as given.
        path: PathBuf,
        /// The first byte that is not UTF-8, counted from 0.
        offset: usize,
        /// The encoding that the text is likely to have.
        encoding: &'static str,
    },
    /// More than any experiment needs, such as a pipe without an end.
    #[error("{} is larger than 64 MiB\nhelp: name an experiment file", path.display())]
    TooLarge {
        /// The path as given.
        path: PathBuf,
    },
    /// Another error.
    #[error("cannot read {}: {source}", path.display())]
    Other {
        /// The path as given.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

fn suggestion(nearest: Option<&Path>) -> String {
    nearest.map_or(String::new(), |path| format!("\nhelp: did you mean {}?", path.display()))
}

/// Reads an experiment file.
///
/// # Errors
/// [`ReadError`] names the problem of the path or the text.
pub fn read_file(path: &Path) -> Result<String, ReadError> {
    let path_buf = || path.to_owned();
    match special(path) {
        None => {}
        Some(_) if path.is_dir() => return Err(ReadError::Directory { path: path_buf() }),
        Some(what) => return Err(ReadError::Special { path: path_buf(), what }),
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ReadError::Missing { path: path_buf(), nearest: nearest_file(path) }
        }
        io::ErrorKind::PermissionDenied => ReadError::Denied { path: path_buf() },
        _ => ReadError::Other { path: path_buf(), source },
    })?;
    if bytes.len() as u64 > LARGEST {
        return Err(ReadError::TooLarge { path: path_buf() });
    }
    text(bytes).map_err(|(offset, encoding)| ReadError::NotUtf8 { path: path_buf(), offset, encoding })
}

/// The text, or the first byte that is not text and the likely encoding. UTF-16 without marks is valid UTF-8 in which
/// every other byte is 0, which TOML does not allow.
fn text(bytes: Vec<u8>) -> Result<String, (usize, &'static str)> {
    if let Some(wide) = wide(&bytes) {
        return Err(wide);
    }
    String::from_utf8(bytes).map_err(|error| (error.utf8_error().valid_up_to(), "Latin-1 (ISO 8859-1, Windows-1252)"))
}

/// An encoding of two bytes per character, by its mark or its zeros, and the first byte of the evidence.
fn wide(bytes: &[u8]) -> Option<(usize, &'static str)> {
    const LITTLE: &str = "UTF-16 (little endian)";
    const BIG: &str = "UTF-16 (big endian)";
    match bytes {
        [0xFF, 0xFE, ..] => Some((0, LITTLE)),
        [0xFE, 0xFF, ..] => Some((0, BIG)),
        [first, 0, ..] if *first != 0 => Some((1, LITTLE)),
        [0, second, ..] if *second != 0 => Some((0, BIG)),
        _ => None,
    }
}

/// The file that was probably meant: the path with `.toml`, or a similar name in the same directory.
fn nearest_file(path: &Path) -> Option<PathBuf> {
    let mut with_suffix = path.to_owned().into_os_string();
    with_suffix.push(".toml");
    let with_suffix = PathBuf::from(with_suffix);
    if with_suffix.is_file() {
        return Some(with_suffix);
    }
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let listed = std::fs::read_dir(parent.unwrap_or(Path::new("."))).ok()?;
    let mut names: Vec<String> = listed.filter_map(|item| item.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(".toml"));
    names.sort();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(parent.map_or(PathBuf::from(near), |parent| parent.join(near)))
}
