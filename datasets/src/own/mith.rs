//! Pairs of images and tags as DarrenZZhang/MM23-MITH publishes them: three text files with a line per item.
//!
//! `all_imgs.txt` has a path, `all_tags.txt` tags divided by commas, `all_labels.txt` a 0 or 1 for every class, divided by
//! spaces. The caption of an item is its tags, divided by spaces.

use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError};

use super::Opened;
use super::captions::Captions;
use super::labels::NamedLabels;
use super::public::{Found, count, every_line, folder, lines, share};
use super::split::Recipe;
use super::strings::Strings;

/// A public set in three files.
pub(crate) struct MithSet {
    /// The data set.
    pub(crate) set: &'static str,
    /// A folder in which the files may be.
    pub(crate) folder: &'static str,
    pub(crate) items: usize,
    pub(crate) classes: usize,
    /// Advice where files are missing.
    pub(crate) help: &'static str,
}

impl MithSet {
    /// Opens the set, of which the files hold a `part`-th.
    ///
    /// # Errors
    /// If files are missing, damaged, or have another number of lines.
    pub(crate) fn open(&self, recipes: Vec<Recipe>, dirs: &DataDirs, part: usize) -> Result<Opened, DataError> {
        let place = folder(self.set, &[self.folder], "all_imgs.txt", dirs, self.help)?;
        let pairs = read(&place, [share(self.items, part), self.classes], self.help)?;
        let root = root(&place, &pairs, dirs, self.set);
        let Pairs { paths, captions, labels, found_at } = pairs;
        Found { root, paths, captions: Some(captions), labels, recipes, found_at }.open(dirs)
    }
}

/// The items of the three files.
struct Pairs {
    paths: Strings,
    captions: Captions,
    labels: NamedLabels,
    found_at: Vec<PathBuf>,
}

/// Reads the files in a folder, which must have so many items of so many classes.
///
/// # Errors
/// If a file is missing or damaged, or the files differ in the number of lines.
fn read(folder: &Path, [items, classes]: [usize; 2], help: &str) -> Result<Pairs, DataError> {
    let [imgs, tags, hot] = ["all_imgs.txt", "all_tags.txt", "all_labels.txt"].map(|file| folder.join(file));
    let mut paths = Strings::default();
    lines(&imgs, help, |line| {
        paths.push(line.trim());
        Ok(())
    })?;
    count(&imgs, "lines", items, paths.len(), help)?;
    let mut captions = Captions::default();
    for line in every_line(&tags)? {
        let caption = line.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect::<Vec<_>>().join(" ");
        captions.push([if caption.is_empty() { NO_TAGS } else { &caption }]);
    }
    let mut labels = NamedLabels::default();
    for class in 0..classes {
        labels.class(&class.to_string());
    }
    lines(&hot, help, |line| {
        let hot: Vec<&str> = line.split_whitespace().collect();
        if hot.len() != classes || hot.iter().any(|label| !["0", "1"].contains(label)) {
            return Err(format!("expected {classes} labels of 0 or 1, got {} cells", hot.len()));
        }
        labels.push((0..).zip(hot).filter(|(_, label)| *label == "1").map(|(class, _)| class));
        Ok(())
    })?;
    count(&hot, "lines", items, labels.len(), help)?;
    count(&tags, "lines", items, captions.len(), help)?;
    Ok(Pairs { paths, captions, labels, found_at: vec![imgs, tags, hot] })
}

/// The caption of an item without tags, as DCHMT's preparation of NUS-WIDE writes it.
pub(crate) const NO_TAGS: &str = "123456";

/// The folder in which the paths of `pairs` start: that of the files, the one around it, or a data directory.
fn root(place: &Path, pairs: &Pairs, dirs: &DataDirs, set: &str) -> PathBuf {
    let first = if pairs.paths.len() > 0 { pairs.paths.get(0) } else { "" };
    let around = place.parent().unwrap_or(Path::new("")).to_owned();
    let places = [place.to_owned(), around].into_iter().chain(dirs.places_of(set));
    places.into_iter().find(|root| root.join(first).exists()).unwrap_or_else(|| place.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn three_files_are_read_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("all_imgs.txt", "mirflickr/im1.jpg\nmirflickr/im2.jpg\n");
        write("all_tags.txt", "sea,blue sky\n\n");
        write("all_labels.txt", "1 0 1\n0 0 1\n");
        let pairs = read(folder.path(), [2, 3], "fetch it").unwrap();
        assert_eq!([pairs.captions.get(0, 0), pairs.captions.get(1, 0)], ["sea blue sky", NO_TAGS]);
        assert_eq!((pairs.labels.item(0), pairs.labels.item(1)), (&[0, 2][..], &[2][..]));
        let refused = |sizes| read(folder.path(), sizes, "fetch it").map(|_| ()).unwrap_err().to_string();
        assert!(refused([3, 3]).contains("all_imgs.txt") && refused([3, 3]).contains("expected 3 lines, got 2"));
        assert!(refused([2, 4]).contains("all_labels.txt:1") && refused([2, 4]).contains("expected 4 labels"));
        write("all_tags.txt", "sea\n");
        assert!(refused([2, 3]).contains("all_tags.txt") && refused([2, 3]).contains("expected 2 lines, got 1"));
    }
}
