//! Reads `[[arm]]`: a method, what it fixes and what it varies.

use super::diagnose::{Mistake, Place, did_you_mean};
use super::grid::{Axis, grid};
use super::layer::{Layer, Section};
use super::read::Reader;
use super::tree::{Field, Kind, Node};
use crate::MethodDecl;

/// The key of `[backbone]` that only methods with augmented views know.
pub(crate) const VIEWS: &str = "views";

/// The keys of `[backbone]` that only methods trained by gradient steps know.
pub(crate) const STEPS: [&str; 2] = ["finetune", "cut"];

/// What may stand in an arm.
const ARM_KEYS: [&str; 7] = ["method", "label", "bits", "params", "train", "backbone", "grid"];

/// One `[[arm]]`, checked.
#[derive(Clone)]
pub(crate) struct Arm {
    pub(crate) method: MethodDecl,
    /// The row of its results in a table.
    pub(crate) label: String,
    /// Where the method is named; stands for the arm as a whole.
    pub(crate) place: Place,
    /// What the arm fixes.
    pub(crate) fixed: Layer,
    /// What its grid varies, in the order of declaration.
    pub(crate) axes: Vec<Axis>,
}

/// Reads the arms of a file. Those without a method that exists are left out.
pub(crate) fn arms(reader: &mut Reader<'_>, fields: &[Field]) -> Vec<Arm> {
    let Some(field) = fields.iter().find(|f| f.key == "arm") else { return Vec::new() };
    if !matches!(field.node.kind, Kind::List(_)) {
        let message = format!("`arm` must be a list of tables, got {}", field.node.describe());
        reader.push(Mistake::new(&field.place, message).help("write `[[arm]]`, once per method"));
        return Vec::new();
    }
    let arms: Vec<Arm> = field.node.items().iter().filter_map(|node| arm(reader, node)).collect();
    reader.scope.method = None;
    labels(reader, &arms);
    arms
}

fn arm(reader: &mut Reader<'_>, node: &Node) -> Option<Arm> {
    let Kind::Table(fields) = &node.kind else {
        reader.push(Mistake::new(&node.place, format!("an arm must be a table, got {}", node.describe())));
        return None;
    };
    let (method, place) = method(reader, node, fields)?;
    reader.scope.method = Some(method);
    let label = fields.iter().find(|f| f.key == "label").and_then(|f| text(reader, f));
    let mut arm = Arm {
        label: label.unwrap_or_else(|| method.title.clone()),
        method: method.clone(),
        place,
        fixed: Layer::new(),
        axes: Vec::new(),
    };
    for field in fields {
        arm.fixed.extend(fixed(reader, field));
    }
    if let Some(field) = fields.iter().find(|f| f.key == "grid") {
        arm.axes = grid(reader, field, &arm.fixed);
    }
    Some(arm)
}

/// Finds the arm's method in the catalog, and where the arm names it.
fn method<'a>(reader: &mut Reader<'a>, node: &Node, fields: &[Field]) -> Option<(&'a MethodDecl, Place)> {
    let catalog = reader.scope.catalog;
    let Some(field) = fields.iter().find(|f| f.key == "method") else {
        let names = catalog.methods.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
        reader.push(Mistake::new(&node.place, "an arm names no `method`").help(format!("known: {names}")));
        return None;
    };
    let name = text(reader, field)?;
    let found = catalog.methods.iter().find(|m| m.name == name);
    if found.is_none() {
        let known = catalog.methods.iter().map(|m| m.name.as_str());
        let mistake = Mistake::new(&field.node.place, format!("there is no method `{name}`"));
        reader.push(mistake.help(did_you_mean(&name, known)));
    }
    found.map(|method| (method, field.node.place.clone()))
}

/// Reads what one key of an arm fixes.
fn fixed(reader: &mut Reader<'_>, field: &Field) -> Layer {
    match field.key.as_str() {
        "method" | "label" | "grid" => Layer::new(),
        "bits" => {
            let keys = reader.scope.keys(None);
            reader.axis(&keys, field).into_iter().collect()
        }
        "params" => reader.section(Section::Params, field),
        "train" => overridden(reader, Section::Train, field),
        "backbone" => overridden(reader, Section::Backbone, field),
        key => {
            let mistake = reader.scope.arm_keys().unknown(key, &field.place, &ARM_KEYS);
            reader.push(mistake);
            Layer::new()
        }
    }
}

/// Reads an arm's own values for a shared section.
fn overridden(reader: &mut Reader<'_>, section: Section, field: &Field) -> Layer {
    let keys = reader.scope.keys(Some(section));
    let mut layer = Layer::new();
    for field in reader.table(field) {
        match useless(reader, section, &field.key, &field.place) {
            Some(mistake) => reader.push(mistake),
            None => layer.extend(reader.setting(&keys, field)),
        }
    }
    layer
}

/// Reports a setting that the arm's method could not heed. In a shared section it is meant for the other arms.
pub(crate) fn useless(reader: &Reader<'_>, section: Section, key: &str, at: &Place) -> Option<Mistake> {
    let method = reader.scope.method?;
    let reason = match section {
        Section::Train if !method.gradient => "is not trained by gradient steps",
        Section::Backbone if STEPS.contains(&key) && !method.gradient => "is not trained by gradient steps",
        Section::Backbone if key == VIEWS && !method.augmented => "learns from no augmented views",
        _ => return None,
    };
    let message = format!("method `{}` {reason}, so `{}.{key}` does not apply to it", method.name, section.key());
    Some(Mistake::new(at, message).help("leave it out of this arm"))
}

fn text(reader: &mut Reader<'_>, field: &Field) -> Option<String> {
    let value = field.node.value();
    if let Some(text) = value.as_str().filter(|t| !t.trim().is_empty()) {
        return Some(text.to_owned());
    }
    let message = format!("`{}` must be a string with something in it, got {}", field.key, field.node.describe());
    reader.push(Mistake::new(&field.node.place, message));
    None
}

/// One row holds one method: two arms of one method may compete in it, two methods may not.
fn labels(reader: &mut Reader<'_>, arms: &[Arm]) {
    for (at, arm) in arms.iter().enumerate() {
        let other = arms[..at].iter().find(|a| a.label == arm.label && a.method.name != arm.method.name);
        if let Some(other) = other {
            let message = format!("the row `{}` already belongs to method `{}`", arm.label, other.method.name);
            reader.push(Mistake::new(&arm.place, message).help("give this arm another `label`"));
        }
    }
}
