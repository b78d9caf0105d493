//! Items to be encoded: files of images, and lines of text.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hashlab_data::special;

use crate::exit::bad_input;

/// Extensions of files in a folder that are taken for images.
const EXTENSIONS: [&str; 8] = ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// The files that the arguments name, and the images in the folders that they name, in order, once each.
///
/// # Errors
/// [`BadInput`](hashlab_app::BadInput) if a name is of nothing, or a folder cannot be read.
pub(crate) fn images(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in named {
        let full = fs::canonicalize(path);
        let full = full.map_err(|error| bad_input(format!("cannot read {}: {error}", path.display())))?;
        if full.is_dir() { in_folder(&full, &mut BTreeSet::new(), &mut found)? } else { found.push(full) }
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

/// Adds the images of a folder, at every depth. A folder that links lead back to is read once.
fn in_folder(folder: &Path, above: &mut BTreeSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<()> {
    let full = fs::canonicalize(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    if !above.insert(full) {
        return Ok(());
    }
    let refused = |error| bad_input(format!("cannot read {}: {error}", folder.display()));
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(refused)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            in_folder(&path, above, found)?;
        } else if is_image(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// The bytes of a file. What stands in the place of one, as a pipe, may have no end.
///
/// # Errors
/// The system's, and what the path leads to if that is no file.
pub(crate) fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    special(path).map_or_else(|| fs::read(path), |found| Err(std::io::Error::other(format!("it is {found}"))))
}

/// The lines of a file, or of standard input, that are not blank; once each.
///
/// # Errors
/// [`BadInput`](hashlab_app::BadInput) if the file cannot be read, or is not UTF-8.
pub(crate) fn texts(path: &Path) -> Result<Vec<String>> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().read_to_end(&mut bytes).map(drop),
        false => content(path).map(|read| bytes = read),
    };
    read.map_err(|error| bad_input(format!("cannot read {}: {error}", path.display())))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        bad_input(format!("{}: line {} is not UTF-8\nhelp: convert the file", path.display(), line + 1))
    })?;
    let mut seen = BTreeSet::new();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.filter(|line| seen.insert(*line)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_at_every_depth_in_order_and_links_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("b")).unwrap();
        for name in ["z.PNG", "a.jpg", "notes.txt", "b/c.webp"] {
            fs::write(root.join(name), b"").unwrap();
        }
        std::os::unix::fs::symlink(&root, root.join("b/loop")).unwrap();
        let found = images(&[root.clone(), root.join("a.jpg")]).unwrap();
        assert_eq!(found, ["a.jpg", "b/c.webp", "z.PNG"].map(|name| root.join(name)));
        let missing = images(&[root.join("none")]).unwrap_err().to_string();
        assert!(missing.contains("none: No such file"), "{missing}");
    }

    #[test]
    fn blank_and_repeated_lines_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.txt");
        fs::write(&path, "a bag\n\n  two bags \r\na bag\n").unwrap();
        assert_eq!(texts(&path).unwrap(), ["a bag", "two bags"]);
        fs::write(&path, b"ok\nok\n\xff\n").unwrap();
        let error = texts(&path).unwrap_err().to_string();
        assert!(error.contains("line 3 is not UTF-8"), "{error}");
    }
}
