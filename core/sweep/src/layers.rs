//! Layers of checked settings, merged by figment.
//!
//! Every origin of settings (the file, a method, a grid point, a variable, a flag) is a [`Layer`], and every layer a
//! figment provider, whose metadata names it. figment merges them and tags each value with the layer that it came from;
//! [`Merged`] reads a table in the order in which its schema declares the keys, and asks the tags for origins.
//!
//! figment's own TOML and environment providers are not used. They keep no spans, which diagnostics show, and its
//! environment provider reads `1e-3` as a string.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use hashlab_settings::Settings;
use serde_json::Value;

use crate::diagnostic::Span;
use crate::scope::Scope;
use crate::section::Section;

/// A checked key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) section: Section,
    pub(crate) key: String,
    /// The value, in the type of the key.
    pub(crate) value: Value,
    /// Span of the value.
    pub(crate) span: Span,
}

impl Assignment {
    /// The key as a grid writes it: `tau`, `train.epochs`.
    pub(crate) fn path(&self) -> String {
        self.section.path(&self.key)
    }

    /// Whether both set the same key.
    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.section == other.section && self.key == other.key
    }
}

/// The origin of a layer.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    File(PathBuf),
    /// A `[[method]]`, by its name.
    Method(String),
    GridPoint,
    /// An environment variable, by its name.
    Variable(String),
    /// A flag, as a shell would show it.
    Flag(String),
}

/// Checked settings of one origin.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) origin: Origin,
    pub(crate) assignments: Vec<Assignment>,
    /// The tables that the origin writes, even if they are empty.
    pub(crate) tables: Vec<(Section, Span)>,
    /// The keys with rejected values. Rules that relate them to others are not checked.
    pub(crate) rejected: Vec<(Section, String)>,
}

impl Layer {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, assignments: Vec::new(), tables: Vec::new(), rejected: Vec::new() }
    }

    /// The layer's assignment of a key.
    pub(crate) fn find(&self, section: Section, key: &str) -> Option<&Assignment> {
        self.assignments.iter().rev().find(|a| a.section == section && a.key == key)
    }

    /// The span of a table of the layer, if it has one.
    pub(crate) fn table(&self, section: Section) -> Option<&Span> {
        self.tables.iter().find(|(table, _)| *table == section).map(|(_, span)| span)
    }

    fn rejects(&self, section: Section, key: &str) -> bool {
        self.rejected.iter().any(|(table, rejected)| *table == section && rejected == key)
    }

    /// The layer in words: the file, `method …`, `grid`, the variable or the flag.
    pub(crate) fn source(&self) -> String {
        let metadata = self.metadata();
        match &metadata.source {
            Some(source) => source.to_string(),
            None => metadata.name.into_owned(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        match &self.origin {
            Origin::File(path) => Metadata::from("experiment file", path.as_path()),
            Origin::Method(name) => Metadata::from("method", format!("method `{name}`")),
            Origin::GridPoint => Metadata::named("grid"),
            Origin::Variable(name) => Metadata::from("environment variable", name.as_str()),
            Origin::Flag(text) => Metadata::from("flag", text.as_str()),
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut tables: Map<String, Dict> = Map::new();
        for assignment in &self.assignments {
            let value = figment::value::Value::serialize(&assignment.value)?;
            tables.entry(assignment.section.key().to_owned()).or_default().insert(assignment.key.clone(), value);
        }
        Ok(Profile::Default.collect(tables.into_iter().map(|(key, table)| (key, table.into())).collect()))
    }
}

/// The declared defaults: the lowest layer.
struct Defaults<'a>(Scope<'a>);

impl Provider for Defaults<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("default")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut tables = Dict::new();
        for section in Section::all() {
            let defaults = figment::value::Value::serialize(self.0.defaults(section))?;
            tables.insert(section.key().to_owned(), defaults);
        }
        Ok(Profile::Default.collect(tables))
    }
}

/// The layers that all methods share.
#[derive(Debug)]
pub(crate) struct Layers {
    /// The experiment file and those that it extends, each above the one before it.
    pub(crate) files: Vec<Layer>,
    /// Variables and flags, each above the one before it.
    pub(crate) overrides: Vec<Layer>,
}

impl Layers {
    /// Stacks the layers, a method's own between the files and the overrides.
    pub(crate) fn around<'a>(&'a self, method: &[&'a Layer]) -> Vec<&'a Layer> {
        self.files.iter().chain(method.iter().copied()).chain(&self.overrides).collect()
    }

    /// The layers below a method's points, and the method's own.
    pub(crate) fn below<'a>(&'a self, fixed: &'a Layer) -> Vec<&'a Layer> {
        self.files.iter().chain([fixed]).collect()
    }

    /// A point of a method, and the layers above it.
    pub(crate) fn above<'a>(&'a self, point: &'a Layer) -> Vec<&'a Layer> {
        std::iter::once(point).chain(&self.overrides).collect()
    }

    /// The layers, the uppermost first.
    pub(crate) fn downwards(&self) -> impl Iterator<Item = &Layer> {
        self.overrides.iter().rev().chain(self.files.iter().rev())
    }

    /// Whether a variable or a flag sets a key.
    pub(crate) fn overridden(&self, section: Section, key: &str) -> bool {
        self.overrides.iter().any(|layer| layer.find(section, key).is_some())
    }
}

/// Layers that many points share, merged over the defaults once.
pub(crate) struct Base<'a> {
    scope: Scope<'a>,
    layers: Vec<&'a Layer>,
    figment: Figment,
    tables: BTreeMap<Section, Arc<Settings>>,
}

impl<'a> Base<'a> {
    /// Merges `layers` over the defaults, each above the one before it.
    pub(crate) fn new(scope: Scope<'a>, layers: Vec<&'a Layer>) -> Self {
        let base = Figment::from(Defaults(scope));
        let figment = layers.iter().fold(base, |below, layer| below.merge(layer));
        let values = values(&figment);
        let table = |section| (section, Arc::new(read(scope, &values, section)));
        let tables = Section::all().into_iter().map(table).collect();
        Self { scope, layers, figment, tables }
    }

    /// Merges further layers over these.
    pub(crate) fn merged<'p>(&self, above: &[&'p Layer]) -> Merged<'p>
    where
        'a: 'p,
    {
        let figment = above.iter().fold(self.figment.clone(), |below, layer| below.merge(layer));
        let values = values(&figment);
        let mut tables = self.tables.clone();
        let changed: BTreeSet<Section> =
            above.iter().flat_map(|layer| &layer.assignments).map(|one| one.section).collect();
        for section in changed {
            tables.insert(section, Arc::new(read(self.scope, &values, section)));
        }
        let layers = self.layers.iter().copied().chain(above.iter().copied()).collect();
        Merged { scope: self.scope, layers, figment, values, tables }
    }
}

/// The merged values, by section.
fn values(figment: &Figment) -> Dict {
    figment.data().expect("settings are plain data").remove(&Profile::Default).unwrap_or_default()
}

fn value<'v>(values: &'v Dict, section: Section, key: &str) -> Option<&'v figment::value::Value> {
    values.get(section.key())?.as_dict()?.get(key)
}

/// A section's settings, in the order of declaration.
fn read(scope: Scope<'_>, values: &Dict, section: Section) -> Settings {
    let keys = scope.schema(section).into_iter().flat_map(|schema| schema.defaults.keys());
    let read = |key: &String| {
        let value = value(values, section, key)?.deserialize::<Value>().expect("settings are plain data");
        Some((key.clone(), value))
    };
    keys.filter_map(read).collect()
}

/// Layers merged over the defaults.
pub(crate) struct Merged<'a> {
    pub(crate) scope: Scope<'a>,
    layers: Vec<&'a Layer>,
    figment: Figment,
    values: Dict,
    tables: BTreeMap<Section, Arc<Settings>>,
}

impl<'a> Merged<'a> {
    /// Merges `layers` over the defaults, each above the one before it.
    pub(crate) fn new(scope: Scope<'a>, layers: Vec<&'a Layer>) -> Self {
        Base::new(scope, layers).merged(&[])
    }

    fn value(&self, section: Section, key: &str) -> Option<&figment::value::Value> {
        value(&self.values, section, key)
    }

    /// A section's settings, in the order of declaration. Points share those that their layers do not change.
    pub(crate) fn table(&self, section: Section) -> &Settings {
        &self.tables[&section]
    }

    /// The layer of a key's value, and its height; `None` for a default.
    pub(crate) fn origin(&self, section: Section, key: &str) -> Option<(usize, &'a Layer)> {
        let metadata = self.figment.get_metadata(self.value(section, key)?.tag())?;
        let found = self.layers.iter().enumerate().rev();
        let mut found = found.filter(|(_, layer)| layer.find(section, key).is_some());
        found.find(|(_, layer)| layer.metadata() == *metadata).map(|(height, layer)| (height, *layer))
    }

    /// The assignment of a key; `None` for a default.
    pub(crate) fn assignment(&self, section: Section, key: &str) -> Option<&'a Assignment> {
        self.origin(section, key).and_then(|(_, layer)| layer.find(section, key))
    }

    /// A key with its value and its origin: `` `epochs` is 5 (--set train.epochs=5) ``.
    pub(crate) fn explain(&self, section: Section, key: &str) -> Option<String> {
        let value = self.value(section, key)?.deserialize::<Value>().ok()?;
        let value = if value.is_null() { "not set".to_owned() } else { format!("{value}") };
        let origin = self.origin(section, key).map_or("default".to_owned(), |(_, layer)| layer.source());
        Some(format!("`{key}` is {value} ({origin})"))
    }

    /// Whether a layer's value of any key of a section was rejected.
    pub(crate) fn rejects_any(&self, section: Section) -> bool {
        self.layers.iter().any(|layer| layer.rejected.iter().any(|(table, _)| *table == section))
    }

    /// Whether a layer's value of a key was rejected.
    pub(crate) fn rejects(&self, section: Section, key: &str) -> bool {
        self.layers.iter().any(|layer| layer.rejects(section, key))
    }
}
