//! Reads what the arms share: from the file, a variable or a flag.

use serde_json::Value;

use super::diagnose::Mistake;
use super::keys::{Keys, Scope};
use super::layer::{Layer, Section, Setting};
use super::tree::{Field, Kind, Node};

/// Longest code that an experiment may ask for, in bits.
const MAX_BITS: i128 = 1024;

/// Reads checked settings out of trees and collects mistakes on the way.
pub(crate) struct Reader<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    /// Reads the shared keys and sections; `[[arm]]` is read apart.
    pub(crate) fn shared(&mut self, fields: &[Field]) -> Layer {
        let keys = self.scope.keys(None);
        let mut layer = Layer::new();
        for field in fields {
            match Section::SHARED.into_iter().find(|s| s.key() == field.key) {
                Some(section) => layer.extend(self.section(section, field)),
                None if field.key == "arm" => {}
                None => layer.extend(self.axis(&keys, field)),
            }
        }
        layer
    }

    /// Reads a table of settings.
    pub(crate) fn section(&mut self, section: Section, field: &Field) -> Layer {
        if self.scope.schema(section).is_none() {
            return Layer::new(); // the data set is unknown, and a mistake already
        }
        let keys = self.scope.keys(Some(section));
        let fields = self.table(field);
        fields.iter().filter_map(|f| self.setting(&keys, f)).collect()
    }

    /// Reads one of the keys at the top of the file.
    pub(crate) fn axis(&mut self, keys: &Keys, field: &Field) -> Option<Setting> {
        if !keys.contain(&field.key) {
            let tables = [Section::SHARED.map(Section::key).as_slice(), &["arm"]].concat();
            self.push(keys.unknown(&field.key, &field.place, &tables));
            return None;
        }
        let rules = shared_rules(&field.key, &field.node);
        let setting = self.setting(keys, field).filter(|_| rules.is_empty());
        self.mistakes.extend(rules);
        setting
    }

    /// Checks one key of a table.
    pub(crate) fn setting(&mut self, keys: &Keys, field: &Field) -> Option<Setting> {
        keys.check(&field.key, &field.place, &field.node).map_err(|m| self.push(m)).ok()
    }

    /// The fields of a table; none, and a mistake, where the value is something else.
    pub(crate) fn table<'f>(&mut self, field: &'f Field) -> &'f [Field] {
        if let Kind::Table(fields) = &field.node.kind {
            return fields;
        }
        let (key, got) = (&field.key, field.node.describe());
        self.push(Mistake::new(&field.node.place, format!("`{key}` must be a table of settings, got {got}")));
        &[]
    }

    pub(crate) fn push(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }
}

/// Checks the ranges of the shared axes.
fn shared_rules(key: &str, node: &Node) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if let Kind::List(items) = &node.kind {
        mistakes.extend(list_rules(key, node, &items.iter().map(Node::value).collect::<Vec<_>>()));
    }
    for item in node.items() {
        let Some(number) = integer(item) else { continue };
        let fault = match key {
            "bits" if !(1..=MAX_BITS).contains(&number) => format!("a code has 1 to {MAX_BITS} bits, got {number}"),
            "seeds" | "split_seed" if number < 0 => format!("`{key}` must not be negative, got {number}"),
            _ => continue,
        };
        mistakes.push(Mistake::new(&item.place, fault));
    }
    mistakes
}

fn integer(node: &Node) -> Option<i128> {
    let value = node.value();
    value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from))
}

/// Checks that a list of values to try is neither empty nor repetitive. `values` are the list's, as they count.
pub(crate) fn list_rules(key: &str, list: &Node, values: &[Value]) -> Vec<Mistake> {
    if values.is_empty() {
        return vec![Mistake::new(&list.place, format!("`{key}` is empty, so there would be nothing to run"))];
    }
    let repeated = values.iter().enumerate().filter(|(at, value)| values[..*at].contains(value));
    repeated
        .map(|(at, value)| Mistake::new(&list.items()[at].place, format!("`{key}` holds {value} more than once")))
        .collect()
}
