//! Registration: a [`DatasetEntry`] is a data set's [`DatasetSource`] with its types erased.

use hashlab_hub::Published;
use hashlab_settings::{Params, Schema, Settings, parse};
use serde::Serialize;

use crate::{DataDirs, DataError, Dataset, DatasetInfo};

/// Facts about a data set that do not depend on its settings, for listings.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DatasetSummary {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// Name as papers print it, e.g. `CIFAR-10`.
    pub title: &'static str,
    /// Description of its items, one line.
    pub description: &'static str,
    /// Source of the files, and how to get them.
    pub source: &'static str,
    /// License or terms, as stated by its authors.
    pub license: &'static str,
    /// Citation.
    pub citation: &'static str,
}

/// The static side of a data set: facts, settings, opening.
pub trait DatasetSource {
    /// Facts that do not depend on the settings.
    const SUMMARY: DatasetSummary;
    /// Its files on the Hugging Face hub, if they have a layout that `open` reads.
    const PUBLISHED: Option<Published> = None;
    /// The section `[data]`; [`NoParams`](hashlab_settings::NoParams) if it has no keys.
    type Settings: Params;

    /// The description of a data set with a declared identity, which depends on no file, so that experiments can be planned
    /// without the data. `None`: the data set is opened for its description.
    fn declared(_settings: &Self::Settings) -> Option<DatasetInfo> {
        None
    }

    /// Opens the data set; reads labels, not images.
    ///
    /// # Errors
    /// If its files are missing or damaged.
    fn open(settings: &Self::Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError>;
}

type Declared = Result<Option<DatasetInfo>, DataError>;
type Opened = Result<Box<dyn Dataset>, DataError>;

/// A registered data set.
#[derive(Clone, Copy)]
pub struct DatasetEntry {
    /// Facts that do not depend on the settings.
    pub summary: DatasetSummary,
    /// Its files on the Hugging Face hub, if there are any.
    pub published: Option<Published>,
    schema: fn() -> Schema,
    declared: fn(&Settings) -> Declared,
    open: fn(&Settings, &DataDirs) -> Opened,
}

impl DatasetEntry {
    /// Erases the types of `S`.
    pub const fn of<S: DatasetSource>() -> Self {
        Self {
            summary: S::SUMMARY,
            published: S::PUBLISHED,
            schema: Schema::of::<S::Settings>,
            declared: |settings| Ok(S::declared(&read::<S>(settings)?)),
            open: |settings, dirs| S::open(&read::<S>(settings)?, dirs),
        }
    }

    /// The section `[data]`: defaults, documentation, rules.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// The description, if it depends on no file; keys that are absent from `settings` take their defaults.
    ///
    /// # Errors
    /// If the settings break a rule.
    pub fn declared(&self, settings: &Settings) -> Declared {
        (self.declared)(settings)
    }

    /// Describes the data set, which is opened unless its description is declared; keys that are absent from `settings` take
    /// their defaults.
    ///
    /// # Errors
    /// If the settings break a rule, or the description depends on files that are missing or damaged.
    pub fn describe(&self, settings: &Settings, dirs: &DataDirs) -> Result<DatasetInfo, DataError> {
        match self.declared(settings)? {
            Some(info) => Ok(info),
            None => Ok(self.open(settings, dirs)?.info().clone()),
        }
    }

    /// Opens the data set; keys that are absent from `settings` take their defaults.
    ///
    /// # Errors
    /// If the settings break a rule, or files are missing or damaged.
    pub fn open(&self, settings: &Settings, dirs: &DataDirs) -> Opened {
        (self.open)(settings, dirs)
    }
}

fn read<S: DatasetSource>(settings: &Settings) -> Result<S::Settings, DataError> {
    parse(settings).map_err(|broken| DataError::Invalid(broken.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::Fake;

    const ENTRY: DatasetEntry = DatasetEntry::of::<Fake>();

    fn table(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn defaults_and_docs_come_from_the_struct() {
        let schema = ENTRY.schema();
        assert_eq!(Value::Object(schema.defaults.clone()), json!({"items": 40, "odd": false}));
        assert_eq!(schema.docs["items"], "Number of items, in a sentence of two lines.");
        assert!(schema.check(&schema.defaults).is_empty());
    }

    #[test]
    fn open_takes_defaults_for_absent_keys_and_checks_the_rest() {
        let dirs = DataDirs::of(vec![]);
        assert_eq!(ENTRY.open(&table(json!({})), &dirs).unwrap().len(), 40);
        assert_eq!(ENTRY.open(&table(json!({"items": 30})), &dirs).unwrap().len(), 30);
        let error = ENTRY.open(&table(json!({"items": 1})), &dirs).err().unwrap();
        assert_eq!(error.to_string(), "`items` must be at least 20, got 1");
    }

    #[test]
    fn an_unknown_protocol_lists_the_known_ones() {
        let info = ENTRY.describe(&Settings::new(), &DataDirs::of(vec![])).unwrap();
        let error = info.protocol("nine").unwrap_err();
        assert_eq!(error.to_string(), "there is no protocol `nine`\nhelp: known: fake");
        assert_eq!(info.protocol("fake").unwrap().name, "fake");
    }
}
