//! Settings of a method without effect: keys that are inactive at every point of its grid.

use crate::active::{Tables, active, applicable};
use crate::diagnostic::Diagnostic;
use crate::layers::{Assignment, Base, Layer, Layers};
use crate::method_table::MethodTable;
use crate::scope::Scope;

/// Reports the settings of a method that have no effect. Those of shared sections may be meant for other methods.
pub(crate) fn without_effect(scope: Scope<'_>, layers: &Layers, table: &MethodTable) -> Vec<Diagnostic> {
    let at = |base: &Base<'_>, point: &Layer| -> Tables {
        let merged = base.merged(&layers.above(point));
        active(&merged, &applicable(&merged, &table.modalities))
    };
    let base = Base::new(scope, layers.below(&table.fixed));
    let points = table.points();
    if points.is_empty() {
        return Vec::new(); // which is reported on its own
    }
    let own = table.fixed.assignments.iter().chain(table.grid.firsts());
    let mut suspects: Vec<&Assignment> = own.collect();
    for point in &points {
        let tables = at(&base, point);
        let inactive = |one: &&Assignment| tables.get(&one.section).is_some_and(|table| !table.contains_key(&one.key));
        suspects.retain(inactive);
        if suspects.is_empty() {
            return Vec::new(); // at the first point, as a rule
        }
    }
    // `finetune = false` is inactive, but has an effect if the file's shared section has `true`.
    let inactive = |assignment: &&Assignment| {
        let without = |layer: &Layer| {
            let mut layer = layer.clone();
            layer.assignments.retain(|other| !other.same_key(assignment));
            layer
        };
        let fixed = without(&table.fixed);
        let fewer = Base::new(scope, layers.below(&fixed));
        points.iter().all(|point| at(&fewer, &without(point)) == at(&base, point))
    };
    suspects.into_iter().filter(inactive).map(|assignment| diagnostic(scope, assignment)).collect()
}

fn diagnostic(scope: Scope<'_>, assignment: &Assignment) -> Diagnostic {
    let message = format!("`{}` changes nothing beside the other settings of this method", assignment.path());
    let diagnostic = Diagnostic::new(&assignment.span, message);
    let doc = scope.schema(assignment.section).and_then(|schema| schema.docs.get(&assignment.key));
    match doc.filter(|doc| !doc.is_empty()) {
        Some(doc) => diagnostic.help(format!("{}: {doc}", assignment.key)),
        None => diagnostic,
    }
}
