//! Expansion of a search whose later trials follow from the results of earlier ones.

use hashlab_store::RunId;

use crate::applicability;
use crate::constraints::violations;
use crate::expand::Expansion;
use crate::experiment::Experiment;
use crate::layers::{Layer, Merged};
use crate::method_table::MethodTable;
use crate::parzen::{STARTUP, Tpe};
use crate::plan::{Plan, PlanError};

/// A plan, as far as it is known.
pub struct Planned {
    /// The runs.
    pub plan: Plan,
    /// Trials that follow from the results of the plan's runs.
    pub further: usize,
}

/// The validation mAP of a run with a result; `None` in it if the run has none, as it diverged.
pub type Observe<'o> = &'o dyn Fn(&RunId) -> Option<Option<f64>>;

/// Adds the trials of a method to an expansion: generation after generation, as long as all runs of the one before have
/// results. Returns how many trials are left.
pub(crate) fn expand<'a>(
    expansion: &mut Expansion<'a, '_>,
    index: usize,
    table: &'a MethodTable,
    observe: Observe<'_>,
) -> Result<usize, PlanError> {
    let search = table.grid.search;
    let trials = if table.grid.axes.is_empty() { 1 } else { search.trials };
    let mut tpe = Tpe::new(table.grid.tpe_axes(), search.seed);
    let base = expansion.experiment.base(table);
    let mut first = 0;
    while first < trials {
        let count = if first == 0 { STARTUP } else { search.generation }.min(trials - first);
        let mut told = Vec::new();
        let mut open = false;
        for numbers in tpe.propose(first, count) {
            let point = table.grid.point_at(&numbers);
            let applies = table.grid.applying_axes(&point);
            let numbers: Vec<Option<f64>> =
                numbers.into_iter().zip(applies).map(|(number, applies)| applies.then_some(number)).collect();
            let value = match is_allowed(expansion.experiment, table, &point) {
                true => mean(&expansion.add((index, table), &base, &point)?.ids(), observe),
                false => Some(None), // as bad as a training that diverges
            };
            match value {
                Some(value) => told.push((numbers, value)),
                None => open = true,
            }
        }
        first += count;
        if open {
            break;
        }
        told.into_iter().for_each(|(numbers, value)| tpe.tell(numbers, value));
    }
    Ok(trials - first)
}

/// Whether no `exclude` names a point, and its values fit together.
fn is_allowed(experiment: &Experiment, table: &MethodTable, point: &Layer) -> bool {
    let scope = experiment.scope(Some(table));
    let merged = Merged::new(scope, experiment.layers.around(&[&table.fixed, point]));
    let sections = scope.method.map(|method| applicability::sections(method, &table.modalities)).unwrap_or_default();
    !table.grid.leaves_out(point) && violations(&merged, &sections, &table.span).is_empty()
}

/// The mean over a trial's runs; `None` while one of them has no result.
fn mean(runs: &[RunId], observe: Observe<'_>) -> Option<Option<f64>> {
    let values: Vec<Option<f64>> = runs.iter().map(observe).collect::<Option<_>>()?;
    let values: Option<Vec<f64>> = values.into_iter().collect();
    Some(values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64))
}
