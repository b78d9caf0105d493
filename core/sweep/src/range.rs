//! Ranges of numbers, from which a search draws values.

use hashlab_settings::ValueType;
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Span};
use crate::grid::GridKey;
use crate::layers::Assignment;
use crate::reader::Reader;
use crate::suggest::did_you_mean;
use crate::toml_tree::{Field, Node};

/// The keys of a range.
const LOW: &str = "low";
const HIGH: &str = "high";
const SCALE: &str = "scale";

/// Decimal digits of a drawn float. They hide the last bits of logarithms, in which systems differ, and are short in
/// tables.
const DIGITS: usize = 6;

/// A range of a key's values, both ends included.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    /// The lower end, in the type of the key.
    pub(crate) low: Assignment,
    high: Assignment,
    scale: Scale,
    integer: bool,
}

/// The scale on which values of a range are equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

impl Scale {
    const ALL: [Self; 2] = [Self::Linear, Self::Log];

    fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
        }
    }
}

impl Range {
    /// The value at a fraction of the range: 0 is the lower end, and 1 would be the upper one. Equal parts of `[0, 1)`
    /// hold equal parts of the range on its scale; of integers, each has an equal part around it.
    pub(crate) fn at(&self, fraction: f64) -> Assignment {
        let (low, high) = self.ends();
        let margin = if self.integer { 0.5 } else { 0.0 };
        let (from, to) = (low - margin, high + margin);
        let drawn = match self.scale {
            Scale::Linear => from + (to - from) * fraction,
            Scale::Log => (from.ln() + (to.ln() - from.ln()) * fraction).exp(),
        };
        let value = match self.integer {
            true => integer(drawn.round().clamp(low, high)),
            false => json!(rounded(drawn).clamp(low, high)),
        };
        Assignment { value, ..self.low.clone() }
    }

    /// The range as a file writes it.
    pub(crate) fn value(&self) -> Value {
        json!({ LOW: self.low.value, HIGH: self.high.value, SCALE: self.scale.name() })
    }

    fn ends(&self) -> (f64, f64) {
        let number = |end: &Assignment| end.value.as_f64().expect("the ends of a range are numbers");
        (number(&self.low), number(&self.high))
    }
}

fn integer(whole: f64) -> Value {
    if whole < 0.0 { Value::from(whole as i64) } else { Value::from(whole as u64) }
}

fn rounded(number: f64) -> f64 {
    format!("{number:.*e}", DIGITS - 1).parse().expect("a printed number is one")
}

/// Reads the range of a key: `{ low = 1e-4, high = 1e-1, scale = "log" }`.
pub(crate) fn range(reader: &mut Reader<'_>, key: &GridKey<'_>, fields: &[Field]) -> Option<Range> {
    let expected = reader.scope.schema(key.section)?.value_type(key.key)?;
    let Some(integer) = whole_numbers(expected) else {
        let message = format!("`{}` must be {}, which has no ranges", key.key, expected.describe());
        reader.push(Diagnostic::new(&key.node.span, message).help("list the values to try"));
        return None;
    };
    let unknown = fields.iter().find(|field| ![LOW, HIGH, SCALE].contains(&field.key.as_str()));
    if let Some(field) = unknown {
        let diagnostic = Diagnostic::new(&field.span, format!("a range has no key `{}`", field.key));
        reader.push(diagnostic.help(did_you_mean(&field.key, [LOW, HIGH, SCALE])));
        return None;
    }
    let low = end(reader, key, fields, LOW)?;
    let high = end(reader, key, fields, HIGH)?;
    let scale = scale(reader, fields)?;
    let low = Assignment { span: key.node.span.clone(), ..low };
    let range = Range { low, high, scale, integer };
    let (low, high) = range.ends();
    let wrong = if low >= high {
        format!("`low` of `{}` must be below `high`, got {} and {}", key.key, range.low.value, range.high.value)
    } else if scale == Scale::Log && low <= 0.0 {
        format!("`low` of `{}` must be above 0 on a logarithmic scale, got {}", key.key, range.low.value)
    } else {
        return Some(range);
    };
    reader.push(Diagnostic::new(&key.node.span, wrong));
    None
}

/// Whether the numbers of a type are whole; `None` if it holds other values than numbers.
pub(crate) fn whole_numbers(expected: &ValueType) -> Option<bool> {
    match expected {
        ValueType::Integer(_) => Some(true),
        ValueType::Number(_) => Some(false),
        _ => None,
    }
}

/// Reads an end of a range, which is a value of the key.
fn end(reader: &mut Reader<'_>, key: &GridKey<'_>, fields: &[Field], name: &str) -> Option<Assignment> {
    let Some(field) = fields.iter().find(|field| field.key == name) else {
        let message = format!("the range of `{}` has no `{name}`", key.key);
        let example = "e.g. `{ low = 1e-4, high = 1e-1, scale = \"log\" }`";
        reader.push(Diagnostic::new(&key.node.span, message).help(example));
        return None;
    };
    reader.value(key.section, key.key, key.span, &field.node)
}

fn scale(reader: &mut Reader<'_>, fields: &[Field]) -> Option<Scale> {
    let Some(Field { node, .. }) = fields.iter().find(|field| field.key == SCALE) else { return Some(Scale::Linear) };
    let found = Scale::ALL.into_iter().find(|scale| node.value().as_str() == Some(scale.name()));
    if found.is_none() {
        reader.push(wrong_scale(node));
    }
    found
}

fn wrong_scale(node: &Node) -> Diagnostic {
    let span: &Span = &node.span;
    let diagnostic = Diagnostic::new(span, format!("`scale` must be `linear` or `log`, got {}", node.describe()));
    diagnostic.help("default: linear")
}
