//! Finding the images below a folder.

use std::fs;
use std::path::{Path, PathBuf};

use hashlab_data::DataError;

use crate::own::places::{damaged, unreadable};

/// Endings of the names of images, in lower case.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// What lies below a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Paths of images from the folder, in the order of their bytes.
    pub(crate) images: Vec<String>,
    /// Number of other files; hidden ones are not counted.
    pub(crate) others: usize,
}

/// Lists the images below a folder, through links.
///
/// # Errors
/// If a folder cannot be read, links lead in a circle, or a name is no UTF-8.
pub(crate) fn images_below(dir: &Path) -> Result<Walk, DataError> {
    let mut walk = Walk::default();
    let mut above = Vec::new();
    enter(dir, "", &mut above, &mut walk)?;
    walk.images.sort_unstable();
    Ok(walk)
}

fn enter(dir: &Path, prefix: &str, above: &mut Vec<PathBuf>, walk: &mut Walk) -> Result<(), DataError> {
    let real = fs::canonicalize(dir).map_err(unreadable(dir))?;
    if above.contains(&real) {
        let problem = format!("the link leads back to {}, which holds it", real.display());
        return Err(damaged(dir, problem, "remove the link"));
    }
    above.push(real);
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let entry = entry.map_err(unreadable(dir))?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            return Err(damaged(&path, "the name is no UTF-8", "rename the file"));
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(unreadable(&path))?;
        let kind = if kind.is_symlink() { path.metadata().ok().map(|found| found.file_type()) } else { Some(kind) };
        // A link that leads nowhere counts as the file that its name says. Pipes and devices may have no end.
        let is_file = kind.is_none_or(|kind| kind.is_file());
        if kind.is_some_and(|kind| kind.is_dir()) {
            enter(&path, &format!("{prefix}{name}/"), above, walk)?;
        } else if is_file && is_image(&name) {
            walk.images.push(format!("{prefix}{name}"));
        } else {
            walk.others += 1;
        }
    }
    above.pop();
    Ok(())
}

fn is_image(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn images_are_found_in_order_through_links_and_circles_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("cat/small")).unwrap();
        fs::create_dir_all(at("elsewhere")).unwrap();
        for file in
            ["cat/b.JPG", "cat/a.png", "cat/small/c.webp", "cat/notes.txt", "cat/.hidden.png", "elsewhere/d.gif"]
        {
            fs::write(at(file), "").unwrap();
        }
        symlink(at("elsewhere"), at("cat/link")).unwrap();
        symlink(at("elsewhere/d.gif"), at("cat/e.gif")).unwrap();
        symlink(at("gone"), at("cat/f.png")).unwrap();
        // What is no file has no end, or waits for one who writes.
        assert!(std::process::Command::new("mkfifo").arg(at("cat/g.png")).status().unwrap().success());
        symlink("/dev/zero", at("cat/h.png")).unwrap();
        let walk = images_below(&at("cat")).unwrap();
        assert_eq!(walk.images, ["a.png", "b.JPG", "e.gif", "f.png", "link/d.gif", "small/c.webp"]);
        assert_eq!(walk.others, 3);
        symlink(at("cat"), at("cat/small/again")).unwrap();
        let circle = images_below(&at("cat")).unwrap_err().to_string();
        assert!(circle.contains("small/again") && circle.contains("leads back to"), "{circle}");
    }
}
