//! The files of cross-modal toolkits: `index.mat`, `caption.mat` and `label.mat`, as the preparations of kalenforn/DCHMT and
//! DarrenZZhang/MM23-MITH write them, or images as an array of pixels, as DCMH and its descendants have them.
//!
//! `index` holds a path per item, `caption` one or more texts (or `caption.txt` a line each), `category` or `label` a 0 or 1
//! for every class. Paths are often absolute, of another machine: what follows `strip` in them is looked for in `root`.
//! With `images` the pixels of all images are in that file, as `IAll`; captions are then optional, and `texts` names a file
//! of features of texts, such as the bags of words `YAll`, in their place.

use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::array;
use crate::own::captions::Captions;
use crate::own::labels::{MOST_CLASSES, NamedLabels};
use crate::own::mat::pixels::{PixelArray, PixelOrder};
use crate::own::mat::{Array, read};
use crate::own::mith::NO_TAGS;
use crate::own::places::{damaged, find, unset};
use crate::own::public::{Found, count, every_line, given, numpy_split};
use crate::own::settings::OwnSettings;
use crate::own::split::{Draw, Recipe, Rule};
use crate::own::strings::Strings;
use crate::own::{Listed, Opened};

const NAME: &str = "mat";
const HELP: &str = "the three files belong together: index.mat, caption.mat (or caption.txt) and label.mat";

/// Settings of `mat`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder with index.mat, caption.mat (or caption.txt) and label.mat.
    pub dir: Option<String>,
    /// Folder in which the paths of index.mat start. Not set: `dir`.
    pub root: Option<String>,
    /// The part of the paths that belongs to another machine: what precedes and includes it is left out, e.g. `flickr25k/`.
    pub strip: Option<String>,
    /// File of `dir` with the pixels of all images (`IAll`), e.g. `mirflickr25k-iall.mat`; it takes the place of index.mat.
    pub images: Option<String>,
    /// Axes of the array of pixels, as h5py shows them: `n3wh` (images, colors, columns, rows), `n3hw` or `nhw3`. Not set:
    /// as MATLAB's mark and the axis of three colors say.
    pub pixel_order: Option<PixelOrder>,
    /// File of `dir` with features of texts, such as bags of words (`YAll`), e.g. `mirflickr25k-yall.mat`, beside `images`; they
    /// take the place of captions, with `encoder = "none"` in `[text]`. `FILE#NAME` names an array of a file of several.
    pub texts: Option<String>,
    /// File of `dir` with the labels. Not set: label.mat.
    pub labels: Option<String>,
    /// Queries to draw.
    #[schemars(range(min = 1))]
    pub queries: Option<usize>,
    /// Training items to draw from the others, which are the database. Not set: all of them.
    #[schemars(range(min = 2))]
    pub train_items: Option<usize>,
    /// Draws as `numpy.random.seed(S); numpy.random.permutation(N)`, e.g. with DCHMT's seed 1814: queries come first, then training items. Not set: by `split_seed`.
    pub numpy_seed: Option<u32>,
}

impl Params for Settings {
    fn check(&self) -> Violations {
        Violations::none()
            .require(
                self.numpy_seed.is_none() || self.train_items.is_some(),
                ["numpy_seed", "train_items"],
                "`numpy_seed` needs to know how many items follow the queries: set `train_items`",
            )
            .require(
                self.images.is_none() || self.root.is_none() && self.strip.is_none(),
                ["images", "root", "strip"],
                "`root` and `strip` belong to paths of image files, and `images` names a file of pixels: leave them out",
            )
            .require(
                self.pixel_order.is_none() || self.images.is_some(),
                ["pixel_order", "images"],
                "`pixel_order` is that of the file that `images` names",
            )
            .require(
                self.texts.is_none() || self.images.is_some(),
                ["texts", "images"],
                "`texts` names features beside those that `images` names: set `images`, or leave `texts` to caption.mat",
            )
    }
}

/// Files of cross-modal toolkits.
pub struct Mat;

impl DatasetSource for Mat {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "MAT files",
        description: "index.mat, caption.mat and label.mat of cross-modal toolkits (DCHMT, MITH and their like)",
        source: "your files; preparations: https://github.com/kalenforn/DCHMT, https://github.com/DarrenZZhang/MM23-MITH",
        license: "that of the images",
        citation: "the source of the images",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings, dirs)?))
    }
}

fn load(settings: &Settings, dirs: &DataDirs) -> Result<Opened, DataError> {
    let dir = settings.dir.as_deref().ok_or_else(|| unset(NAME, "dir", "flickr25k"))?;
    let queries = settings.queries.ok_or_else(|| unset(NAME, "queries", "5000"))?;
    let folder = find(NAME, "dir", dir, dirs)?;
    let label = folder.join(settings.labels.as_deref().unwrap_or("label.mat"));
    match &settings.images {
        Some(images) => of_pixels(settings, &folder, &folder.join(images), label, queries, dirs),
        None => of_files(settings, folder, label, queries, dirs),
    }
}

/// Images that one file has as pixels.
fn of_pixels(
    settings: &Settings,
    folder: &Path,
    images: &Path,
    label: PathBuf,
    queries: usize,
    dirs: &DataDirs,
) -> Result<Opened, DataError> {
    let pictures = PixelArray::open(images, &["IAll"], settings.pixel_order)?;
    let items = pictures.len();
    let labels = labels(&label, items)?;
    let mut found_at = vec![images.to_owned(), label];
    let mut findings = vec![pictures.described()];
    let words = match &settings.texts {
        Some(texts) => Some(words(folder, texts, items, &mut found_at, &mut findings)?),
        None => None,
    };
    let there = words.is_none() && ["caption.mat", "caption.txt"].iter().any(|name| folder.join(name).exists());
    let captions = if there { Some(captions(folder)?) } else { None };
    if let Some((captions, path)) = &captions {
        count(path, "captions", items, captions.len(), HELP)?;
        found_at.insert(1, path.clone());
    }
    let listed = Listed {
        findings,
        pictures: Some(Box::new(pictures)),
        captions: captions.map(|(captions, _)| captions),
        labels,
        class_names: Vec::new(),
        recipes: vec![recipe(settings, items, queries)?],
        found_at,
    };
    let opened = Opened::of(listed, &OwnSettings::default(), dirs)?;
    Ok(match words {
        Some(words) => opened.with_text_features(words),
        None => opened,
    })
}

/// Features of the texts of all items.
fn words(
    folder: &Path,
    texts: &str,
    items: usize,
    found_at: &mut Vec<PathBuf>,
    findings: &mut Vec<String>,
) -> Result<array::Array, DataError> {
    let named = folder.join(texts).display().to_string();
    let words = array::read(&named)?.features(&named)?;
    let path = array::file_of(&named);
    count(path, "rows of text features", items, words.rows(), "they belong to the images, one row each")?;
    findings.push(format!("texts as {} numbers each in {}", words.width(), path.display()));
    found_at.insert(1, path.to_owned());
    Ok(words)
}

/// Images in files of their own, whose paths index.mat has.
fn of_files(
    settings: &Settings,
    folder: PathBuf,
    label: PathBuf,
    queries: usize,
    dirs: &DataDirs,
) -> Result<Opened, DataError> {
    let root = settings.root.as_deref().map_or(Ok(folder.clone()), |root| find(NAME, "root", root, dirs))?;
    let index = folder.join("index.mat");
    let mut paths = Strings::default();
    for path in texts(&index, &["index"])? {
        let path = path.first().map(|path| path.trim().replace('\\', "/")).unwrap_or_default();
        let own = settings.strip.as_ref().and_then(|strip| Some(path.split_once(strip.as_str())?.1.to_owned()));
        paths.push(own.as_deref().unwrap_or(&path));
    }
    let (captions, caption) = captions(&folder)?;
    count(&caption, "captions", paths.len(), captions.len(), HELP)?;
    let labels = labels(&label, paths.len())?;
    let recipes = vec![recipe(settings, paths.len(), queries)?];
    let found_at = vec![index, caption, label];
    Found { root, paths, captions: Some(captions), labels, recipes, found_at }.open(dirs)
}

/// The texts of a variable, by item.
fn texts(path: &Path, names: &[&str]) -> Result<Vec<Vec<String>>, DataError> {
    read(path, names)?.texts().map_err(|problem| damaged(path, problem, HELP))
}

/// The captions, and the file that has them.
fn captions(folder: &Path) -> Result<(Captions, PathBuf), DataError> {
    let (mat, text) = (folder.join("caption.mat"), folder.join("caption.txt"));
    let (by_item, path) = if mat.exists() || !text.exists() {
        (texts(&mat, &["caption"])?, mat)
    } else {
        (every_line(&text)?.into_iter().map(|line| vec![line]).collect(), text)
    };
    let mut captions = Captions::default();
    for of_item in &by_item {
        let empty = of_item.iter().all(|caption| caption.trim().is_empty());
        captions.push(if empty { vec![NO_TAGS] } else { of_item.iter().map(String::as_str).collect() });
    }
    Ok((captions, path))
}

/// The labels: a row of zeros and ones for every item.
fn labels(path: &Path, items: usize) -> Result<NamedLabels, DataError> {
    let Array::Numbers([rows, columns], numbers) = read(path, &["category", "label", "LAll"])? else {
        return Err(damaged(path, "the labels are no numbers", HELP));
    };
    count(path, "rows of labels", items, rows, HELP)?;
    if let Some(other) = numbers.iter().find(|number| **number != 0.0 && **number != 1.0) {
        return Err(damaged(path, format!("labels of 0 or 1 are expected, got {other}"), HELP));
    }
    if columns > MOST_CLASSES {
        return Err(damaged(path, format!("labels of {columns} classes, of at most {MOST_CLASSES}"), HELP));
    }
    let mut labels = NamedLabels::default();
    for class in 0..columns {
        labels.class(&class.to_string());
    }
    for item in 0..rows {
        labels.push((0..columns).filter(|class| numbers[class * rows + item] == 1.0).map(|class| class as u32));
    }
    Ok(labels)
}

fn recipe(settings: &Settings, items: usize, queries: usize) -> Result<Recipe, DataError> {
    let train = settings.train_items;
    if queries + train.unwrap_or(0) > items {
        let problem =
            format!("`queries` and `train_items` ask for {queries} and {} of {items} items", train.unwrap_or(0));
        return Err(DataError::Invalid(format!("{problem}\nhelp: lower them in [data]")));
    }
    let about = match train {
        Some(train) => format!("{queries} queries, {train} train items, database all but the queries"),
        None => format!("{queries} queries, train and database all others"),
    };
    Ok(match (settings.numpy_seed, train) {
        (Some(seed), Some(train)) => given(
            "split",
            &format!("{about}, drawn as numpy does with seed {seed}, so split_seed orders the database alone"),
            None,
            numpy_split(seed, items, [queries, train]),
        ),
        _ => Recipe {
            protocol: hashlab_data::Protocol::new("split", &format!("{about}, drawn by split_seed"), None),
            rule: Rule::Drawn(Draw {
                queries: queries as f64,
                train_items: train.map(|train| train as f64),
                per_class: false,
                train_in_database: true,
            }),
        },
    })
}
