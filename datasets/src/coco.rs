//! COCO: photos of everyday scenes with objects of 80 classes and five or more captions each.
//!
//! Lin et al.: Microsoft COCO: Common Objects in Context (ECCV 2014). The files are those of the project's page. Items are
//! the images with at least one object, those of the training part in the order of their numbers, then those of the
//! validation part: the order of DCHMT's preparation, whose split is the default.

mod annotations;

use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary, Protocol};
use hashlab_settings::Params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::Opened;
use crate::own::captions::Captions;
use crate::own::labels::NamedLabels;
use crate::own::places::damaged;
use crate::own::public::{Found, dchmt, share};
use crate::own::split::{Draw, Recipe, Rule};
use crate::own::strings::Strings;
use annotations::Part;

const NAME: &str = "coco";
const PARTS: [&str; 2] = ["train", "val"];
/// Images of both parts together, whichever the year.
const IMAGES: usize = 123_287;
const HELP: &str = "unpack the images and the annotations of https://cocodataset.org/#download into the folder `coco` of a \
                    data directory: train2017/, val2017/, annotations/instances_train2017.json, …";

/// The division into a training and a validation part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Year {
    /// 82,783 and 40,504 images.
    #[serde(rename = "2014")]
    Of2014,
    /// 118,287 and 5,000 images.
    #[default]
    #[serde(rename = "2017")]
    Of2017,
}

impl Year {
    fn number(self) -> u32 {
        match self {
            Self::Of2014 => 2014,
            Self::Of2017 => 2017,
        }
    }
}

/// Settings of `coco`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The division that the files have: `2014` or `2017`. It decides the order of the items, hence the drawn split.
    pub year: Year,
}

impl Params for Settings {}

/// COCO, or files of a `PART`-th of its images.
pub struct Coco<const PART: usize = 1>;

impl<const PART: usize> DatasetSource for Coco<PART> {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "COCO",
        description: "122,218 photos of everyday scenes with objects of 80 classes and five captions each",
        source: "https://cocodataset.org/#download",
        license: "annotations CC BY 4.0; images under the terms of Flickr",
        citation: "T.-Y. Lin et al.: Microsoft COCO: Common objects in context. ECCV 2014",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings.year, dirs, IMAGES, PART)?))
    }
}

/// Opens files with a `part`-th of `images` images.
fn load(year: Year, dirs: &DataDirs, images: usize, part: usize) -> Result<Opened, DataError> {
    let root = find(year, dirs)?;
    let (mut paths, mut labels, mut captions) = (Strings::default(), NamedLabels::default(), Captions::default());
    let mut seen = 0;
    let mut found_at = Vec::new();
    for name in PARTS {
        let name = format!("{name}{}", year.number());
        let [instances, sentences] = ["instances", "captions"].map(|kind| annotation(&root, kind, &name));
        let read = Part::read(&instances, &sentences)?;
        seen += read.images.len();
        for (id, file) in read.images.iter().filter(|(id, _)| read.classes.contains_key(id)) {
            paths.push(&format!("{name}/{file}"));
            let classes: Vec<u32> =
                read.classes[id].iter().map(|category| labels.class(&read.categories[category])).collect();
            labels.push(classes);
            captions.push(read.captions.get(id).into_iter().flatten().map(String::as_str));
        }
        found_at.extend([instances, sentences]);
    }
    let expected = share(images, part);
    if seen != expected {
        let problem = format!("expected {expected} images in the files of both parts, got {seen}");
        return Err(damaged(&found_at[0], problem, HELP));
    }
    let findings = vec![format!("{} of {seen} images have an object", paths.len())];
    let recipes = recipes(paths.len(), part);
    Found { root, paths, captions: Some(captions), labels, recipes, found_at }.open_saying(findings, dirs)
}

/// The folder with the annotations.
fn find(year: Year, dirs: &DataDirs) -> Result<PathBuf, DataError> {
    let first = format!("{}{}", PARTS[0], year.number());
    let places = dirs.places_of(NAME);
    let found = places.iter().find(|place| annotation(place, "instances", &first).is_file());
    found.cloned().ok_or_else(|| DataError::Missing {
        what: format!("data set `{NAME}` of {}", year.number()),
        looked: places.iter().map(|place| annotation(place, "instances", &first)).collect(),
        help: HELP.to_owned(),
    })
}

fn annotation(root: &Path, kind: &str, part: &str) -> PathBuf {
    root.join("annotations").join(format!("{kind}_{part}.json"))
}

/// The split of DCHMT, and draws of the sizes of the supervised and unsupervised papers.
fn recipes(items: usize, part: usize) -> Vec<Recipe> {
    let [few, many] = [5_000, 10_000].map(|number| share(number, part));
    let draw = Draw { queries: few as f64, train_items: Some(many as f64), per_class: false, train_in_database: true };
    let unsupervised = Draw { train_items: Some(few as f64), ..draw };
    vec![
        Recipe {
            protocol: Protocol::new(
                "dchmt",
                "5,000 queries, 10,000 train, database all but the queries, drawn as DCHMT's code draws (numpy, seed 1814), so split_seed orders the database alone",
                None,
            ),
            rule: Rule::Given(dchmt(items, [few, many])),
        },
        Recipe {
            protocol: Protocol::new(
                "coco",
                "5,000 queries and 10,000 train drawn by split_seed, database all but the queries (DeepHash-pytorch's sizes)",
                Some(5000),
            ),
            rule: Rule::Drawn(draw),
        },
        Recipe {
            protocol: Protocol::new(
                "unsupervised",
                "5,000 queries and 5,000 train drawn by split_seed, database all but the queries (the sizes of CIRH and UCMFH)",
                Some(50),
            ),
            rule: Rule::Drawn(unsupervised),
        },
    ]
}

#[cfg(test)]
mod tests;
