//! Tables of images, captions and labels: CSV, TSV or JSON lines.
//!
//! The ending of a file says its form: `.csv` and `.tsv` with a line of column names, `.jsonl` with an object per line,
//! whose cells may be lists. The image column holds paths, which start at `root`.

mod read;

use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::image_files::ImageFiles;
use crate::own::places::{damaged_line, find, unset};
use crate::own::rows::{ColumnSettings, Rows};
use crate::own::settings::{Orientation, OwnSettings};
use crate::own::split::{Given, Recipe};
use crate::own::strings::Strings;
use crate::own::{Listed, Opened, Pictures};

const NAME: &str = "table";

/// Settings of `table`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// File with all items, of which queries are drawn: .csv, .tsv or .jsonl.
    pub files: Option<String>,
    /// Folder in which the paths of the image column start. Not set: the folder of the table.
    pub root: Option<String>,
    /// Columns.
    #[serde(flatten)]
    pub columns: ColumnSettings,
    /// Items and splits.
    #[serde(flatten)]
    pub own: OwnSettings,
}

impl Params for Settings {
    fn check(&self) -> Violations {
        let exif = self.own.exif != Orientation::default();
        let rules = self.own.check(self.files.as_deref()).and(self.columns.check());
        rules.and(self.columns.about_images("exif", exif)).and(self.columns.about_images("root", self.root.is_some()))
    }
}

/// Tables.
pub struct Table;

impl DatasetSource for Table {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "Table",
        description: "images and captions of your own, in a .csv, .tsv or .jsonl file with columns of labels",
        source: "your files",
        license: "yours",
        citation: "the source of the items",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings, dirs)?))
    }
}

fn load(settings: &Settings, dirs: &DataDirs) -> Result<Opened, DataError> {
    let named = settings.own.named_files(settings.files.as_deref(), NAME, "photos.csv")?;
    if let Some((key, example)) = settings.columns.absent() {
        return Err(unset(NAME, key, example));
    }
    let mut given = settings.own.given().then(Given::default);
    let mut collected = Collected { rows: Rows::new(&settings.columns), paths: Strings::default() };
    let (mut found_at, mut findings): (Vec<PathBuf>, _) = (Vec::new(), Vec::new());
    let mut ranges: Vec<(PathBuf, std::ops::Range<u32>)> = Vec::new();
    for (role, name) in named {
        let path = find(NAME, role, name, dirs)?;
        let known = ranges.iter().find(|(known, _)| *known == path).map(|(_, range)| range.clone());
        let range = match known {
            Some(range) => range,
            None => collected.read(&path)?,
        };
        findings.push(format!("{role}: {} rows in {}", range.len(), path.display()));
        if let Some(given) = &mut given {
            given.set(role, range.clone().collect());
        }
        ranges.push((path.clone(), range));
        if !found_at.contains(&path) {
            found_at.push(path);
        }
    }
    let root = match &settings.root {
        Some(root) => find(NAME, "root", root, dirs)?,
        None => found_at[0].parent().unwrap_or(Path::new("")).to_owned(),
    };
    let Collected { rows, paths } = collected;
    let pictures = settings
        .columns
        .image
        .as_ref()
        .map(|_| -> Box<dyn Pictures> { Box::new(ImageFiles::new(root, paths, settings.own.exif.into())) });
    let listed = Listed {
        pictures,
        captions: (!settings.columns.captions.is_empty()).then_some(rows.captions),
        labels: rows.labels,
        class_names: Vec::new(),
        recipes: vec![Recipe::of(&settings.own, given)],
        found_at,
        findings,
    };
    Opened::of(listed, &settings.own, dirs)
}

/// The rows of one or more tables.
struct Collected<'a> {
    rows: Rows<'a>,
    paths: Strings,
}

impl Collected<'_> {
    /// Appends the rows of a file; returns their numbers.
    fn read(&mut self, path: &Path) -> Result<std::ops::Range<u32>, DataError> {
        let first = self.paths.len() as u32;
        let columns = self.rows.columns().clone();
        read::rows(path, &columns, |row| {
            let wrong =
                |problem: String| damaged_line(path, row.line, problem, "correct the cell, or name another column");
            self.paths.push(row.image.trim());
            self.rows.push(&row.captions, &row.labels).map_err(wrong)
        })?;
        Ok(first..self.paths.len() as u32)
    }
}
