//! COCO's annotation files.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use hashlab_data::DataError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::HELP;
use crate::own::places::{damaged, opened};

/// Images of a part, by number, and what is known of them.
pub(super) struct Part {
    /// Names of their files.
    pub(super) images: BTreeMap<u64, String>,
    /// Names of the categories.
    pub(super) categories: BTreeMap<u64, String>,
    /// Categories of the objects, each once, ascending; images without objects are absent.
    pub(super) classes: BTreeMap<u64, Vec<u64>>,
    /// Sentences, in the order of the file.
    pub(super) captions: BTreeMap<u64, Vec<String>>,
}

#[derive(Deserialize)]
struct Instances {
    images: Vec<Image>,
    categories: Vec<Category>,
    annotations: Vec<Object>,
}

#[derive(Deserialize)]
struct Captions {
    annotations: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Object {
    image_id: u64,
    category_id: u64,
}

#[derive(Deserialize)]
struct Sentence {
    image_id: u64,
    caption: String,
}

impl Part {
    /// Reads the files of a part.
    ///
    /// # Errors
    /// If they are missing or damaged, or an object is of a category that the file does not name.
    pub(super) fn read(instances: &Path, captions: &Path) -> Result<Self, DataError> {
        let read: Instances = json(instances)?;
        let images = read.images.into_iter().map(|image| (image.id, image.file_name)).collect();
        let categories: BTreeMap<u64, String> = read.categories.into_iter().map(|c| (c.id, c.name)).collect();
        let mut classes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for object in read.annotations {
            if !categories.contains_key(&object.category_id) {
                let problem =
                    format!("image {} has an object of the unknown category {}", object.image_id, object.category_id);
                return Err(damaged(instances, problem, HELP));
            }
            let of_image = classes.entry(object.image_id).or_default();
            if let Err(place) = of_image.binary_search(&object.category_id) {
                of_image.insert(place, object.category_id);
            }
        }
        let mut sentences: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for sentence in json::<Captions>(captions)?.annotations {
            sentences.entry(sentence.image_id).or_default().push(sentence.caption);
        }
        Ok(Self { images, categories, classes, captions: sentences })
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let file = opened(path)?;
    serde_json::from_reader(BufReader::with_capacity(1 << 20, file))
        .map_err(|error| damaged(path, format!("not an annotation file of COCO: {error}"), HELP))
}
