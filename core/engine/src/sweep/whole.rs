//! Checks what only the whole experiment shows: missing keys, names that do not fit, ranges after the merge.

use super::arm::Arm;
use super::diagnose::{Mistake, Place, did_you_mean};
use super::experiment::Layers;
use super::faults::faults;
use super::grid::points;
use super::keys::Scope;
use super::layer::{Resolved, Section};
use super::tree::{Field, Kind, Node};
use crate::{Catalog, ProtocolDecl};

/// Finds a key of the top level in the uppermost of the trees that has it.
pub(crate) fn topmost<'t>(trees: &'t [Vec<Field>; 3], key: &str) -> Option<&'t Field> {
    trees.iter().flatten().rev().find(|field| field.key == key)
}

/// Reports what every experiment must say, and what only the file may say.
pub(crate) fn missing(trees: &[Vec<Field>; 3], catalog: &Catalog) -> Vec<Mistake> {
    let [file, env, set] = trees;
    let mut mistakes = Vec::new();
    if topmost(trees, "dataset").is_none() {
        let names: Vec<&str> = catalog.datasets.iter().map(|d| d.name.as_str()).collect();
        let mistake = Mistake::new(&Place::whole(0), "the experiment names no `dataset`");
        mistakes.push(mistake.help(format!("known: {}", names.join(", "))));
    }
    if file.iter().all(|f| f.key != "arm") {
        let mistake = Mistake::new(&Place::whole(0), "the experiment has no `[[arm]]`");
        mistakes.push(mistake.help("write one per method: `[[arm]]` and `method = …` below it"));
    }
    if topmost(trees, "bits").is_none() && arms_without_bits(file) {
        let mistake = Mistake::new(&Place::whole(0), "the experiment has no `bits`");
        mistakes.push(mistake.help("`bits = [16, 32]`: the code lengths to try"));
    }
    for field in env.iter().chain(set).filter(|f| f.key == "arm") {
        let mistake = Mistake::new(&field.place, "an `arm` cannot be set from outside of the file");
        mistakes.push(mistake.help("what all arms share can, e.g. `train.epochs`"));
    }
    mistakes
}

fn arms_without_bits(file: &[Field]) -> bool {
    let arms = file.iter().filter(|f| f.key == "arm").flat_map(|f| f.node.items());
    arms.into_iter().any(|arm| match &arm.kind {
        Kind::Table(fields) => fields.iter().all(|f| f.key != "bits"),
        _ => false,
    })
}

/// Finds the protocol among those of the data set.
pub(crate) fn protocol<'c>(
    trees: &[Vec<Field>; 3],
    scope: Scope<'c>,
    layers: &Layers,
) -> Result<&'c ProtocolDecl, Option<Mistake>> {
    let Some(field) = topmost(trees, "dataset") else { return Err(None) };
    let Some(dataset) = scope.dataset else { return Err(unknown_dataset(scope.catalog, &field.node)) };
    let place = topmost(trees, "protocol").map_or(&field.node.place, |field| &field.node.place);
    let name = Resolved::merge(scope, &layers.around(&[])).protocol;
    dataset.protocols.iter().find(|p| p.name == name).ok_or_else(|| {
        let known = dataset.protocols.iter().map(|p| p.name.as_str());
        let mistake = Mistake::new(place, format!("data set `{}` has no protocol `{name}`", dataset.name));
        Some(mistake.help(did_you_mean(&name, known)))
    })
}

/// Reports a data set that does not exist. What is no name at all was reported for its type.
fn unknown_dataset(catalog: &Catalog, node: &Node) -> Option<Mistake> {
    let value = node.value();
    let name = value.as_str()?;
    let known = catalog.datasets.iter().map(|d| d.name.as_str());
    Some(Mistake::new(&node.place, format!("there is no data set `{name}`")).help(did_you_mean(name, known)))
}

/// Judges every table that a run would get.
pub(crate) fn out_of_range(scope: Scope<'_>, layers: &Layers, arms: &[Arm]) -> Vec<Mistake> {
    let mut mistakes = faults(scope, &layers.around(&[]), &Section::SHARED, &Place::whole(0));
    for arm in arms {
        let scope = Scope { method: Some(&arm.method), ..scope };
        let sections = own_sections(arm);
        for point in points(&arm.axes) {
            mistakes.extend(faults(scope, &layers.around(&[&arm.fixed, &point]), &sections, &arm.place));
        }
    }
    mistakes
}

/// The sections that an arm may break: its hyperparameters, and what it overrides or varies.
fn own_sections(arm: &Arm) -> Vec<Section> {
    let varied = arm.axes.iter().flatten();
    let touched: Vec<_> = arm.fixed.iter().chain(varied).filter_map(|setting| setting.section).collect();
    let overridden = Section::VARIED.into_iter().filter(|section| touched.contains(section));
    std::iter::once(Section::Params).chain(overridden).collect()
}
