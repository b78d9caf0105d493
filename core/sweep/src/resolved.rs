//! An experiment with all its values and the origin of each, as an experiment file of its own.

use std::fmt::Write as _;

use serde_json::Value;

use crate::diagnostic::Span;
use crate::experiment::Experiment;
use crate::external::MARK;
use crate::grid::{Axis, GRID, Varied, ZIP};
use crate::layers::{Assignment, Layer, Merged, Origin};
use crate::method_table::MethodTable;
use crate::points::{EXCLUDE, WHEN};
use crate::scope::Scope;
use crate::section::Section;
use crate::toml_text::{inline, key_text};

/// Column of the origins, where lines are shorter.
const COLUMN: usize = 48;

impl Experiment {
    /// Renders the experiment as TOML, each value with its origin in a comment: `default`, file and line, variable or
    /// flag. It plans the same runs. `defaults` adds the keys that nothing sets.
    pub fn resolved(&self, defaults: bool) -> String {
        let scope = Scope {
            catalog: &self.catalog,
            dataset: Some(&self.dataset),
            description: Some(&self.description),
            method: None,
        };
        let merged = Merged::new(scope, self.layers.around(&[]));
        let mut text = self.section(&merged, Section::General, defaults);
        for section in Section::shared() {
            let lines = self.section(&merged, section, defaults);
            let written = self.layers.downwards().any(|layer| layer.table(section).is_some());
            if written || !lines.is_empty() {
                let _ = write!(text, "\n{}", self.table(section, written, &lines));
            }
        }
        for table in &self.methods {
            text += "\n[[method]]\n";
            text += &self.method(Scope { method: Some(&self.catalog.methods[table.method]), ..scope }, table, defaults);
        }
        for row in &self.external {
            let label = row.label.strip_suffix(MARK).unwrap_or(&row.label);
            let place = self.at(&row.span);
            text += "\n[[external]]\n";
            text += &line("label", &label.into(), &place);
            text += &line("codes", &row.codes.as_str().into(), &place);
            if let Some(bits) = &row.bits {
                text += &line("bits", &bits.iter().copied().map(Value::from).collect(), &place);
            }
        }
        text
    }

    /// A section with its lines. One of an encoder that no file has stays a comment: its header alone would say that
    /// methods of one modality are to read it.
    fn table(&self, section: Section, written: bool, lines: &str) -> String {
        let text = format!("[{}]\n{lines}", section.key());
        match section {
            Section::Encoder(_) if !written => {
                text.lines().map(|line| format!("# {}\n", line.trim_start_matches("# "))).collect()
            }
            _ => text,
        }
    }

    /// The keys of a section, those that nothing sets if `defaults` asks for them.
    fn section(&self, merged: &Merged<'_>, section: Section, defaults: bool) -> String {
        let mut text = String::new();
        for (key, value) in merged.table(section) {
            let origin = merged.origin(section, key).map(|(_, layer)| layer);
            if origin.is_some() || defaults {
                let place = origin.map_or("default".to_owned(), |layer| self.place(layer, section, key));
                text += &line(key, value, &place);
            }
        }
        text
    }

    fn method(&self, scope: Scope<'_>, table: &MethodTable, defaults: bool) -> String {
        let name = &self.catalog.methods[table.method].name;
        let mut text = line("name", &name.as_str().into(), &self.at(&table.span));
        let titled = table.label == self.catalog.methods[table.method].title;
        if defaults || !titled {
            let place = if titled { "default".to_owned() } else { self.at(&table.span) };
            text += &line("label", &table.label.as_str().into(), &place);
        }
        let merged = Merged::new(scope, self.layers.around(&[&table.fixed]));
        let varied = |section: Section, key: &str| table.varied.iter().any(|(s, k)| (*s, k.as_str()) == (section, key));
        for (key, value) in merged.table(Section::Params).into_iter().filter(|(key, _)| !varied(Section::Params, key)) {
            let own = table.fixed.find(Section::Params, key);
            if own.is_some() || defaults {
                let place = own.map_or("default".to_owned(), |own| self.at(&own.span));
                text += &line(&format!("params.{}", key_text(key)), value, &place);
            }
        }
        for own in table.fixed.assignments.iter().filter(|own| own.section != Section::Params) {
            let path = if own.section == Section::General { own.key.clone() } else { own.path() };
            text += &match merged.origin(own.section, &own.key) {
                Some((_, layer)) if matches!(layer.origin, Origin::Variable(_) | Origin::Flag(_)) => {
                    format!("# {path} = {} is replaced by {}\n", inline(&own.value), layer.source())
                }
                _ => line(&path, &own.value, &self.at(&own.span)),
            };
        }
        for (section, span) in table.fixed.tables.iter().filter(|(section, _)| *section != Section::Params) {
            if !table.fixed.assignments.iter().any(|own| own.section == *section) {
                text += &padded(format!("{} = {{}}", section.key()), &self.at(span));
            }
        }
        text + &self.varied(table)
    }

    /// What a method varies, as its file writes it. Keys that an override fixes are left out.
    fn varied(&self, table: &MethodTable) -> String {
        let mut text = String::new();
        let (zipped, single): (Vec<&Axis>, Vec<&Axis>) = table.grid.axes.iter().partition(|axis| axis.keys.len() > 1);
        for varied in single.iter().flat_map(|axis| &axis.keys) {
            let place = self.values_place(varied);
            text += &line(&format!("{GRID}.{}", key_text(&varied.path())), &varied.value(), &place);
        }
        if !zipped.is_empty() {
            let tables: Vec<String> = zipped.iter().map(|axis| table_text(&axis.keys)).collect();
            let place = zipped[0].keys.first().map(|varied| self.values_place(varied)).unwrap_or_default();
            text += &padded(format!("{ZIP} = [{}]", tables.join(", ")), &place);
        }
        for ((section, key), point) in table.grid.conditions() {
            let path = key_text(&section.path(key));
            text += &padded(format!("{WHEN}.{path} = {}", point.to_toml()), &self.at(&point.span));
        }
        if let Some(first) = table.grid.excludes().first() {
            let points: Vec<String> = table.grid.excludes().iter().map(|point| point.to_toml()).collect();
            text += &padded(format!("{EXCLUDE} = [{}]", points.join(", ")), &self.at(&first.span));
        }
        text
    }

    fn values_place(&self, varied: &Varied) -> String {
        varied.list().first().map(|value| self.at(&value.span)).unwrap_or_default()
    }

    /// Where a layer sets a key.
    fn place(&self, layer: &Layer, section: Section, key: &str) -> String {
        match (&layer.origin, layer.find(section, key)) {
            (Origin::File(_), Some(Assignment { span, .. })) => self.at(span),
            _ => layer.source(),
        }
    }

    /// File and line of a span.
    fn at(&self, span: &Span) -> String {
        let source = &self.sources[span.source];
        let line = 1 + source.text[..span.start].matches('\n').count();
        source.path.as_ref().map_or_else(|| source.text.clone(), |path| format!("{path}:{line}"))
    }
}

/// A key with its value and its origin. TOML has no value for a key that is not set.
fn line(key: &str, value: &Value, place: &str) -> String {
    match value {
        Value::Null => padded(format!("# {key} is not set"), place),
        value => padded(format!("{key} = {}", inline(value)), place),
    }
}

fn padded(text: String, place: &str) -> String {
    format!("{text:COLUMN$}  # {place}\n")
}

/// Keys with their lists of values, as an inline table.
fn table_text(keys: &[Varied]) -> String {
    let pairs = keys.iter().map(|varied| format!("{} = {}", key_text(&varied.path()), inline(&varied.value())));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}
