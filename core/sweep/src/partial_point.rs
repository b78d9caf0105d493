//! Partial points, by which `when` and `exclude` name a part of a grid: keys with one or several values each.

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Span};
use crate::grid::{Axis, Domain, GridKey, Varied, grid_keys};
use crate::layers::{Layer, Layers};
use crate::reader::Reader;
use crate::section::Section;
use crate::suggest::did_you_mean;
use crate::toml_text::{inline, key_text};
use crate::toml_tree::{Field, Node, NodeKind};
use crate::typed_value;

/// The key of the code length, which is not an axis of a grid but of the experiment.
const BITS: &str = "bits";

/// A part of a method's points: those at which every key has one of its values.
#[derive(Clone, Debug)]
pub(crate) struct PartialPoint {
    pub(crate) terms: Vec<Term>,
    /// The code lengths that it is about, if it names some.
    pub(crate) bits: Option<Vec<u64>>,
    pub(crate) span: Span,
}

/// A key with the values that it may have.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    section: Section,
    key: String,
    values: Vec<Value>,
}

impl PartialPoint {
    /// The point as an inline table.
    pub(crate) fn to_toml(&self) -> String {
        let pair = |key: &str, values: &[Value]| match values {
            [one] => format!("{} = {}", key_text(key), inline(one)),
            several => format!("{} = {}", key_text(key), inline(&Value::from(several.to_vec()))),
        };
        let terms = self.terms.iter().map(|term| pair(&term.section.path(&term.key), &term.values));
        let bits = self.bits.iter().map(|bits| pair(BITS, &bits.iter().copied().map(Value::from).collect::<Vec<_>>()));
        format!("{{ {} }}", terms.chain(bits).collect::<Vec<_>>().join(", "))
    }

    /// Whether a point is one of them; of which code length is not asked.
    pub(crate) fn holds(&self, point: &Layer) -> bool {
        let fits = |term: &Term| {
            point.find(term.section, &term.key).is_some_and(|assignment| term.values.contains(&assignment.value))
        };
        self.terms.iter().all(fits)
    }

    /// Whether a variable or a flag sets one of its keys.
    pub(crate) fn overridden(&self, layers: &Layers) -> bool {
        let bits = self.bits.is_some() && layers.overridden(Section::General, BITS);
        bits || self.terms.iter().any(|term| layers.overridden(term.section, &term.key))
    }

    /// Replaces the keys that an override fixes by whether they have that value; `None` if one has another.
    pub(crate) fn under(mut self, layers: &Layers) -> Option<Self> {
        let mut possible = true;
        self.terms.retain(|term| {
            let above = layers.overrides.iter().rev().find_map(|layer| layer.find(term.section, &term.key));
            let Some(above) = above else { return true };
            possible &= term.values.contains(&above.value);
            false
        });
        possible.then_some(self)
    }
}

/// Reads a partial point of a grid with these axes.
pub(crate) fn partial_point(
    reader: &mut Reader<'_>,
    word: &str,
    node: &Node,
    axes: &[Axis],
    with_bits: bool,
) -> Option<PartialPoint> {
    let NodeKind::Table(fields) = &node.kind else {
        let message = format!("`{word}` holds tables of keys and values, got {}", node.describe());
        let diagnostic = Diagnostic::new(&node.span, message);
        reader.push(diagnostic.help("e.g. `exclude = [{ tau = 0.2 }]`, or `when = { beta = { tau = 0.2 } }`"));
        return None;
    };
    let known = reader.diagnostics.len();
    let mut point = PartialPoint { terms: Vec::new(), bits: None, span: node.span.clone() };
    for field in fields {
        if with_bits && field.key == BITS {
            point.bits = Some(bits(reader, field));
            continue;
        }
        for key in grid_keys(field) {
            match find_varied(axes, &key) {
                Some(varied) => point.terms.extend(term(reader, &key, varied)),
                None => reader.push(not_varied(word, &key, axes)),
            }
        }
    }
    if fields.is_empty() {
        let diagnostic = Diagnostic::new(&node.span, format!("`{word}` holds an empty table, which is every point"));
        reader.push(diagnostic.help("name keys with values, or drop it"));
    }
    (reader.diagnostics.len() == known).then_some(point)
}

/// The axis' key that a key names.
pub(crate) fn find_varied<'a>(axes: &'a [Axis], key: &GridKey<'_>) -> Option<&'a Varied> {
    axes.iter().flat_map(|axis| &axis.keys).find(|varied| varied.section == key.section && varied.key == key.key)
}

pub(crate) fn not_varied(word: &str, key: &GridKey<'_>, axes: &[Axis]) -> Diagnostic {
    let path = key.section.path(key.key);
    let message = format!("`{word}` names `{path}`, which this method does not vary");
    let names: Vec<String> = axes.iter().flat_map(|axis| &axis.keys).map(Varied::path).collect();
    let help = match names.is_empty() {
        true => "vary it in `grid` or `zip`".to_owned(),
        false => did_you_mean(&path, names.iter().map(String::as_str)),
    };
    Diagnostic::new(key.span, message).help(help)
}

fn bits(reader: &mut Reader<'_>, field: &Field) -> Vec<u64> {
    let mut bits = Vec::new();
    for item in field.node.items() {
        match item.value().as_u64() {
            Some(number) => bits.push(number),
            None => {
                let message = format!("`bits` must be a code length, got {}", item.describe());
                reader.push(Diagnostic::new(&item.span, message));
            }
        }
    }
    bits
}

/// Reads the values of a key, each of which must be one of the axis.
fn term(reader: &mut Reader<'_>, key: &GridKey<'_>, varied: &Varied) -> Option<Term> {
    let expected = reader.scope.schema(key.section)?.value_type(key.key)?;
    if let Domain::Range(_) = varied.domain {
        let message = format!("`{}` is a range, so it has no values to name", varied.path());
        reader.push(Diagnostic::new(key.span, message).help("name keys whose values are listed"));
        return None;
    }
    let single = typed_value::check(key.key, expected, key.node).is_ok();
    let nodes = if single { std::slice::from_ref(key.node) } else { key.node.items() };
    let mut values = Vec::new();
    for node in nodes {
        let value = reader.value(key.section, key.key, key.span, node)?.value;
        if !varied.list().iter().any(|assignment| assignment.value == value) {
            let list =
                varied.list().iter().map(|assignment| assignment.value.to_string()).collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is never {value} in this method", varied.path());
            reader.push(Diagnostic::new(&node.span, message).help(format!("its values: {list}")));
            return None;
        }
        values.push(value);
    }
    Some(Term { section: key.section, key: key.key.to_owned(), values })
}
