//! `grid`: the keys an arm varies, and the points they span.

use super::arm::useless;
use super::diagnose::{Mistake, Place};
use super::layer::{Layer, Section, Setting};
use super::read::{Reader, list_rules};
use super::tree::{Field, Kind, Node};

/// More points than this are a slip of the pen; it also bounds what checking them costs.
const MAX_POINTS: usize = 10_000;

/// One key of a grid with its values in turn; never empty.
pub(crate) type Axis = Vec<Setting>;

/// A key of a grid as it is written.
struct Entry<'a> {
    section: Section,
    key: &'a str,
    place: &'a Place,
    node: &'a Node,
}

/// Lists the grid's points, the last axis fastest; one empty point where there is no axis.
pub(crate) fn points(axes: &[Axis]) -> Vec<Layer> {
    axes.iter().fold(vec![Layer::new()], |points, axis| {
        let extended = |point: &Layer| -> Vec<Layer> {
            axis.iter().map(|value| point.iter().chain([value]).cloned().collect()).collect()
        };
        points.iter().flat_map(extended).collect()
    })
}

/// Reads the axes of a grid, apart from what the arm has `fixed`.
pub(crate) fn grid(reader: &mut Reader<'_>, field: &Field, fixed: &[Setting]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for entry in reader.table(field).iter().flat_map(entries) {
        let Some(axis) = axis(reader, &entry) else { continue };
        let taken = |other: &Setting| axis.first().is_some_and(|first| first.same_key(other));
        if fixed.iter().any(taken) {
            let message = format!("`{}` is both fixed and varied in this arm", entry.key);
            reader.push(Mistake::new(entry.place, message).help("keep it in `grid` or outside of it"));
        } else if axes.iter().flatten().any(taken) {
            reader.push(Mistake::new(entry.place, format!("`{}` is varied twice in this grid", entry.key)));
        } else {
            axes.push(axis);
        }
    }
    let size = axes.iter().fold(1, |size: usize, axis| size.saturating_mul(axis.len()));
    if size > MAX_POINTS {
        let message = format!("the grid has {size} points, and at most {MAX_POINTS} are allowed");
        reader.push(Mistake::new(&field.place, message).help("vary fewer keys, or split the arm"));
        return Vec::new();
    }
    axes
}

/// Finds the section a grid's key means: `"train.epochs" = […]` and `train = { epochs = […] }` are the same.
fn entries(field: &Field) -> Vec<Entry<'_>> {
    let section_of = |name: &str| Section::VARIED.into_iter().find(|section| section.key() == name);
    if let (Some(section), Kind::Table(fields)) = (section_of(&field.key), &field.node.kind) {
        return fields.iter().map(|f| Entry { section, key: &f.key, place: &f.place, node: &f.node }).collect();
    }
    let dotted = field.key.split_once('.').and_then(|(name, key)| Some((section_of(name)?, key)));
    let (section, key) = dotted.unwrap_or((Section::Params, &field.key));
    vec![Entry { section, key, place: &field.place, node: &field.node }]
}

/// Checks one key of a grid and each of its values.
fn axis(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Axis> {
    let keys = reader.scope.keys(Some(entry.section));
    if let Some(mistake) = useless(reader, entry.section, entry.key, entry.place) {
        reader.push(mistake);
        return None;
    }
    if !keys.contain(entry.key) {
        let mistake = keys.unknown(entry.key, entry.place, &[]);
        reader.push(match entry.key.contains('.') {
            true => mistake.help("besides hyperparameters, a grid varies keys of `train.` and `backbone.`"),
            false => mistake,
        });
        return None;
    }
    if !matches!(entry.node.kind, Kind::List(_)) {
        let message = format!("`{}` in `grid` must be a list, got {}", entry.key, entry.node.describe());
        reader
            .push(Mistake::new(&entry.node.place, message).help("a grid lists the values to try; `params` fixes one"));
        return None;
    }
    let mut axis = Axis::new();
    let mut values = Vec::new();
    for item in entry.node.items() {
        match keys.check(entry.key, entry.place, item) {
            Ok(setting) => {
                values.push(setting.value.clone());
                axis.push(setting);
            }
            Err(mistake) => {
                values.push(item.value());
                reader.push(mistake);
            }
        }
    }
    reader.mistakes.extend(list_rules(entry.key, entry.node, &values));
    (!axis.is_empty()).then_some(axis)
}
