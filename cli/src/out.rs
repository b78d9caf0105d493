//! Files that the user names with `--out`.

use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::Result;
use hashlab_data::special;

use crate::exit::bad_input;

/// Checks that a file can be written there, as far as that is known before anything is computed.
///
/// # Errors
/// [`BadInput`](hashlab_app::BadInput) if its directory is absent, or if it is one.
pub(crate) fn check(path: &Path) -> Result<()> {
    let shown = path.display();
    if path.is_dir() {
        return Err(bad_input(format!("`--out {shown}` names a directory\nhelp: name a file, which may be new")));
    }
    // A device such as /dev/null takes all; a pipe would wait for a reader.
    if let Some(what @ ("a pipe" | "a socket")) = special(path) {
        return Err(bad_input(format!("`--out {shown}` names {what}\nhelp: name a file, which may be new")));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match folder.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(refused(path, &ErrorKind::NotADirectory.into())),
        Err(error) => Err(refused(path, &error)),
    }
}

/// Writes the file.
///
/// # Errors
/// [`BadInput`](hashlab_app::BadInput) if it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    check(path)?;
    std::fs::write(path, bytes).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &io::Error) -> anyhow::Error {
    let folder = path.parent().unwrap_or(Path::new("")).display();
    let help = match error.kind() {
        ErrorKind::NotFound => format!("make the directory `{folder}`, or name a file in another one"),
        ErrorKind::NotADirectory => format!("`{folder}` is no directory: name a file in another one"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free space on that disk, or name a file elsewhere".to_owned()
        }
        _ => "name a file that you can write".to_owned(),
    };
    bad_input(format!("cannot write {}: {error}\nhelp: {help}", path.display()))
}
