//! Lists of images with their labels, as HashNet and DeepHash-pytorch publish them.
//!
//! A line is `path label0 label1 …` with a 0 or 1 for every class, or with `labels = "number"` `path class`. Paths start
//! at `root`. A list is that of a role (`query`, `train`, `database`), so that the split is the published one, or `files`
//! holds all items and queries are drawn. An image that is in several lists is one item.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::image_files::ImageFiles;
use crate::own::labels::NamedLabels;
use crate::own::places::{damaged, damaged_line, find, opened, unreadable};
use crate::own::settings::OwnSettings;
use crate::own::split::{Given, Recipe};
use crate::own::strings::Strings;
use crate::own::{Listed, Opened};

const NAME: &str = "image_list";

/// What follows the path in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListLabels {
    /// A 0 or 1 for every class.
    #[default]
    Hot,
    /// The number of the class.
    Number,
}

/// Settings of `image_list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// List of all items, of which queries are drawn.
    pub files: Option<String>,
    /// Folder in which the paths start. Not set: the folder of the list.
    pub root: Option<String>,
    /// What follows the path in a line: `hot`, a 0 or 1 for every class, or `number`, that of the class.
    pub labels: ListLabels,
    /// Items and splits.
    #[serde(flatten)]
    pub own: OwnSettings,
}

impl Params for Settings {
    fn check(&self) -> Violations {
        self.own.check(self.files.as_deref())
    }
}

/// Lists of images.
pub struct ImageList;

impl DatasetSource for ImageList {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "Image list",
        description: "images of your own, listed as `path label0 label1 …` like HashNet's data sets",
        source: "your files; lists as https://github.com/thuml/HashNet and https://github.com/swuxyj/DeepHash-pytorch publish them",
        license: "yours",
        citation: "the source of the images",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings, dirs)?))
    }
}

fn load(settings: &Settings, dirs: &DataDirs) -> Result<Opened, DataError> {
    let mut lists = Lists::new(settings.labels, "");
    let mut given = settings.own.given().then(Given::default);
    let mut found_at = Vec::new();
    let named = settings.own.named_files(settings.files.as_deref(), NAME, "photos/list.txt")?;
    let mut findings = Vec::new();
    for (role, name) in named {
        let path = find(NAME, role, name, dirs)?;
        let items = lists.read(&path)?;
        findings.push(format!("{role}: {} lines in {}", items.len(), path.display()));
        if let Some(given) = &mut given {
            given.set(role, items);
        }
        found_at.push(path);
    }
    let root: PathBuf = match &settings.root {
        Some(root) => find(NAME, "root", root, dirs)?,
        None => found_at[0].parent().unwrap_or(Path::new("")).to_owned(),
    };
    let pictures = ImageFiles::new(root, lists.paths, settings.own.exif.into());
    Opened::of(
        Listed {
            pictures: Some(Box::new(pictures)),
            captions: None,
            labels: lists.labels,
            class_names: Vec::new(),
            recipes: vec![Recipe::of(&settings.own, given)],
            found_at,
            findings,
        },
        &settings.own,
        dirs,
    )
}

/// Items of one or more lists.
pub(crate) struct Lists {
    form: ListLabels,
    /// What is taken off the paths.
    prefix: &'static str,
    pub(crate) paths: Strings,
    pub(crate) labels: NamedLabels,
    /// Number of each image of the lists before, by a digest of its path, ascending.
    known: Vec<(u128, u32)>,
    /// Labels per line, once a line was seen.
    width: Option<usize>,
}

impl Lists {
    /// Reads lists of a form, and takes `prefix` off the paths that have it.
    pub(crate) fn new(form: ListLabels, prefix: &'static str) -> Self {
        let (paths, labels) = (Strings::default(), NamedLabels::default());
        Self { form, prefix, paths, labels, known: Vec::new(), width: None }
    }

    /// Reads a list; returns the items of its lines.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<u32>, DataError> {
        let mut reader = BufReader::with_capacity(1 << 18, opened(path)?);
        let (mut items, mut line, mut number) = (Vec::new(), String::new(), 0);
        let first = self.paths.len();
        loop {
            line.clear();
            number += 1;
            let read = reader.read_line(&mut line).map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidData => {
                    damaged_line(path, number, "the line is no UTF-8 text", "name a list of images, a line each")
                }
                _ => unreadable(path)(error),
            })?;
            if read == 0 {
                break;
            }
            if line.trim().is_empty() {
                continue;
            }
            let (image, classes) = self.parse(line.trim()).map_err(|problem| {
                let help = match self.form {
                    ListLabels::Hot => {
                        "a line is `path label0 label1 …` with a 0 or 1 for every class; `labels = \"number\"` reads class numbers"
                    }
                    ListLabels::Number => "a line is `path class`; `labels = \"hot\"` reads a 0 or 1 for every class",
                };
                damaged_line(path, number, problem, help)
            })?;
            let item = self.item(image, classes).map_err(|problem| {
                damaged_line(path, number, problem, "an image has the same labels in all lists: correct one of them")
            })?;
            items.push(item);
        }
        if let Some(image) = self.remember(first) {
            return Err(damaged(path, format!("{image} is there twice"), "an image has one line in a list"));
        }
        if items.is_empty() {
            return Err(damaged(path, "the list is empty", "write a line per image: `path label0 label1 …`"));
        }
        Ok(items)
    }

    /// Divides a line into path and classes.
    fn parse<'l>(&mut self, line: &'l str) -> Result<(&'l str, Vec<u32>), String> {
        let (path, classes) = match self.form {
            ListLabels::Number => {
                let (path, number) =
                    line.rsplit_once(char::is_whitespace).ok_or("expected a path and a class number")?;
                let number: u32 = number.parse().map_err(|_| format!("expected a class number, got `{number}`"))?;
                (path, vec![self.labels.class(&number.to_string())])
            }
            ListLabels::Hot => self.parse_hot(line)?,
        };
        let path = path.trim();
        let path = path.strip_prefix(self.prefix).unwrap_or(path);
        if path.is_empty() {
            return Err("the line names no image".to_owned());
        }
        Ok((path, classes))
    }

    /// Takes zeros and ones from the end of a line: as many as the first line has.
    fn parse_hot<'l>(&mut self, line: &'l str) -> Result<(&'l str, Vec<u32>), String> {
        let (mut rest, mut width, mut hot) = (line, 0, Vec::new());
        // Backwards by bytes: a million lines of a hundred labels are read in this loop.
        while self.width.is_none_or(|expected| width < expected)
            && let [.., space, label @ (b'0' | b'1')] = rest.as_bytes()
            && space.is_ascii_whitespace()
        {
            hot.extend((*label == b'1').then_some(width as u32));
            width += 1;
            rest = rest[..rest.len() - 1].trim_ascii_end();
        }
        if width == 0 {
            let last = line.rsplit(char::is_whitespace).next().unwrap_or_default();
            return Err(format!("expected labels of 0 or 1 after the path, got `{last}`"));
        }
        let expected = *self.width.get_or_insert(width);
        if width != expected {
            return Err(format!("expected {expected} labels of 0 or 1 after the path, got {width}"));
        }
        if self.labels.len() == 0 {
            // All classes are known from the first line on, those without an item, too.
            for class in 0..width {
                self.labels.class(&class.to_string());
            }
        }
        // They were counted from the end.
        hot.reverse();
        hot.iter_mut().for_each(|class| *class = width as u32 - 1 - *class);
        Ok((rest, hot))
    }

    /// The number of an image, which is new if no list before has it.
    fn item(&mut self, image: &str, classes: Vec<u32>) -> Result<u32, String> {
        if !self.known.is_empty()
            && let Ok(place) = self.known.binary_search_by_key(&key(image), |(key, _)| *key)
        {
            let item = self.known[place].1;
            return match self.labels.item(item as usize) == classes {
                true => Ok(item),
                false => Err(format!("{image} has other labels than in a list before")),
            };
        }
        let item = self.paths.len() as u32;
        self.paths.push(image);
        self.labels.push(classes);
        Ok(item)
    }

    /// Makes the images of a list, which begin at `first`, known to the next ones. Returns one that it names twice.
    fn remember(&mut self, first: usize) -> Option<&str> {
        self.known.extend((first..self.paths.len()).map(|item| (key(self.paths.get(item)), item as u32)));
        self.known.sort_unstable();
        let twice = self.known.windows(2).find(|pair| pair[0].0 == pair[1].0)?;
        Some(self.paths.get(twice[1].1 as usize))
    }
}

/// What a path is found by: half of its digest.
fn key(path: &str) -> u128 {
    let digest = blake3::hash(path.as_bytes());
    u128::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest is longer"))
}
