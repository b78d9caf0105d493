//! CUB-200-2011: photos of birds of 200 species.
//!
//! Wah et al.: The Caltech-UCSD Birds-200-2011 dataset (2011). Items are those of `images.txt`, in its order.

use std::collections::BTreeMap;
use std::path::Path;

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::NoParams;

use crate::own::Opened;
use crate::own::labels::NamedLabels;
use crate::own::places::damaged;
use crate::own::public::{Found, count, folder, given, lines};
use crate::own::split::Given;
use crate::own::strings::Strings;

const NAME: &str = "cub200";
const HELP: &str = "unpack CUB_200_2011.tgz of https://data.caltech.edu/records/65de6-vp158 (1,150.6 MB) into a data directory: \
                    it makes the folder CUB_200_2011 with images.txt";

/// Training images and test images.
const SIZES: [usize; 2] = [5_994, 5_794];

/// CUB-200-2011.
pub struct Cub200;

impl DatasetSource for Cub200 {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "CUB-200-2011",
        description: "11,788 photos of birds of 200 species",
        source: "https://data.caltech.edu/records/65de6-vp158",
        license: "none stated at the source",
        citation: "C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie: The Caltech-UCSD Birds-200-2011 dataset. Technical report CNS-TR-2011-001, California Institute of Technology, 2011",
    };
    type Settings = NoParams;

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(dirs, SIZES)?))
    }
}

/// Opens files with so many training and test images.
fn load(dirs: &DataDirs, [train, test]: [usize; 2]) -> Result<Opened, DataError> {
    let root = folder(NAME, &["CUB_200_2011"], "images.txt", dirs, HELP)?;
    let images = table(&root.join("images.txt"))?;
    let [classes, species, trained] =
        ["classes.txt", "image_class_labels.txt", "train_test_split.txt"].map(|file| table(&root.join(file)));
    let (classes, species, trained) = (classes?, species?, trained?);
    let (mut paths, mut labels) = (Strings::default(), NamedLabels::default());
    let mut roles = [Vec::new(), Vec::new()];
    for (id, image) in &images {
        let class = species.get(id).and_then(|class| classes.get(&class.parse().ok()?));
        let class = class.ok_or_else(|| {
            damaged(&root.join("image_class_labels.txt"), format!("image {id} has no class of classes.txt"), HELP)
        })?;
        let class = labels.class(class);
        labels.push([class]);
        let is_train = trained.get(id).is_some_and(|train| train == "1");
        roles[usize::from(is_train)].push(paths.len() as u32);
        paths.push(&format!("images/{image}"));
    }
    let [query, database] = roles;
    let split = root.join("train_test_split.txt");
    count(&split, "training images", train, database.len(), HELP)?;
    count(&split, "test images", test, query.len(), HELP)?;
    let roles = Given { query, database: Some(database), ..Given::default() };
    let about = "queries the official test part (5,794), train and database the official training part (5,994)";
    let recipes = vec![given("official", about, None, roles)];
    let found_at = vec![root.join("images.txt")];
    Found { root, paths, captions: None, labels, recipes, found_at }.open(dirs)
}

/// A file of lines `number value`.
fn table(path: &Path) -> Result<BTreeMap<u32, String>, DataError> {
    let row = |line: &str| {
        let (id, value) = line.trim().split_once(' ').ok_or("expected a number and a value")?;
        Ok((id.parse().map_err(|_| format!("expected a number, got `{id}`"))?, value.trim().to_owned()))
    };
    Ok(lines(path, HELP, row)?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Path) {
        let base = root.join("CUB_200_2011");
        fs::create_dir_all(base.join("images/001.Auk")).unwrap();
        let mut files = ["", "", ""].map(str::to_owned);
        for id in 1..=6 {
            let image = format!("001.Auk/{id}.jpg");
            fs::write(base.join("images").join(&image), format!("image {id}")).unwrap();
            files[0] += &format!("{id} {image}\n");
            files[1] += &format!("{id} {}\n", id % 2 + 1);
            files[2] += &format!("{id} {}\n", usize::from(id > 2));
        }
        for (name, text) in ["images.txt", "image_class_labels.txt", "train_test_split.txt"].iter().zip(files) {
            fs::write(base.join(name), text).unwrap();
        }
        fs::write(base.join("classes.txt"), "1 001.Auk\n2 002.Wren\n").unwrap();
    }

    #[test]
    fn files_of_the_authors_are_read() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        let missing = load(&dirs, [4, 2]).map(|_| ()).unwrap_err().to_string();
        assert!(missing.contains("`images.txt` of data set `cub200`") && missing.contains("CUB_200_2011.tgz"));
        write(root.path());
        let set = load(&dirs, [4, 2]).unwrap();
        assert_eq!(set.info().classes, ["001.Auk", "002.Wren"]);
        assert_eq!([0, 1].map(|item| set.labels().classes_of(item)[0]), [1, 0]);
        let split = set.split("official", 0).unwrap();
        assert_eq!(split.query, [0, 1]);
        let refused = load(&dirs, SIZES).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("expected 5994 training images, got 4"), "{refused}");
        fs::write(root.path().join("CUB_200_2011/image_class_labels.txt"), "1 9\nx\n").unwrap();
        let refused = load(&dirs, [4, 2]).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("image_class_labels.txt:2") && refused.contains("expected a number"), "{refused}");
    }

    #[test]
    fn changed_files_are_answered() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        write(root.path());
        crate::own::mutations::are_answered(root.path(), 60, || load(&dirs, [4, 2]));
    }
}
