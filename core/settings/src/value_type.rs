//! Types and ranges of single keys, from a section's JSON schema.

use serde_json::{Map, Value, json};

use crate::bounds::Bounds;

/// Type and range of a key's value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueType {
    /// Any value: the type is not restricted.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer(Bounds),
    /// A number; an integer is valid, too.
    Number(Bounds),
    /// A string.
    Text,
    /// One of these strings.
    Choice(Vec<String>),
    /// A list.
    List {
        /// The type of every element.
        items: Box<ValueType>,
        /// Smallest number of elements.
        min: usize,
        /// Largest number of elements.
        max: Option<usize>,
    },
    /// A value of one of these types.
    Either(Vec<ValueType>),
}

/// A part of a value that violates its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Indices of the element within lists, from the outermost; empty for the value itself.
    pub path: Vec<usize>,
    /// The requirement, e.g. `an integer` or `at least 1`.
    pub requirement: String,
}

impl ValueType {
    /// Reads a type out of the JSON schema of a key. `root` holds the definitions that it refers to.
    pub(crate) fn of(schema: &Value, root: &Value) -> Self {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = root.pointer(target.trim_start_matches('#')).cloned().unwrap_or(Value::Bool(true));
            return Self::of(&overlaid(target, schema), root);
        }
        if let Some(alternatives) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
            return Self::either(alternatives.iter().filter(|s| !is_null(s)).map(|s| Self::of(s, root)));
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(word) = schema.get("const").and_then(text) {
            return Self::Choice(vec![word]);
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return Self::Choice(words.iter().filter_map(text).collect());
        }
        match schema.get("type") {
            Some(Value::Array(names)) => {
                let typed = |name: &Value| overlaid(schema.clone(), &json!({ "type": name }));
                Self::either(names.iter().filter(|name| *name != "null").map(|name| Self::of(&typed(name), root)))
            }
            Some(Value::String(name)) => Self::named(name, schema, root),
            _ => Self::Any,
        }
    }

    fn named(name: &str, schema: &Value, root: &Value) -> Self {
        let count = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        match name {
            "boolean" => Self::Boolean,
            "integer" => Self::Integer(Bounds::of(schema)),
            "number" => Self::Number(Bounds::of(schema)),
            "string" => Self::Text,
            "array" => Self::List {
                items: Box::new(schema.get("items").map_or(Self::Any, |items| Self::of(items, root))),
                min: count("minItems").unwrap_or(0),
                max: count("maxItems"),
            },
            _ => Self::Any,
        }
    }

    /// Joins alternatives; all words among them become one choice.
    fn either(types: impl Iterator<Item = Self>) -> Self {
        let (mut words, mut others) = (Vec::new(), Vec::new());
        for one in types {
            match one {
                Self::Choice(more) => words.extend(more),
                other => others.push(other),
            }
        }
        if !words.is_empty() {
            others.insert(0, Self::Choice(words));
        }
        if others.len() == 1 { others.remove(0) } else { Self::Either(others) }
    }

    /// Converts a value to this type: an integer becomes a float where a number is expected, so that equal settings
    /// have equal values.
    ///
    /// # Errors
    /// Every part of the value that does not fit.
    pub fn check(&self, value: &Value) -> Result<Value, Vec<Mismatch>> {
        let mismatch = |requirement: String| Err(vec![Mismatch { path: Vec::new(), requirement }]);
        match (self, value) {
            (Self::Any, _) | (Self::Boolean, Value::Bool(_)) | (Self::Text, Value::String(_)) => Ok(value.clone()),
            (Self::Choice(words), Value::String(word)) if words.contains(word) => Ok(value.clone()),
            (Self::Integer(bounds), Value::Number(number)) if !number.is_f64() => match bounds.broken(number) {
                None => Ok(value.clone()),
                Some(range) => mismatch(range),
            },
            (Self::Number(bounds), Value::Number(number)) => match bounds.broken(number) {
                None => Ok(json!(number.as_f64())),
                Some(range) => mismatch(range),
            },
            (Self::List { items, min, max }, Value::Array(values))
                if values.len() >= *min && max.is_none_or(|max| values.len() <= max) =>
            {
                check_items(items, values)
            }
            (Self::Either(types), _) => {
                let fitting = types.iter().find_map(|one| one.check(value).ok());
                fitting.map_or_else(|| mismatch(self.describe()), Ok)
            }
            _ => mismatch(self.describe()),
        }
    }

    /// Names the type, to follow "must be": `an integer`, `a list of numbers`, `` `cosine` or `hinge` ``.
    pub fn describe(&self) -> String {
        match self {
            Self::Any => "a value".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer(_) => "an integer".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::Choice(words) => alternatives(words.iter().map(|word| format!("`{word}`")).collect()),
            Self::List { items, min, max } => format!("a list of {}", describe_items(items, *min, *max)),
            Self::Either(types) => alternatives(types.iter().flat_map(Self::named_alternatives).collect()),
        }
    }

    /// The type as one of several, range included.
    fn named_alternatives(&self) -> Vec<String> {
        match self {
            Self::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect(),
            Self::Integer(bounds) | Self::Number(bounds) => match bounds.describe() {
                Some(range) => vec![format!("{} of {range}", self.describe())],
                None => vec![self.describe()],
            },
            other => vec![other.describe()],
        }
    }

    /// The strings of the type's choices.
    pub fn words(&self) -> Vec<&str> {
        match self {
            Self::Choice(words) => words.iter().map(String::as_str).collect(),
            Self::Either(types) => types.iter().flat_map(Self::words).collect(),
            _ => Vec::new(),
        }
    }
}

fn check_items(items: &ValueType, values: &[Value]) -> Result<Value, Vec<Mismatch>> {
    let (mut checked, mut mismatches) = (Vec::new(), Vec::new());
    for (at, value) in values.iter().enumerate() {
        match items.check(value) {
            Ok(value) => checked.push(value),
            Err(inner) => mismatches.extend(inner.into_iter().map(|mut mismatch| {
                mismatch.path.insert(0, at);
                mismatch
            })),
        }
    }
    if mismatches.is_empty() { Ok(Value::Array(checked)) } else { Err(mismatches) }
}

/// The elements of a list: `integers`, `2 numbers`, `at least 3 strings`.
fn describe_items(items: &ValueType, min: usize, max: Option<usize>) -> String {
    let noun = match items {
        ValueType::Integer(_) => "integers",
        ValueType::Number(_) => "numbers",
        ValueType::Text | ValueType::Choice(_) => "strings",
        ValueType::List { .. } => "lists",
        _ => "values",
    };
    match (min, max) {
        (0, None) => noun.to_owned(),
        (min, Some(max)) if min == max => format!("{max} {noun}"),
        (0, Some(max)) => format!("at most {max} {noun}"),
        (min, Some(max)) => format!("{min} to {max} {noun}"),
        (min, None) => format!("at least {min} {noun}"),
    }
}

/// `a`, `a or b`, `a, b or c`.
fn alternatives(mut words: Vec<String>) -> String {
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|name| name == "null")
}

/// A schema overlaid with the keys of another, without its reference.
fn overlaid(mut schema: Value, above: &Value) -> Value {
    let empty = Map::new();
    let above = above.as_object().unwrap_or(&empty);
    if let Value::Object(schema) = &mut schema {
        schema.extend(above.iter().filter(|(key, _)| *key != "$ref").map(|(key, value)| (key.clone(), value.clone())));
    }
    schema
}
