//! TOML as a tree that remembers where every key and value stands.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::diagnose::{Mistake, Place};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// The three shapes of a value.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A string, a number or a boolean.
    Scalar(Value),
    List(Vec<Node>),
    Table(Vec<Field>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// Says what the node is, to follow "got": `the integer 16`, `a list`.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar(Value::String(text)) => format!("the string {text:?}"),
            Kind::Scalar(Value::Bool(truth)) => format!("the boolean {truth}"),
            Kind::Scalar(number) if number.is_f64() => format!("the float {number}"),
            Kind::Scalar(number) => format!("the integer {number}"),
            Kind::List(_) => "a list".to_owned(),
            Kind::Table(_) => "a table".to_owned(),
        }
    }

    /// The elements of a list; anything else is its own only element.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Forgets the places.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Node::value).collect(),
            Kind::Table(fields) => fields.iter().map(|f| (f.key.clone(), f.node.value())).collect(),
        }
    }
}

/// Parses a file.
///
/// # Errors
/// The first mistake of syntax, or every value that no setting can have: dates, `nan`, `inf`, integers beyond 64 bits.
pub(crate) fn document(text: &str, source: usize) -> Result<Vec<Field>, Vec<Mistake>> {
    let mut converter = Converter { source, offset: 0, mistakes: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    converter.syntax(&errors, text);
    let fields = converter.fields(table.get_ref());
    converter.finish(fields)
}

/// Parses the value that stands at byte `offset` of a source and fills it to its end. What is no TOML is a string, so
/// that a shell needs no second pair of quotes; but an opening quote or bracket is meant as TOML.
///
/// # Errors
/// As [`document`].
pub(crate) fn value(text: &str, source: usize, offset: usize) -> Result<Node, Vec<Mistake>> {
    let mut converter = Converter { source, offset, mistakes: Vec::new() };
    let (value, errors) = DeValue::parse_recoverable(text);
    if !errors.is_empty() && !text.starts_with(['"', '\'', '[', '{']) {
        return Ok(Node {
            place: Place::new(source, offset..offset + text.len()),
            kind: Kind::Scalar(Value::from(text)),
        });
    }
    converter.syntax(&errors, text);
    let node = converter.node(&value);
    converter.finish(node)
}

/// Turns toml's tree into ours.
struct Converter {
    source: usize,
    offset: usize,
    mistakes: Vec<Mistake>,
}

impl Converter {
    fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.source, self.offset + span.start..self.offset + span.end)
    }

    /// Reports the first error: those behind it are mostly its consequences.
    fn syntax(&mut self, errors: &[toml::de::Error], text: &str) {
        if let Some(error) = errors.first() {
            let place = self.place(error.span().unwrap_or(0..text.len()));
            self.mistakes.push(Mistake::new(&place, error.message().replace('\n', ", ")));
        }
    }

    fn finish<T>(self, tree: T) -> Result<T, Vec<Mistake>> {
        if self.mistakes.is_empty() { Ok(tree) } else { Err(self.mistakes) }
    }

    fn fields(&mut self, table: &DeTable<'_>) -> Vec<Field> {
        table
            .iter()
            .map(|(key, value)| Field {
                key: key.get_ref().to_string(),
                place: self.place(key.span()),
                node: self.node(value),
            })
            .collect()
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span());
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Scalar(Value::from(text.as_ref())),
            DeValue::Boolean(truth) => Kind::Scalar(Value::from(*truth)),
            DeValue::Integer(integer) => Kind::Scalar(self.integer(integer, &place)),
            DeValue::Float(float) => Kind::Scalar(self.float(float, &place)),
            DeValue::Datetime(date) => {
                self.mistakes.push(Mistake::new(&place, format!("no setting is a date, got {date}")));
                Kind::Scalar(Value::Null)
            }
            DeValue::Array(items) => Kind::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Kind::Table(self.fields(table)),
        };
        Node { place, kind }
    }

    fn integer(&mut self, integer: &DeInteger<'_>, place: &Place) -> Value {
        let parsed = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let value = parsed.and_then(|wide| {
            let unsigned = u64::try_from(wide).map(Value::from);
            unsigned.or_else(|_| i64::try_from(wide).map(Value::from)).ok()
        });
        value.unwrap_or_else(|| {
            self.mistakes.push(Mistake::new(place, format!("the integer {integer} does not fit 64 bits")));
            Value::Null
        })
    }

    fn float(&mut self, float: &DeFloat<'_>, place: &Place) -> Value {
        match float.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Value::from(number),
            _ => {
                self.mistakes.push(Mistake::new(place, format!("settings are finite numbers, got {float}")));
                Value::Null
            }
        }
    }
}
