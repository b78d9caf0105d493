//! `grid`: the keys that a method varies, and the points that they span.
//!
//! [`grid`] reads and checks the axes; [`points`] alone decides which combinations of them run.

use serde_json::Value;

use crate::applicability;
use crate::diagnostic::{Diagnostic, Span};
use crate::known_keys::unknown;
use crate::layers::{Assignment, Layer, Origin};
use crate::reader::Reader;
use crate::section::Section;
use crate::toml_tree::{Field, Node, NodeKind};
use crate::typed_value::check_list;

/// Largest number of points; more are a mistake, and would take long to check.
const MAX_POINTS: usize = 10_000;

/// One key of a grid with its values in turn; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) section: Section,
    pub(crate) key: String,
    pub(crate) values: Vec<Assignment>,
}

/// A key of a grid as written.
struct GridKey<'a> {
    section: Section,
    key: &'a str,
    span: &'a Span,
    node: &'a Node,
}

/// Lists the grid's points, the last axis fastest; one empty point if there is no axis.
pub(crate) fn points(axes: &[Axis]) -> Vec<Layer> {
    let points = axes.iter().fold(vec![Vec::new()], |points: Vec<Vec<Assignment>>, axis| {
        let extended = |point: &Vec<Assignment>| -> Vec<Vec<Assignment>> {
            axis.values.iter().map(|value| point.iter().chain([value]).cloned().collect()).collect()
        };
        points.iter().flat_map(extended).collect()
    });
    points.into_iter().map(|assignments| Layer { assignments, ..Layer::new(Origin::GridPoint) }).collect()
}

/// Reads the axes of a grid. Rejected keys are recorded in `fixed`, the fixed settings of the method's table.
pub(crate) fn grid(reader: &mut Reader<'_>, field: &Field, fixed: &mut Layer) -> Vec<Axis> {
    let keys: Vec<GridKey<'_>> = reader.table(field).iter().flat_map(grid_keys).collect();
    if keys.is_empty() && matches!(field.node.kind, NodeKind::Table(_)) {
        let diagnostic = Diagnostic::new(&field.span, "`grid` is empty, so it varies nothing");
        reader.push(
            diagnostic
                .help("list the values of a key, e.g. `grid = { \"train.epochs\" = [50, 100] }`, or leave it out"),
        );
    }
    let mut axes: Vec<Axis> = Vec::new();
    for key in keys {
        let Some(axis) = axis(reader, &key) else {
            fixed.rejected.push((key.section, key.key.to_owned()));
            continue;
        };
        if fixed.find(axis.section, &axis.key).is_some() {
            let message = format!("`{}` is both fixed and varied in this method", axis.section.path(&axis.key));
            reader.push(Diagnostic::new(key.span, message).help("keep it in `grid` or outside of it"));
        } else if axes.iter().any(|other| other.section == axis.section && other.key == axis.key) {
            let message = format!("`{}` is varied twice in this grid", axis.section.path(&axis.key));
            reader.push(Diagnostic::new(key.span, message));
        } else {
            axes.push(axis);
        }
    }
    let size = axes.iter().fold(1, |size: usize, axis| size.saturating_mul(axis.values.len()));
    if size > MAX_POINTS {
        let message = format!("the grid has {size} points, and at most {MAX_POINTS} are allowed");
        reader.push(Diagnostic::new(&field.span, message).help("vary fewer keys, or split the method into several"));
        return Vec::new();
    }
    axes
}

/// Finds the section of a grid's key: `"train.epochs" = […]` and `train = { epochs = […] }` are the same.
fn grid_keys(field: &Field) -> Vec<GridKey<'_>> {
    let section_of = |name: &str| Section::varied().into_iter().find(|section| section.key() == name);
    if let (Some(section), NodeKind::Table(fields)) = (section_of(&field.key), &field.node.kind) {
        return fields.iter().map(|f| GridKey { section, key: &f.key, span: &f.span, node: &f.node }).collect();
    }
    let dotted = field.key.split_once('.').and_then(|(name, key)| Some((section_of(name)?, key)));
    let (section, key) = dotted.unwrap_or((Section::Params, &field.key));
    vec![GridKey { section, key, span: &field.span, node: &field.node }]
}

/// Checks one key of a grid and each of its values.
fn axis(reader: &mut Reader<'_>, key: &GridKey<'_>) -> Option<Axis> {
    let (section, scope) = (key.section, reader.scope);
    if let Some(diagnostic) = applicability::check(scope, section, key.key, key.span) {
        reader.push(diagnostic);
        return None;
    }
    if scope.schema(section).and_then(|schema| schema.value_type(key.key)).is_none() {
        reader.push(unknown_axis(reader, key));
        return None;
    }
    let NodeKind::List(items) = &key.node.kind else {
        let message = format!("`{}` in `grid` must be a list, got {}", key.key, key.node.describe());
        let diagnostic = Diagnostic::new(&key.node.span, message);
        reader.push(diagnostic.help("a grid lists the values to try; one value is fixed outside of it"));
        return None;
    };
    let (mut values, mut compared): (Vec<Assignment>, Vec<Value>) = (Vec::new(), Vec::new());
    for item in items {
        let checked = reader.value(section, key.key, key.span, item);
        compared.push(checked.as_ref().map_or_else(|| item.value(), |assignment| assignment.value.clone()));
        values.extend(checked);
    }
    reader.diagnostics.extend(check_list(key.key, key.node, &compared));
    (!values.is_empty()).then(|| Axis { section, key: key.key.to_owned(), values })
}

fn unknown_axis(reader: &Reader<'_>, key: &GridKey<'_>) -> Diagnostic {
    let diagnostic = unknown(reader.scope, key.section, key.key, key.span);
    if key.section == Section::Params && key.key.contains('.') {
        let tables: Vec<String> = Section::varied().iter().map(|section| format!("`{}.`", section.key())).collect();
        return diagnostic.help(format!("besides hyperparameters, a grid varies keys of {}", tables.join(", ")));
    }
    diagnostic
}
