//! Flickr30k: photos of Flickr with five sentences each, and no labels.
//!
//! Young et al. (TACL 2014), with the parts of Karpathy and Li (CVPR 2015): 29,000 images to train on, 1,014 for
//! validation and 1,000 for test. `dataset_flickr30k.json` holds sentences and parts.
//!
//! # Relevance
//!
//! An image and its own sentences belong together, nothing else does: **the class of an item is its image**. An image of
//! the parts for validation and test is two items. The first is a query; the second is in the database, and its sentences
//! begin with the next one, since the first sentence of an item stands for it. A query has one relevant item then: its
//! image (`t2i`), or another sentence about it (`i2t`, `t2t`), and average precision is the reciprocal of that rank.
//! `i2i` finds the same picture again and says nothing. Papers on features search all five sentences of the 1,000 images
//! instead; their recalls are other numbers.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::NoParams;
use serde::Deserialize;

use crate::own::Opened;
use crate::own::captions::Captions;
use crate::own::labels::NamedLabels;
use crate::own::places::{damaged, opened};
use crate::own::public::{Found, count, folder, given};
use crate::own::split::Given;
use crate::own::strings::Strings;

const NAME: &str = "flickr30k";
const FILE: &str = "dataset_flickr30k.json";
/// Folders that the images are in, in copies of the set.
const FOLDERS: [&str; 4] = ["flickr30k-images", "flickr30k_images", "images", ""];
const HELP: &str = "put dataset_flickr30k.json (Karpathy's parts: flickr30k.zip of \
                    https://cs.stanford.edu/people/karpathy/deepimagesent) and the images, which the authors send on request \
                    (https://shannon.cs.illinois.edu/DenotationGraph), into the folder `flickr30k` of a data directory: \
                    flickr30k-images/1000092795.jpg, …";

/// Images for training, validation and test.
const SIZES: [usize; 3] = [29_000, 1_014, 1_000];
const PARTS: [&str; 3] = ["train", "val", "test"];

/// Flickr30k.
pub struct Flickr30k;

impl DatasetSource for Flickr30k {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "Flickr30k",
        description: "31,014 photos with five sentences each, and no labels: an image and its sentences belong together",
        source: "https://shannon.cs.illinois.edu/DenotationGraph; parts: https://cs.stanford.edu/people/karpathy/deepimagesent",
        license: "images under the terms of Flickr, for non-commercial research and education",
        citation: "P. Young, A. Lai, M. Hodosh, J. Hockenmaier: From image descriptions to visual denotations. TACL 2, 2014; parts of A. Karpathy, L. Fei-Fei: Deep visual-semantic alignments. CVPR 2015",
    };
    type Settings = NoParams;

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(dirs, SIZES)?))
    }
}

/// Opens files with so many images in each part.
fn load(dirs: &DataDirs, sizes: [usize; 3]) -> Result<Opened, DataError> {
    let place = folder(NAME, &[], FILE, dirs, HELP)?;
    let file = place.join(FILE);
    let images = read(&file)?;
    let mut items = Items::default();
    let mut roles = Vec::new();
    for (part, size) in PARTS.into_iter().zip(sizes) {
        let of_part: Vec<&Image> = images.iter().filter(|image| image.split == part).collect();
        count(&file, &format!("images of the part `{part}`"), size, of_part.len(), HELP)?;
        // The images in the database follow those that are queries; training images are there once.
        for rotation in 0..(if part == "train" { 1 } else { 2 }) {
            let first = items.paths.len() as u32;
            of_part.iter().for_each(|image| items.push(image, rotation));
            roles.push((first..items.paths.len() as u32).collect::<Vec<u32>>());
        }
    }
    let [train, validation_query, validation_database, query, database] = roles.try_into().expect("five roles");
    let roles = Given {
        query,
        train: Some(train),
        database: Some(database),
        validation_query: Some(validation_query),
        validation_database: Some(validation_database),
    };
    let about = "queries the 1,000 test images and their first sentences, database the same images and their second ones, train the 29,000 training images; relevant is what belongs to the same image";
    let recipes = vec![given("pairs", about, None, roles)];
    let Items { paths, captions, labels } = items;
    let root = root(&place, if paths.len() > 0 { paths.get(0) } else { "" });
    Found { root, paths, captions: Some(captions), labels, recipes, found_at: vec![file] }.open(dirs)
}

/// The folder of the images.
fn root(place: &Path, first: &str) -> PathBuf {
    let folders = FOLDERS.map(|folder| place.join(folder));
    folders.iter().find(|folder| folder.join(first).is_file()).unwrap_or(&folders[0]).clone()
}

/// Items: an image, its sentences, and its name as the class.
#[derive(Default)]
struct Items {
    paths: Strings,
    captions: Captions,
    labels: NamedLabels,
}

impl Items {
    /// Appends an image, whose sentences begin with number `rotation`.
    fn push(&mut self, image: &Image, rotation: usize) {
        let (before, from) = image.sentences.split_at(rotation);
        self.captions.push(from.iter().chain(before).map(|sentence| sentence.raw.as_str()));
        self.paths.push(&image.filename);
        let class = self.labels.class(&image.filename);
        self.labels.push([class]);
    }
}

#[derive(Deserialize)]
struct Listing {
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    filename: String,
    split: String,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
}

/// Reads the images of the listing. Each has at least two sentences.
fn read(path: &Path) -> Result<Vec<Image>, DataError> {
    let file = BufReader::with_capacity(1 << 20, opened(path)?);
    let listing: Listing = serde_json::from_reader(file)
        .map_err(|error| damaged(path, format!("not Karpathy's listing of Flickr30k: {error}"), HELP))?;
    let spoken = |image: &Image| image.sentences.iter().filter(|sentence| !sentence.raw.trim().is_empty()).count();
    match listing.images.iter().find(|image| spoken(image) < 2) {
        Some(image) => {
            let problem = format!("{} has {} sentences, at least 2 are expected", image.filename, spoken(image));
            Err(damaged(path, problem, HELP))
        }
        None => Ok(listing.images),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hashlab_data::{ItemData, Modality};
    use serde_json::json;

    use super::*;

    /// 12 images for training, 3 for validation, 4 for test, in the order of the file test, train, val.
    fn write(root: &Path) {
        let base = root.join("flickr30k");
        fs::create_dir_all(base.join("flickr30k-images")).unwrap();
        let parts = [("test", 4), ("train", 12), ("val", 3)];
        let names =
            parts.iter().flat_map(|(part, count)| (0..*count).map(move |at| (*part, format!("{part}{at}.jpg"))));
        let image = |(part, name): (&str, String)| {
            fs::write(base.join("flickr30k-images").join(&name), format!("image {name}")).unwrap();
            let sentences: Vec<_> =
                (0..5).map(|n| json!({"tokens": [], "raw": format!("{name} says {n}."), "sentid": n})).collect();
            json!({"sentids": [], "imgid": 0, "sentences": sentences, "split": part, "filename": name})
        };
        let listing = json!({"images": names.map(image).collect::<Vec<_>>(), "dataset": "flickr30k"});
        fs::write(base.join(FILE), listing.to_string()).unwrap();
    }

    #[test]
    fn an_item_of_the_database_is_the_same_image_with_another_sentence() {
        let root = tempfile::tempdir().unwrap();
        write(root.path());
        let set = load(&DataDirs::of(vec![root.path().to_owned()]), [12, 3, 4]).unwrap();
        assert_eq!((set.len(), set.info().classes.len()), (12 + 6 + 8, 19));
        let split = set.split("pairs", 0).unwrap();
        assert_eq!((split.train.len(), split.query.as_slice()), (12, &[18, 19, 20, 21][..]));
        let Some(ItemData::Texts(texts)) = set.data(Modality::Text) else { panic!("there are sentences") };
        assert_eq!(texts.captions(), 5);
        let first = |item: u32| texts.text(item as usize, 0).unwrap();
        let both = [(&split.query, &split.database), (&split.validation_query, &split.validation_database)];
        for (queries, database) in both {
            assert_eq!(queries.len(), database.len());
            for &query in queries {
                let relevant: Vec<u32> = database
                    .iter()
                    .copied()
                    .filter(|&item| set.labels().item(item as usize) == set.labels().item(query as usize))
                    .collect();
                assert_eq!(relevant.len(), 1);
                let name = first(query).replace(" says 0.", "");
                assert_eq!(first(relevant[0]), format!("{name} says 1."));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        let refused = |sizes| load(&dirs, sizes).map(|_| ()).unwrap_err().to_string();
        assert!(refused(SIZES).contains("`dataset_flickr30k.json` of data set `flickr30k`"));
        write(root.path());
        assert!(refused(SIZES).contains("expected 29000 images of the part `train`, got 12"), "{}", refused(SIZES));
        fs::remove_file(root.path().join("flickr30k/flickr30k-images/val1.jpg")).unwrap();
        let gone = refused([12, 3, 4]);
        assert!(gone.contains("2 of 26 items have no image") && gone.contains("val1.jpg"), "{gone}");
        let listing = json!({"images": [{"filename": "a.jpg", "split": "test", "sentences": [{"raw": "one"}]}]});
        fs::write(root.path().join("flickr30k").join(FILE), listing.to_string()).unwrap();
        assert!(refused([12, 3, 4]).contains("a.jpg has 1 sentences"), "{}", refused([12, 3, 4]));
        fs::write(root.path().join("flickr30k").join(FILE), "{\"images\": 3}").unwrap();
        assert!(refused([12, 3, 4]).contains("not Karpathy's listing"), "{}", refused([12, 3, 4]));
    }

    #[test]
    fn changed_files_are_answered() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        write(root.path());
        crate::own::mutations::are_answered(root.path(), 300, || load(&dirs, [12, 3, 4]));
    }
}
