//! The registry's view of a data set: a typed [`Source`] with its types erased.

use std::collections::BTreeMap;

use hashlab_hub::Published;
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{DataDirs, DataError, Dataset, Info};

/// Settings of a data set: one flat struct whose `Default` says what an experiment file may leave out.
///
/// Implement it on a struct with `#[serde(default, deny_unknown_fields)]`; the doc comment of a field is what users
/// read about the key.
pub trait Settings: Default + Serialize + DeserializeOwned + JsonSchema {
    /// Checks ranges that serde cannot express, e.g. "`size` must be at least 16".
    ///
    /// # Errors
    /// The message to show: lowercase, no full stop.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// For data sets that have nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NoSettings {}

impl Settings for NoSettings {}

/// The typed half of a data set; [`Entry::of`] erases it.
pub trait Source {
    /// What it holds, and its protocols.
    const INFO: Info;
    /// Its files on the Hugging Face hub, where they are there in a layout that `open` reads.
    const PUBLISHED: Option<Published> = None;
    /// What can be set.
    type Settings: Settings;

    /// Opens the data set; reads labels, not images.
    ///
    /// # Errors
    /// If its files are missing or damaged.
    fn open(settings: &Self::Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError>;
}

type Table = Map<String, Value>;
type Opened = Result<Box<dyn Dataset>, DataError>;

/// A registered data set.
#[derive(Clone, Copy)]
pub struct Entry {
    info: Info,
    published: Option<Published>,
    defaults: fn() -> Table,
    docs: fn() -> BTreeMap<String, String>,
    check: fn(&Table) -> Result<(), String>,
    open: fn(&Table, &DataDirs) -> Opened,
}

impl Entry {
    /// Erases the types of `S`.
    pub const fn of<S: Source>() -> Self {
        Self {
            info: S::INFO,
            published: S::PUBLISHED,
            defaults: defaults::<S::Settings>,
            docs: docs::<S::Settings>,
            check: |table| read::<S::Settings>(table).map(drop),
            open: |table, dirs| S::open(&read(table).map_err(DataError::Invalid)?, dirs),
        }
    }

    /// What the data set holds, and its protocols.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Its files on the Hugging Face hub, if it has any there.
    pub fn published(&self) -> Option<&Published> {
        self.published.as_ref()
    }

    /// Every setting with its default, in the order of declaration.
    pub fn defaults(&self) -> Table {
        (self.defaults)()
    }

    /// What every setting means.
    pub fn docs(&self) -> BTreeMap<String, String> {
        (self.docs)()
    }

    /// Checks a table of settings; keys that are absent take their defaults.
    ///
    /// # Errors
    /// The message to show, if a key is unknown, a type wrong or a value out of range.
    pub fn check(&self, table: &Table) -> Result<(), String> {
        (self.check)(table)
    }

    /// Opens the data set; keys that are absent from `table` take their defaults.
    ///
    /// # Errors
    /// If the settings do not pass [`Entry::check`], or files are missing or damaged.
    pub fn open(&self, table: &Table, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        (self.open)(table, dirs)
    }
}

fn defaults<T: Settings>() -> Table {
    match serde_json::to_value(T::default()) {
        Ok(Value::Object(table)) => table,
        _ => unreachable!("settings are a struct of plain values"),
    }
}

fn docs<T: Settings>() -> BTreeMap<String, String> {
    let schema = schema_for!(T);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return BTreeMap::new() };
    let text = |property: &Value| {
        let lines = property.get("description").and_then(Value::as_str).unwrap_or_default();
        lines.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    properties.iter().map(|(key, property)| (key.clone(), text(property))).collect()
}

/// Reads the table key by key first, as serde does not say at which key a type is wrong.
fn read<T: Settings>(table: &Table) -> Result<T, String> {
    for (key, value) in table {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        T::deserialize(Value::Object(alone)).map_err(|error| format!("`{key}`: {error}"))?;
    }
    let settings = T::deserialize(Value::Object(table.clone())).map_err(|error| error.to_string())?;
    settings.check()?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;

    const ENTRY: Entry = Entry::of::<Fake>();

    fn table(value: Value) -> Table {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn defaults_and_docs_come_from_the_struct() {
        assert_eq!(Value::Object(ENTRY.defaults()), json!({"items": 40, "odd": false}));
        assert_eq!(ENTRY.docs()["items"], "Number of items, in a sentence of two lines.");
        assert_eq!(ENTRY.docs().len(), 2);
        assert_eq!(ENTRY.check(&ENTRY.defaults()), Ok(()));
    }

    #[test]
    fn mistakes_name_the_key() {
        let message = |value| ENTRY.check(&table(value)).unwrap_err();
        assert_eq!(message(json!({"itms": 3})), "`itms`: unknown field `itms`, expected `items` or `odd`");
        assert_eq!(
            message(json!({"odd": true, "items": "many"})),
            "`items`: invalid type: string \"many\", expected usize"
        );
        assert_eq!(message(json!({"items": 3})), "`items` must be at least 20");
    }

    #[test]
    fn open_takes_defaults_for_absent_keys_and_checks_the_rest() {
        let dirs = DataDirs(vec![]);
        assert_eq!(ENTRY.open(&table(json!({})), &dirs).unwrap().len(), 40);
        assert_eq!(ENTRY.open(&table(json!({"items": 30})), &dirs).unwrap().len(), 30);
        assert!(matches!(ENTRY.open(&table(json!({"items": 1})), &dirs), Err(DataError::Invalid(_))));
    }

    #[test]
    fn an_unknown_protocol_lists_the_known_ones() {
        let error = ENTRY.info().protocol("nine").unwrap_err();
        assert_eq!(error.to_string(), "data set `fake` has no protocol `nine`\nhelp: known: fake");
        assert_eq!(ENTRY.info().protocol("fake").unwrap().name, "fake");
    }
}
