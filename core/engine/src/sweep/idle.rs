//! Finds what an arm sets without effect: keys that change nothing beside the other settings, at no point of its grid.

use super::arm::Arm;
use super::diagnose::Mistake;
use super::experiment::Layers;
use super::grid::points;
use super::keys::Scope;
use super::layer::{Layer, Resolved, Section, Setting};

/// Reports the settings of arms that change nothing. Those of shared sections may be meant for other arms.
pub(crate) fn without_effect(scope: Scope<'_>, layers: &Layers, arms: &[Arm]) -> Vec<Mistake> {
    arms.iter().flat_map(|arm| of_arm(Scope { method: Some(&arm.method), ..scope }, layers, arm)).collect()
}

fn of_arm(scope: Scope<'_>, layers: &Layers, arm: &Arm) -> Vec<Mistake> {
    let points = points(&arm.axes);
    let set = arm.fixed.iter().chain(arm.axes.iter().filter_map(|axis| axis.first()));
    set.filter_map(|setting| Some((setting, setting.section?)))
        .filter(|(setting, section)| points.iter().all(|point| is_idle(scope, layers, arm, point, (setting, *section))))
        .map(|(setting, section)| mistake(scope, setting, section))
        .collect()
}

/// Whether the setting changes nothing at a point of the arm's grid: its key is idle there, and the runs are the same
/// without it. `finetune = false` is idle, and yet matters where the file's shared section says `true`.
fn is_idle(
    scope: Scope<'_>,
    layers: &Layers,
    arm: &Arm,
    point: &Layer,
    (setting, section): (&Setting, Section),
) -> bool {
    let Some(schema) = scope.schema(section) else { return false };
    let heeded = |fixed: &Layer, point: &Layer| {
        let mut table = Resolved::merge(scope, &layers.around(&[fixed, point])).table(section).clone();
        let idle = (schema.idle)(&table);
        idle.iter().for_each(|key| drop(table.shift_remove(*key)));
        (table, idle)
    };
    let without = |layer: &Layer| layer.iter().filter(|other| !other.same_key(setting)).cloned().collect::<Layer>();
    let (table, idle) = heeded(&arm.fixed, point);
    idle.contains(&setting.key.as_str()) && table == heeded(&without(&arm.fixed), &without(point)).0
}

fn mistake(scope: Scope<'_>, setting: &Setting, section: Section) -> Mistake {
    let message = format!("`{}` changes nothing beside the other settings of this arm", setting.name());
    let mistake = Mistake::new(&setting.place, message);
    match scope.schema(section).and_then(|schema| schema.docs.get(&setting.key)) {
        Some(doc) => mistake.help(format!("{}: {doc}", setting.key)),
        None => mistake,
    }
}
