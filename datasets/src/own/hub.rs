//! Public data sets in parquet files of the Hugging Face hub: which files and columns they have, and how papers split them.

use std::path::PathBuf;

use hashlab_data::{DataDirs, DataError, Protocol};
use hashlab_image::Exif;

use super::Opened;
use super::places::damaged;
use super::rows::{ColumnSettings, LabelForm};
use super::settings::OwnSettings;
use super::split::{Draw, Given, Recipe, Rule};
use crate::parquet::{Gathered, column_names, gather};

/// A public data set.
pub(crate) struct HubSet {
    /// Name of the data set.
    pub(crate) name: &'static str,
    /// Its parts.
    pub(crate) parts: &'static [Part],
    pub(crate) image: Column,
    pub(crate) captions: &'static [Column],
    /// What to do where files are missing.
    pub(crate) help: &'static str,
    /// Protocols; the first is the default.
    pub(crate) protocols: &'static [HubProtocol],
}

/// The names of a column: the first that a file has is read.
pub(crate) type Column = &'static [&'static str];

/// A part of a public data set.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Patterns of its files in the folder of the data set, any of which will do.
    pub(crate) files: &'static [&'static str],
    pub(crate) items: usize,
}

/// A protocol of a public data set.
pub(crate) struct HubProtocol {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) map_at: Option<usize>,
    pub(crate) split: HubSplit,
}

/// How a protocol splits.
#[derive(Clone, Copy)]
pub(crate) enum HubSplit {
    /// The items of a part are queries, all others are trained on and searched in.
    Queries(&'static str),
    /// Queries and training items are drawn.
    Drawn(Draw),
}

/// Protocols of MNIST and the sets of its sizes.
pub(crate) const DIGIT_PROTOCOLS: &[HubProtocol] = &[
    HubProtocol {
        name: "official",
        description: "queries the official test part (10,000), train and database the official training part (60,000)",
        map_at: None,
        split: HubSplit::Queries("test"),
    },
    HubProtocol {
        name: "drawn",
        description: "1,000 queries and 5,000 train items, 100 and 500 of every class, drawn by split_seed from all items, database all but the queries",
        map_at: None,
        split: HubSplit::Drawn(Draw {
            queries: 100.0,
            train_items: Some(500.0),
            per_class: true,
            train_in_database: true,
        }),
    },
];

impl HubSet {
    /// Opens the data set with the labels of a column.
    ///
    /// # Errors
    /// If files are missing, damaged, or hold another number of items.
    pub(crate) fn open(&self, labels: Column, dirs: &DataDirs) -> Result<Opened, DataError> {
        let mut parts = Vec::new();
        for part in self.parts {
            parts.push((part.name, self.find(part, dirs)?));
        }
        let known = column_names(&parts[0].1[0])?;
        let named = |column: &Column| -> String {
            let there = column.iter().find(|name| known.iter().any(|known| known == *name));
            (*there.unwrap_or(&column[0])).to_owned()
        };
        let columns = ColumnSettings {
            image: Some(named(&self.image)),
            captions: self.captions.iter().map(named).collect(),
            labels: vec![named(&labels)],
            label_form: LabelForm::Names,
            label_separator: None,
        };
        let Gathered { mut listed, parts: found } = gather(&parts, &columns, Exif::Ignore)?;
        for ((part, (_, items)), (_, files)) in self.parts.iter().zip(&found).zip(&parts) {
            if items.len() != part.items {
                let problem = format!("expected {} items in the part `{}`, got {}", part.items, part.name, items.len());
                return Err(damaged(&files[0], problem, self.help));
            }
        }
        listed.recipes = self.protocols.iter().map(|protocol| protocol.recipe(&found)).collect();
        Opened::of(listed, &OwnSettings::default(), dirs)
    }

    /// The files of a part, in the first folder that has any.
    fn find(&self, part: &Part, dirs: &DataDirs) -> Result<Vec<PathBuf>, DataError> {
        let mut looked = Vec::new();
        for place in dirs.places_of(self.name) {
            for pattern in part.files {
                let pattern = place.join(pattern);
                let found = glob::glob(&pattern.to_string_lossy());
                let found = found.map_err(|error| DataError::Invalid(error.to_string()))?;
                let mut files: Vec<PathBuf> = found.filter_map(Result::ok).collect();
                if !files.is_empty() {
                    files.sort();
                    return Ok(files);
                }
                looked.push(pattern);
            }
        }
        let what = format!("the part `{}` of data set `{}`", part.name, self.name);
        Err(DataError::Missing { what, looked, help: self.help.to_owned() })
    }
}

impl HubProtocol {
    pub(crate) fn recipe(&self, parts: &[(&str, Vec<u32>)]) -> Recipe {
        let rule = match self.split {
            HubSplit::Drawn(draw) => Rule::Drawn(draw),
            HubSplit::Queries(name) => {
                let of = |queries: bool| -> Vec<u32> {
                    let chosen = parts.iter().filter(|(part, _)| (*part == name) == queries);
                    chosen.flat_map(|(_, items)| items.iter().copied()).collect()
                };
                Rule::Given(Given { query: of(true), database: Some(of(false)), ..Given::default() })
            }
        };
        Recipe { protocol: Protocol::new(self.name, self.description, self.map_at), rule }
    }
}
