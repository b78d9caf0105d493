//! `grid` and `zip`: the keys that a method varies, each on its own or several together.

use serde_json::Value;

use crate::applicability;
use crate::diagnostic::{Diagnostic, Span};
use crate::known_keys::unknown;
use crate::layers::{Assignment, Layer};
use crate::parzen::TpeAxis;
use crate::range::{Range, range};
use crate::reader::Reader;
use crate::section::Section;
use crate::toml_tree::{Field, Node, NodeKind};
use crate::typed_value::check_list;

/// The keys of a method's `[[method]]` that this module reads.
pub(crate) const GRID: &str = "grid";
pub(crate) const ZIP: &str = "zip";

/// Keys that move together, at least one; of a `grid`, each key is an axis of its own.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) keys: Vec<Varied>,
    /// Its number among the axes of the file, which an override of others does not change.
    pub(crate) number: usize,
}

/// One key of an axis with its values.
#[derive(Clone, Debug)]
pub(crate) struct Varied {
    pub(crate) section: Section,
    pub(crate) key: String,
    pub(crate) domain: Domain,
}

/// The values of a key.
#[derive(Clone, Debug)]
pub(crate) enum Domain {
    /// Values in turn. Lists of one axis are equally long, and never empty.
    List(Vec<Assignment>),
    /// All numbers of a range. Its axis has no other key.
    Range(Box<Range>),
}

impl Axis {
    /// An axis of one key.
    fn single(key: Varied) -> Self {
        Self { keys: vec![key], number: 0 }
    }

    /// The number of steps; a range counts as its lower end.
    pub(crate) fn len(&self) -> usize {
        self.keys.first().map_or(0, |key| key.list().len())
    }

    /// The assignments at a step.
    pub(crate) fn at_step(&self, step: usize) -> impl Iterator<Item = Assignment> {
        self.keys.iter().map(move |key| key.list()[step].clone())
    }

    /// The axis as a search by TPE sees it.
    pub(crate) fn for_tpe(&self) -> TpeAxis {
        match self.keys.as_slice() {
            [Varied { domain: Domain::Range(_), .. }] => TpeAxis::Numbers,
            _ => TpeAxis::Choices(self.len()),
        }
    }

    /// The assignments at a number in `[0, 1)`, of which equal parts belong to equal parts of the values.
    pub(crate) fn at_fraction(&self, fraction: f64) -> Vec<Assignment> {
        match self.keys.as_slice() {
            [Varied { domain: Domain::Range(range), .. }] => vec![range.at(fraction)],
            _ => self.at_step((fraction * self.len() as f64) as usize).collect(),
        }
    }
}

impl Varied {
    /// The key as a grid writes it.
    pub(crate) fn path(&self) -> String {
        self.section.path(&self.key)
    }

    /// Its values; of a range, the lower end.
    pub(crate) fn list(&self) -> &[Assignment] {
        match &self.domain {
            Domain::List(values) => values,
            Domain::Range(range) => std::slice::from_ref(&range.low),
        }
    }

    /// Its values as a file writes them.
    pub(crate) fn value(&self) -> Value {
        match &self.domain {
            Domain::List(values) => values.iter().map(|assignment| assignment.value.clone()).collect(),
            Domain::Range(range) => range.value(),
        }
    }
}

/// A key of a grid as written.
pub(crate) struct GridKey<'a> {
    pub(crate) section: Section,
    pub(crate) key: &'a str,
    pub(crate) span: &'a Span,
    pub(crate) node: &'a Node,
}

/// Reads the axes of a method: those of `grid`, then those of `zip`. Rejected keys are recorded in `fixed`, the fixed
/// settings of the method's table.
pub(crate) fn axes(reader: &mut Reader<'_>, fields: &[Field], fixed: &mut Layer) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for field in fields.iter().filter(|field| field.key == GRID) {
        for key in table_keys(reader, field, "list the values of a key, e.g. `grid = { \"train.epochs\" = [50, 100] }`")
        {
            axes.extend(varied(reader, &key, &axes, fixed, true).map(Axis::single));
        }
    }
    for field in fields.iter().filter(|field| field.key == ZIP) {
        for group in field.node.items() {
            let group = Field { key: ZIP.to_owned(), span: field.span.clone(), node: group.clone() };
            axes.extend(zipped(reader, &group, &axes, fixed));
        }
    }
    axes.iter_mut().enumerate().for_each(|(number, axis)| axis.number = number);
    axes
}

/// The keys of a table of lists, which must have some.
fn table_keys<'f>(reader: &mut Reader<'_>, field: &'f Field, example: &str) -> Vec<GridKey<'f>> {
    let keys: Vec<GridKey<'_>> = reader.table(field).iter().flat_map(grid_keys).collect();
    if keys.is_empty() && matches!(field.node.kind, NodeKind::Table(_)) {
        let diagnostic = Diagnostic::new(&field.span, format!("`{}` is empty, so it varies nothing", field.key));
        reader.push(diagnostic.help(format!("{example}, or leave it out")));
    }
    keys
}

/// Reads a table of keys that move together.
fn zipped(reader: &mut Reader<'_>, field: &Field, others: &[Axis], fixed: &mut Layer) -> Option<Axis> {
    const EXAMPLE: &str =
        "list the values of several keys, e.g. `zip = { tau = [0.2, 0.3], \"train.epochs\" = [50, 100] }`";
    let keys = table_keys(reader, field, EXAMPLE);
    let lengths: Vec<usize> = keys.iter().map(|key| key.node.items().len()).collect();
    let known = reader.diagnostics.len();
    let mut read: Vec<Axis> = Vec::new();
    for key in &keys {
        let before: Vec<Axis> = others.iter().chain(&read).cloned().collect();
        read.extend(varied(reader, key, &before, fixed, false).map(Axis::single));
    }
    let sound = reader.diagnostics.len() == known;
    let axis = Axis { keys: read.into_iter().flat_map(|axis| axis.keys).collect(), number: 0 };
    if let [only] = keys.as_slice() {
        let message =
            format!("`zip` holds `{}` alone, and there is no key to move with it", only.section.path(only.key));
        reader.push(Diagnostic::new(only.span, message).help("add the key that moves with it, or write it in `grid`"));
        return None;
    }
    let unequal = lengths.iter().position(|length| *length != lengths[0]);
    if let Some(at) = unequal.filter(|_| sound) {
        let name = |at: usize| keys[at].section.path(keys[at].key);
        let message = format!(
            "`zip` moves `{}` with {} and `{}` with {} values together",
            name(0),
            lengths[0],
            name(at),
            lengths[at]
        );
        reader.push(Diagnostic::new(&keys[at].node.span, message).help("give all lists of a `zip` the same length"));
        return None;
    }
    if !sound || axis.keys.is_empty() {
        return None;
    }
    let step = |at: usize| axis.keys.iter().map(|key| &key.list()[at].value).collect::<Vec<_>>();
    if let Some(at) = (1..axis.len()).find(|at| (0..*at).any(|before| step(before) == step(*at))) {
        let values = step(at).into_iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("`zip` holds the values {values} more than once");
        reader.push(Diagnostic::new(&axis.keys[0].list()[at].span, message));
        return None;
    }
    Some(axis)
}

/// Reads one key that is varied, unless it is fixed or varied elsewhere in the method.
fn varied(
    reader: &mut Reader<'_>,
    key: &GridKey<'_>,
    others: &[Axis],
    fixed: &mut Layer,
    unique: bool,
) -> Option<Varied> {
    let Some(varied) = values(reader, key, unique) else {
        fixed.rejected.push((key.section, key.key.to_owned()));
        return None;
    };
    let same = |other: &Varied| other.section == varied.section && other.key == varied.key;
    if fixed.find(varied.section, &varied.key).is_some() {
        let message = format!("`{}` is both fixed and varied in this method", varied.path());
        reader.push(Diagnostic::new(key.span, message).help("keep it in `grid` or outside of it"));
        return None;
    }
    if others.iter().flat_map(|axis| &axis.keys).any(same) {
        reader.push(Diagnostic::new(key.span, format!("`{}` is varied twice in this grid", varied.path())));
        return None;
    }
    Some(varied)
}

/// Finds the section of a grid's key: `"train.epochs" = […]` and `train = { epochs = […] }` are the same.
pub(crate) fn grid_keys(field: &Field) -> Vec<GridKey<'_>> {
    let section_of = |name: &str| Section::varied().into_iter().find(|section| section.key() == name);
    if let (Some(section), NodeKind::Table(fields)) = (section_of(&field.key), &field.node.kind) {
        return fields.iter().map(|f| GridKey { section, key: &f.key, span: &f.span, node: &f.node }).collect();
    }
    let dotted = field.key.split_once('.').and_then(|(name, key)| Some((section_of(name)?, key)));
    let (section, key) = dotted.unwrap_or((Section::Params, &field.key));
    vec![GridKey { section, key, span: &field.span, node: &field.node }]
}

/// Checks one key of a grid and each of its values, or its range. In a `zip`, a value may come more than once, and
/// there are no ranges.
fn values(reader: &mut Reader<'_>, key: &GridKey<'_>, unique: bool) -> Option<Varied> {
    let (section, scope) = (key.section, reader.scope);
    if let Some(diagnostic) = applicability::check(scope, section, key.key, key.span) {
        reader.push(diagnostic);
        return None;
    }
    if scope.schema(section).and_then(|schema| schema.value_type(key.key)).is_none() {
        reader.push(unknown_axis(reader, key));
        return None;
    }
    let varied = |domain: Domain| Varied { section, key: key.key.to_owned(), domain };
    let items = match &key.node.kind {
        NodeKind::List(items) => items,
        NodeKind::Table(fields) if unique => {
            return range(reader, key, fields).map(|range| varied(Domain::Range(Box::new(range))));
        }
        _ => {
            let (table, what) = if unique { (GRID, "a list or a range") } else { (ZIP, "a list") };
            let message = format!("`{}` in `{table}` must be {what}, got {}", key.key, key.node.describe());
            let diagnostic = Diagnostic::new(&key.node.span, message);
            reader.push(diagnostic.help("it holds the values to try; one value is fixed outside of it"));
            return None;
        }
    };
    let (mut values, mut compared): (Vec<Assignment>, Vec<Value>) = (Vec::new(), Vec::new());
    for item in items {
        let checked = reader.value(section, key.key, key.span, item);
        compared.push(checked.as_ref().map_or_else(|| item.value(), |assignment| assignment.value.clone()));
        values.extend(checked);
    }
    if unique || compared.is_empty() {
        reader.diagnostics.extend(check_list(key.key, key.node, &compared));
    }
    (!values.is_empty()).then(|| varied(Domain::List(values)))
}

fn unknown_axis(reader: &Reader<'_>, key: &GridKey<'_>) -> Diagnostic {
    let diagnostic = unknown(reader.scope, key.section, key.key, key.span);
    if key.section == Section::Params && key.key.contains('.') {
        let tables: Vec<String> = Section::varied().iter().map(|section| format!("`{}.`", section.key())).collect();
        return diagnostic.help(format!("besides hyperparameters, a grid varies keys of {}", tables.join(", ")));
    }
    diagnostic
}
