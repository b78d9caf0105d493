//! TOML as a tree with the span of every key and value.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Span};
use crate::suggest::in_toml;

/// A value with its span.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: NodeKind,
}

/// The three shapes of a value.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// A string, a number or a boolean.
    Scalar(Value),
    List(Vec<Node>),
    Table(Vec<Field>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) node: Node,
}

impl Node {
    /// Describes the node, to follow "got": `the integer 16`, `a list`.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            NodeKind::Scalar(Value::String(text)) => format!("the string {text:?}"),
            NodeKind::Scalar(Value::Bool(truth)) => format!("the boolean {truth}"),
            NodeKind::Scalar(number) if number.is_f64() => format!("the float {number}"),
            NodeKind::Scalar(number) => format!("the integer {number}"),
            NodeKind::List(_) => "a list".to_owned(),
            NodeKind::Table(_) => "a table".to_owned(),
        }
    }

    /// The elements of a list; of another node, the node itself.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.kind {
            NodeKind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// The value without spans.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar(value) => value.clone(),
            NodeKind::List(items) => items.iter().map(Node::value).collect(),
            NodeKind::Table(fields) => fields.iter().map(|f| (f.key.clone(), f.node.value())).collect(),
        }
    }
}

/// Parses a file.
///
/// # Errors
/// The first error of syntax, or every value that no setting can have: dates, `nan`, `inf`, integers beyond 64 bits.
pub(crate) fn document(text: &str, source: usize) -> Result<Vec<Field>, Vec<Diagnostic>> {
    let mut converter = Converter { source, offset: 0, diagnostics: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    converter.syntax(&errors, text)?;
    let fields = converter.fields(table.get_ref());
    converter.finish(fields)
}

/// Parses the value that fills a source from byte `offset` to its end, without blanks. Text that is not TOML is a
/// string, so that a shell needs no second pair of quotes; but text with an opening quote or bracket must be TOML.
///
/// # Errors
/// As [`document`].
pub(crate) fn value(text: &str, source: usize, offset: usize) -> Result<Node, Vec<Diagnostic>> {
    let offset = offset + text.len() - text.trim_start().len();
    let text = text.trim();
    let mut converter = Converter { source, offset, diagnostics: Vec::new() };
    let (value, errors) = DeValue::parse_recoverable(text);
    if !errors.is_empty() && !text.starts_with(['"', '\'', '[', '{']) {
        let span = Span::new(source, offset..offset + text.len());
        return Ok(Node { span, kind: NodeKind::Scalar(Value::from(text)) });
    }
    converter.syntax(&errors, text)?;
    let node = converter.node(&value);
    converter.finish(node)
}

/// Conversion of toml's tree into this one.
struct Converter {
    source: usize,
    offset: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Converter {
    fn span(&self, span: Range<usize>) -> Span {
        Span::new(self.source, self.offset + span.start..self.offset + span.end)
    }

    /// Reports the first error only: later ones, and odd values in the parsed rest, are its consequences.
    fn syntax(&self, errors: &[toml::de::Error], text: &str) -> Result<(), Vec<Diagnostic>> {
        let Some(error) = errors.first() else { return Ok(()) };
        let span = error.span().unwrap_or(0..text.len());
        let diagnostic = Diagnostic::new(&self.span(span.clone()), error.message().replace('\n', ", "));
        let word = word_at(text, span.start);
        Err(vec![match in_toml(word, false).filter(|hint| *hint != format!("write `{word}`")) {
            Some(hint) => diagnostic.help(hint),
            None => diagnostic,
        }])
    }

    fn finish<T>(self, tree: T) -> Result<T, Vec<Diagnostic>> {
        if self.diagnostics.is_empty() { Ok(tree) } else { Err(self.diagnostics) }
    }

    fn fields(&mut self, table: &DeTable<'_>) -> Vec<Field> {
        table
            .iter()
            .map(|(key, value)| Field {
                key: key.get_ref().to_string(),
                span: self.span(key.span()),
                node: self.node(value),
            })
            .collect()
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>) -> Node {
        let span = self.span(value.span());
        let kind = match value.get_ref() {
            DeValue::String(text) => NodeKind::Scalar(Value::from(text.as_ref())),
            DeValue::Boolean(truth) => NodeKind::Scalar(Value::from(*truth)),
            DeValue::Integer(integer) => NodeKind::Scalar(self.integer(integer, &span)),
            DeValue::Float(float) => NodeKind::Scalar(self.float(float, &span)),
            DeValue::Datetime(date) => {
                self.diagnostics.push(Diagnostic::new(&span, format!("no setting is a date, got {date}")));
                NodeKind::Scalar(Value::Null)
            }
            DeValue::Array(items) => NodeKind::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => NodeKind::Table(self.fields(table)),
        };
        Node { span, kind }
    }

    fn integer(&mut self, integer: &DeInteger<'_>, span: &Span) -> Value {
        let parsed = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let value = parsed.and_then(|wide| {
            let unsigned = u64::try_from(wide).map(Value::from);
            unsigned.or_else(|_| i64::try_from(wide).map(Value::from)).ok()
        });
        value.unwrap_or_else(|| {
            self.diagnostics.push(Diagnostic::new(span, format!("the integer {integer} does not fit 64 bits")));
            Value::Null
        })
    }

    fn float(&mut self, float: &DeFloat<'_>, span: &Span) -> Value {
        match float.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Value::from(number),
            _ => {
                self.diagnostics.push(Diagnostic::new(span, format!("settings are finite numbers, got {float}")));
                Value::Null
            }
        }
    }
}

/// The word around a byte: up to blanks and TOML's punctuation on both sides, but with a comma between digits.
fn word_at(text: &str, at: usize) -> &str {
    let ends = |c: char| c.is_whitespace() || "=[]{}#\"'".contains(c);
    let (before, behind) = text.split_at(text.floor_char_boundary(at));
    let start = before.rfind(ends).map_or(0, |at| text.ceil_char_boundary(at + 1));
    let end = before.len() + behind.find(ends).unwrap_or(behind.len());
    text[start..end].trim_matches(',')
}
