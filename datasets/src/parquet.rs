//! Parquet files of images, captions and labels, as the Hugging Face hub holds them.
//!
//! Any columns can be chosen: images are a column of bytes or `{bytes, path}`, captions texts or lists of texts, labels
//! integers, texts or lists of them. Images are read in small blocks when they are asked for, so that memory does not
//! grow with the files. Names of classes are those that the hub's metadata give.

mod columns;
mod file;
mod images;

use std::ops::Range;
use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_image::Exif;
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::places::{damaged, find_all, unset};
use crate::own::rows::{ColumnSettings, Rows};
use crate::own::settings::{Orientation, OwnSettings};
use crate::own::split::{Given, Recipe};
use crate::own::{Listed, Opened, Pictures};
use file::ParquetFile;
use images::ParquetImages;

const NAME: &str = "parquet";

/// Settings of `parquet`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Files with all items, of which queries are drawn; `*` and `?` stand for parts of names.
    pub files: Option<String>,
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
        rules.and(self.columns.about_images("exif", exif))
    }
}

/// Parquet files.
pub struct Parquet;

impl DatasetSource for Parquet {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "Parquet",
        description: "image or image-text data sets in parquet files, as the Hugging Face hub holds them",
        source: "your files, or those of https://huggingface.co/datasets",
        license: "that of the files",
        citation: "the source of the items",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings, dirs)?))
    }
}

fn load(settings: &Settings, dirs: &DataDirs) -> Result<Opened, DataError> {
    let named = settings.own.named_files(settings.files.as_deref(), NAME, "set/train-*.parquet")?;
    if let Some((key, example)) = settings.columns.absent() {
        return Err(unset(NAME, key, example));
    }
    let mut parts = Vec::new();
    for (role, pattern) in named {
        parts.push((role, find_all(NAME, role, pattern, dirs)?));
    }
    let Gathered { mut listed, parts } = gather(&parts, &settings.columns, settings.own.exif.into())?;
    let given = settings.own.given().then(|| {
        let mut given = Given::default();
        parts.into_iter().for_each(|(role, items)| given.set(role, items));
        given
    });
    listed.recipes = vec![Recipe::of(&settings.own, given)];
    Opened::of(listed, &settings.own, dirs)
}

/// Names of the columns of a file.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn column_names(path: &Path) -> Result<Vec<String>, DataError> {
    Ok(ParquetFile::open(path)?.column_names().map(str::to_owned).collect())
}

/// The items of files.
pub(crate) struct Gathered<'a> {
    /// All of them, without protocols.
    pub(crate) listed: Listed,
    /// The items of each part.
    pub(crate) parts: Vec<(&'a str, Vec<u32>)>,
}

/// Reads labels and captions of the files of named parts. A file of several parts is read once.
///
/// # Errors
/// If a file cannot be read, or lacks a column.
pub(crate) fn gather<'a>(
    parts: &[(&'a str, Vec<PathBuf>)],
    columns: &ColumnSettings,
    exif: Exif,
) -> Result<Gathered<'a>, DataError> {
    let mut gathered = Vec::new();
    let mut findings = Vec::new();
    let mut files: Vec<(PathBuf, Range<u32>)> = Vec::new();
    let mut opened: Vec<ParquetFile> = Vec::new();
    let mut rows = Rows::new(columns);
    let mut class_names = Vec::new();
    for (part, paths) in parts {
        let mut items = Vec::new();
        for path in paths {
            if let Some((_, range)) = files.iter().find(|(known, _)| known == path) {
                items.extend(range.clone());
                continue;
            }
            let file = ParquetFile::open(path)?;
            let range = read(&file, columns, &mut rows)?;
            if class_names.is_empty() {
                class_names = file.class_names(columns);
            }
            items.extend(range.clone());
            files.push((path.clone(), range));
            opened.push(file);
        }
        findings.push(format!(
            "{part}: {} rows in {} file{}",
            items.len(),
            paths.len(),
            if paths.len() == 1 { "" } else { "s" }
        ));
        gathered.push((*part, items));
    }
    let pictures = columns.image.as_ref().map(|column| -> Result<Box<dyn Pictures>, DataError> {
        Ok(Box::new(ParquetImages::new(opened, column, exif)?))
    });
    let listed = Listed {
        pictures: pictures.transpose()?,
        captions: (!columns.captions.is_empty()).then_some(rows.captions),
        labels: rows.labels,
        class_names,
        recipes: Vec::new(),
        found_at: files.into_iter().map(|(path, _)| path).collect(),
        findings,
    };
    Ok(Gathered { listed, parts: gathered })
}

/// Appends the rows of a file; returns their numbers.
fn read(file: &ParquetFile, columns: &ColumnSettings, rows: &mut Rows<'_>) -> Result<Range<u32>, DataError> {
    let first = rows.labels.len() as u32;
    for group in 0..file.groups() {
        let of = |names: &[String]| {
            names.iter().map(|name| columns::cells(file, group, name)).collect::<Result<Vec<_>, _>>()
        };
        let (captions, labels) = (of(&columns.captions)?, of(&columns.labels)?);
        if let Some(cells) = captions.iter().chain(&labels).find(|cells| cells.len() != file.rows(group)) {
            let problem = format!("row group {group} has {} of {} rows", cells.len(), file.rows(group));
            return Err(damaged(file.path(), problem, "the file is cut short or damaged: fetch it again"));
        }
        let mut captions: Vec<_> = captions.into_iter().map(Vec::into_iter).collect();
        let mut labels: Vec<_> = labels.into_iter().map(Vec::into_iter).collect();
        for row in 0..file.rows(group) {
            let next = |cells: &mut Vec<std::vec::IntoIter<_>>| -> Vec<_> {
                cells.iter_mut().map(|cells| cells.next().unwrap_or_default()).collect()
            };
            let (captions, labels) = (next(&mut captions), next(&mut labels));
            rows.push(&captions, &labels).map_err(|problem| {
                let row = file.first_row(group) + row;
                damaged(file.path(), format!("row {row}: {problem}"), "name other columns in [data]")
            })?;
        }
    }
    Ok(first..rows.labels.len() as u32)
}
