//! The authors' files: a file of zeros and ones per concept, a list of images and one of their tags.

use std::fs;
use std::path::Path;

use hashlab_data::{DataDirs, DataError};

use super::{Concepts, HELP, NAME};
use crate::own::Opened;
use crate::own::captions::Captions;
use crate::own::labels::NamedLabels;
use crate::own::mith::NO_TAGS;
use crate::own::places::{damaged, unreadable};
use crate::own::public::{Found, count, dchmt, drawn, folder, given, lines, share};
use crate::own::split::Recipe;
use crate::own::strings::Strings;

/// Images of the set.
pub(super) const IMAGES: usize = 269_648;

/// Concepts of the set.
const CONCEPTS: usize = 81;

/// Opens files of a `part`-th of so many images.
pub(super) fn load(concepts: Concepts, dirs: &DataDirs, images: usize, part: usize) -> Result<Opened, DataError> {
    let images = share(images, part);
    let root = folder(NAME, &["NUS-WIDE"], "Groundtruth/AllLabels", dirs, HELP)?;
    let chosen = chosen(&root, concepts, images)?;
    let find = |folders: &[&str], file: &str| {
        let below = folders.iter().map(|folder| root.join(folder).join(file)).find(|path| path.exists());
        below.map_or_else(|| folder(NAME, folders, file, dirs, HELP).map(|folder| folder.join(file)), Ok)
    };
    let list = find(&["", "ImageList"], "Imagelist.txt")?;
    let tags = find(&["", "NUS_WID_Tags"], "All_Tags.txt")?;
    let names = lines(&list, HELP, |line| Ok(line.trim().replace('\\', "/")))?;
    count(&list, "images", images, names.len(), HELP)?;
    let captions_of = lines(&tags, HELP, |line| {
        let mut words = line.split_whitespace();
        words.next().ok_or("expected the number of an image and its tags")?;
        Ok(words.collect::<Vec<_>>().join(" "))
    })?;
    count(&tags, "lines", images, captions_of.len(), HELP)?;
    let (mut paths, mut captions, mut labels) = (Strings::default(), Captions::default(), NamedLabels::default());
    let classes: Vec<(u32, &Vec<bool>)> = chosen.iter().map(|(name, hot)| (labels.class(name), hot)).collect();
    for (image, (name, caption)) in names.iter().zip(&captions_of).enumerate() {
        let of: Vec<u32> = classes.iter().filter(|(_, hot)| hot[image]).map(|(class, _)| *class).collect();
        if of.is_empty() {
            continue;
        }
        paths.push(&format!("images/{name}"));
        captions.push([if caption.is_empty() { NO_TAGS } else { caption.as_str() }]);
        labels.push(of);
    }
    if paths.len() == 0 {
        return Err(damaged(&list, "no image has one of the concepts", HELP));
    }
    let recipes = recipes(concepts, paths.len(), part);
    let found_at = vec![list, tags];
    Found { root, paths, captions: Some(captions), labels, recipes, found_at }.open(dirs)
}

/// The protocols.
fn recipes(concepts: Concepts, items: usize, part: usize) -> Vec<Recipe> {
    let shares = |numbers: [usize; 2]| numbers.map(|number| share(number, part));
    let unsupervised = |queries: usize| {
        let about = "queries and 5,000 train drawn by split_seed, database all but the queries";
        drawn(
            "unsupervised",
            &format!("{queries} {about} (the sizes of unsupervised cross-modal papers)"),
            Some(50),
            shares([queries, 5_000]),
        )
    };
    match concepts {
        Concepts::Of10 => vec![unsupervised(2_000)],
        Concepts::Of21 => vec![
            given(
                "toolkit",
                "5,000 queries, 10,000 train, database all but the queries, drawn as DCHMT's code draws (numpy, seed 1814), so split_seed orders the database alone",
                None,
                dchmt(items, shares([5_000, 10_000])),
            ),
            drawn(
                "supervised",
                "2,100 queries and 10,500 train drawn by split_seed, database all but the queries",
                None,
                shares([2_100, 10_500]),
            ),
            unsupervised(2_100),
        ],
        Concepts::Of81 => vec![drawn(
            "supervised",
            "5,000 queries and 10,000 train drawn by split_seed, database all but the queries",
            Some(5000),
            shares([5_000, 10_000]),
        )],
    }
}

/// The most frequent concepts, in the order of their names, with the images that have them.
fn chosen(root: &Path, concepts: Concepts, images: usize) -> Result<Vec<(String, Vec<bool>)>, DataError> {
    let folder = root.join("Groundtruth/AllLabels");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable(&folder))? {
        let path = entry.map_err(unreadable(&folder))?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix("Labels_") else { continue };
        let hot = lines(&path, HELP, |line| match line.trim() {
            "0" => Ok(false),
            "1" => Ok(true),
            other => Err(format!("expected 0 or 1, got `{other}`")),
        })?;
        count(&path, "lines", images, hot.len(), HELP)?;
        all.push((name.to_owned(), hot));
    }
    count(&folder, "files Labels_CONCEPT.txt", CONCEPTS, all.len(), HELP)?;
    let most = match concepts {
        Concepts::Of10 => 10,
        Concepts::Of21 => 21,
        Concepts::Of81 => CONCEPTS,
    };
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.sort_by_key(|(_, hot)| std::cmp::Reverse(hot.iter().filter(|hot| **hot).count()));
    all.truncate(most);
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use hashlab_data::{Dataset, ItemData, Modality};

    use super::*;

    /// 90 images; image i has the concepts i … 80, so that later concepts are more frequent, and the last nine have none.
    fn write(root: &Path) {
        let base = root.join("nuswide");
        let labels = base.join("Groundtruth/AllLabels");
        fs::create_dir_all(&labels).unwrap();
        fs::create_dir_all(base.join("images/sea")).unwrap();
        for concept in 0..81 {
            let hot = |image: usize| if image <= concept { "1\r\n" } else { "0\r\n" };
            fs::write(labels.join(format!("Labels_c{concept:02}.txt")), (0..90).map(hot).collect::<String>()).unwrap();
        }
        let images = (0..90).map(|image| format!("sea\\{image:04}.jpg \r\n")).collect::<String>();
        fs::write(base.join("Imagelist.txt"), images).unwrap();
        let tags = (0..90).map(|image| format!("{image} {}\r\n", if image == 1 { "" } else { "blue sea" }));
        fs::write(base.join("All_Tags.txt"), tags.collect::<String>()).unwrap();
        for image in 0..90 {
            fs::write(base.join(format!("images/sea/{image:04}.jpg")), format!("image {image}")).unwrap();
        }
    }

    #[test]
    fn the_most_frequent_concepts_select_the_items() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        write(root.path());
        let set = load(Concepts::Of10, &dirs, 90, 1).unwrap();
        assert_eq!((set.len(), set.info().classes.len()), (81, 10));
        assert_eq!(set.info().classes[0], "c71");
        assert_eq!((set.labels().classes_of(0).len(), set.labels().classes_of(80)), (10, vec![9]));
        let Some(ItemData::Texts(texts)) = set.data(Modality::Text) else { panic!("there are tags") };
        assert_eq!([0, 1].map(|item| texts.text(item, 0).unwrap()), ["blue sea", NO_TAGS]);
        assert_eq!(load(Concepts::Of81, &dirs, 90, 1).unwrap().labels().classes_of(0).len(), 81);
        let refused = load(Concepts::Of21, &dirs, IMAGES, 1).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("expected 269648 lines, got 90"), "{refused}");
        fs::write(root.path().join("nuswide/Groundtruth/AllLabels/Labels_c00.txt"), "0\n2\n").unwrap();
        let refused = load(Concepts::Of21, &dirs, 90, 1).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("Labels_c00.txt:2") && refused.contains("expected 0 or 1, got `2`"), "{refused}");
    }

    #[test]
    fn changed_files_are_answered() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        write(root.path());
        crate::own::mutations::are_answered(root.path(), 4, || load(Concepts::Of10, &dirs, 90, 1));
    }
}
