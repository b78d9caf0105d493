//! The items with annotations, from the authors' files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError};

use super::{HELP, NAME, annotated_recipes};
use crate::own::Opened;
use crate::own::captions::Captions;
use crate::own::labels::NamedLabels;
use crate::own::mith::NO_TAGS;
use crate::own::places::{content, damaged, unreadable};
use crate::own::public::{Found, count, folder, lines};
use crate::own::strings::Strings;

/// Images of the archive.
const IMAGES: u32 = 25_000;
/// Annotations of what an image shows, and with those of what it is relevant for.
const CLASSES: [usize; 2] = [24, 38];
/// The ending of the latter's names.
const RELEVANT: &str = "_r1";

/// Opens files of which so many items have an annotation.
pub(super) fn load(relevant: bool, dirs: &DataDirs, items: usize, part: usize) -> Result<Opened, DataError> {
    let root = folder(NAME, &["mirflickr"], "meta/tags", dirs, HELP)?;
    let annotations = annotations(&root, dirs)?;
    let classes = read(&annotations)?;
    let shown: BTreeSet<u32> = classes
        .iter()
        .filter(|(name, _)| !name.ends_with(RELEVANT))
        .flat_map(|(_, images)| images.iter().copied())
        .collect();
    count(&annotations, "images with an annotation", items, shown.len(), HELP)?;
    // The order of DCHMT's preparation: numbers as strings.
    let mut order: Vec<(String, u32)> = shown.into_iter().map(|image| (image.to_string(), image)).collect();
    order.sort();
    let (mut paths, mut captions, mut labels) = (Strings::default(), Captions::default(), NamedLabels::default());
    let named: Vec<(u32, &BTreeSet<u32>)> = classes
        .iter()
        .filter(|(name, _)| relevant || !name.ends_with(RELEVANT))
        .map(|(name, images)| (labels.class(name), images))
        .collect();
    for (name, image) in &order {
        let tags = root.join(format!("meta/tags/tags{name}.txt"));
        let text = content(&tags)?;
        let caption = String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ");
        captions.push([if caption.is_empty() { NO_TAGS } else { &caption }]);
        paths.push(&format!("im{name}.jpg"));
        labels.push(named.iter().filter(|(_, images)| images.contains(image)).map(|(class, _)| *class));
    }
    let recipes = annotated_recipes(paths.len(), part);
    let found_at = vec![annotations];
    Found { root, paths, captions: Some(captions), labels, recipes, found_at }.open(dirs)
}

/// The folder of the annotations.
fn annotations(root: &Path, dirs: &DataDirs) -> Result<PathBuf, DataError> {
    const FOLDERS: [&str; 2] = ["mirflickr25k_annotations_v080", "annotations"];
    let below = FOLDERS.map(|folder| root.join(folder)).into_iter().find(|folder| folder.join("animals.txt").exists());
    below.map_or_else(|| folder(NAME, &FOLDERS, "animals.txt", dirs, HELP), Ok)
}

/// The images of every class, by its name.
fn read(folder: &Path) -> Result<Vec<(String, BTreeSet<u32>)>, DataError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let name = entry.map_err(unreadable(folder))?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".txt").filter(|name| !name.starts_with("README")).map(str::to_owned));
    }
    names.sort();
    let shown = names.iter().filter(|name| !name.ends_with(RELEVANT)).count();
    if [shown, names.len()] != CLASSES {
        let [expected, all] = CLASSES;
        let problem = format!(
            "expected {expected} files of annotations and {} of relevance, got {shown} and {}",
            all - expected,
            names.len() - shown
        );
        return Err(damaged(folder, problem, HELP));
    }
    let class = |name: String| {
        let path = folder.join(format!("{name}.txt"));
        let image = |line: &str| match line.trim().parse::<u32>() {
            Ok(image) if (1..=IMAGES).contains(&image) => Ok(image),
            _ => Err(format!("expected a number from 1 to {IMAGES}, got `{}`", line.trim())),
        };
        Ok((name, lines(&path, HELP, image)?.into_iter().collect()))
    };
    names.into_iter().map(class).collect()
}

#[cfg(test)]
mod tests {
    use hashlab_data::{Dataset, ItemData, Modality};

    use super::*;

    /// 12 images, of which the last two have no annotation; class `animals` has the even ones.
    fn write(root: &Path) {
        let base = root.join("mirflickr");
        let (tags, annotations) = (base.join("meta/tags"), base.join("mirflickr25k_annotations_v080"));
        fs::create_dir_all(&tags).unwrap();
        fs::create_dir_all(&annotations).unwrap();
        for image in 1..=12 {
            fs::write(base.join(format!("im{image}.jpg")), format!("image {image}")).unwrap();
            let text = if image == 3 { String::new() } else { format!("tag{image}\r\nsea\r\n") };
            fs::write(tags.join(format!("tags{image}.txt")), text).unwrap();
        }
        fs::write(annotations.join("README.txt"), "notes").unwrap();
        fs::write(annotations.join("animals.txt"), "2\n4\n6\n8\n10\n").unwrap();
        for class in 1..24 {
            fs::write(annotations.join(format!("class{class:02}.txt")), "1\n3\n5\n7\n9\n").unwrap();
        }
        for class in 1..15 {
            fs::write(annotations.join(format!("class{class:02}_r1.txt")), "9\n").unwrap();
        }
    }

    #[test]
    fn annotations_and_tags_become_labels_and_captions() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        write(root.path());
        let set = load(false, &dirs, 10, 1).unwrap();
        assert_eq!((set.len(), set.info().classes.len()), (10, 24));
        let Some(ItemData::Texts(texts)) = set.data(Modality::Text) else { panic!("there are tags") };
        // 1, 10, 2, 3, …: the order of strings.
        let captions: Vec<String> = (0..4).map(|item| texts.text(item, 0).unwrap()).collect();
        assert_eq!(captions, ["tag1 sea", "tag10 sea", "tag2 sea", NO_TAGS]);
        assert_eq!(set.labels().classes_of(1), [0]);
        assert_eq!(set.labels().classes_of(0).len(), 23);
        let all = load(true, &dirs, 10, 1).unwrap();
        assert_eq!((all.info().classes.len(), all.labels().classes_of(9).len()), (38, 23 + 14));
        let refused = load(false, &dirs, 24_581, 1).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("expected 24581 images with an annotation, got 10"), "{refused}");
        fs::remove_file(root.path().join("mirflickr/mirflickr25k_annotations_v080/class01.txt")).unwrap();
        let refused = load(false, &dirs, 10, 1).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("expected 24 files of annotations and 14 of relevance, got 23 and 14"), "{refused}");
    }

    #[test]
    fn changed_files_are_answered() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        write(root.path());
        crate::own::mutations::are_answered(root.path(), 8, || load(true, &dirs, 10, 1));
    }
}
