//! A folder of images with a folder per class, as torchvision's `ImageFolder` reads it.
//!
//! A class is a folder directly under `dir`; images may lie at any depth below it. Where files give the split, `query`,
//! `train` and `database` name folders under `dir` that hold the folders of the classes: `query = "val"`,
//! `train = "train"`. Links are followed. Items are in the order of their paths.

mod walk;

use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::image_files::ImageFiles;
use crate::own::labels::NamedLabels;
use crate::own::places::{find, unset};
use crate::own::settings::OwnSettings;
use crate::own::split::{Given, Recipe};
use crate::own::strings::Strings;
use crate::own::{Listed, Opened};
use walk::Walk;
pub(crate) use walk::images_below;

const NAME: &str = "image_folder";

/// Settings of `image_folder`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Folder with a folder per class; with `query`, folder of the folders that `query`, `train` and `database` name.
    pub dir: Option<String>,
    /// Items and splits.
    #[serde(flatten)]
    pub own: OwnSettings,
}

impl Params for Settings {
    fn check(&self) -> Violations {
        self.own.check(None)
    }
}

/// A folder per class.
pub struct ImageFolder;

impl DatasetSource for ImageFolder {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "Image folder",
        description: "images of your own in a folder per class",
        source: "your files",
        license: "yours",
        citation: "the source of the images",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings, dirs)?))
    }
}

fn load(settings: &Settings, dirs: &DataDirs) -> Result<Opened, DataError> {
    let dir = settings.dir.as_deref().ok_or_else(|| unset(NAME, "dir", "photos"))?;
    let root = find(NAME, "dir", dir, dirs)?;
    settings.own.require_split()?;
    let mut found = Found::default();
    let mut given = settings.own.given().then(Given::default);
    let mut places: Vec<(String, std::ops::Range<u32>)> = Vec::new();
    match &mut given {
        None => _ = found.add(&root, Path::new(""))?,
        Some(given) => {
            for (role, place) in settings.own.roles() {
                let Some(place) = place else { continue };
                let known = places.iter().find(|(known, _)| known == place).map(|(_, range)| range.clone());
                let range = match known {
                    Some(range) => range,
                    None => found.add(&root, Path::new(place))?,
                };
                given.set(role, range.clone().collect());
                places.push((place.to_owned(), range));
            }
        }
    }
    let Found { paths, labels, others } = found;
    let mut findings = Vec::new();
    match others {
        0 => {}
        1 => findings.push("another file, which is no image by its name, is not read".to_owned()),
        others => findings.push(format!("{others} other files, which are no images by their names, are not read")),
    }
    Opened::of(
        Listed {
            pictures: Some(Box::new(ImageFiles::new(root.clone(), paths, settings.own.exif.into()))),
            captions: None,
            labels,
            class_names: Vec::new(),
            recipes: vec![Recipe::of(&settings.own, given)],
            found_at: vec![root],
            findings,
        },
        &settings.own,
        dirs,
    )
}

/// Images under one or more folders.
#[derive(Default)]
struct Found {
    paths: Strings,
    labels: NamedLabels,
    /// Files that are no images.
    others: usize,
}

impl Found {
    /// Adds the images of a folder of class folders; returns their numbers.
    fn add(&mut self, root: &Path, below: &Path) -> Result<std::ops::Range<u32>, DataError> {
        let first = self.paths.len() as u32;
        let dir: PathBuf = root.join(below);
        let Walk { images, others } = images_below(&dir)?;
        self.others += others;
        if images.is_empty() {
            return Err(DataError::Missing {
                what: format!("an image of data set `{NAME}`"),
                looked: vec![dir],
                help: "`dir` needs a folder per class with .jpg, .jpeg, .png, .webp, .gif, .bmp, .tif or .tiff files"
                    .to_owned(),
            });
        }
        for image in images {
            // An image beside the folders of the classes has no class.
            let class = image.split_once('/').map(|(class, _)| self.labels.class(class));
            self.labels.push(class);
            self.paths.push(&below.join(&image).to_string_lossy());
        }
        Ok(first..self.paths.len() as u32)
    }
}
