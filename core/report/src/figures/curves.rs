//! Curves averaged over a setting's seeds: of the results, of the journals, of the codes.

use hashlab_data::Task;
use hashlab_store::RunResult;

use crate::aggregate::{Setting, Value};
use crate::details::{Details, RunDetails};
use crate::encodings::is_own;
use crate::figure::Point;

/// Key of the primary metric on the validation queries in a journal.
pub(crate) const VALIDATION: &str = "validation_map";

/// A setting's metric as a point over its code length.
pub(crate) fn at_bits(setting: &Setting<'_>, value: Value) -> Option<Point> {
    let Value::Measured(s) = value else { return None };
    Some(Point { x: setting.bits as f64, y: s.mean, spread: s.std.unwrap_or(0.0), n: s.n })
}

/// A setting's curve: y over x, where `x` and `y` take both from a result. Means over the seeds that finished, position
/// by position; the band is the deviation of y.
pub(crate) fn of_results(
    setting: &Setting<'_>,
    task: Task,
    x: impl Fn(&RunResult, Task) -> Option<Vec<f64>>,
    y: impl Fn(&RunResult, Task) -> Option<Vec<f64>>,
) -> Vec<Point> {
    let curves: Vec<(Vec<f64>, Vec<f64>)> = setting
        .finished()
        .filter_map(|r| Some((x(r, task)?, y(r, task)?)))
        .filter(|(x, y)| x.len() == y.len())
        .collect();
    let length = curves.iter().map(|(x, _)| x.len()).max().unwrap_or(0);
    // A place without a value, such as a radius within which no query finds anything, has no say.
    let at = |i: usize| -> Option<Point> {
        let here = curves.iter().filter_map(|(x, y)| Some((*x.get(i)?, *y.get(i)?))).filter(|(_, y)| y.is_finite());
        let (xs, ys): (Vec<f64>, Vec<f64>) = here.unzip();
        Some(Point { x: mean(&xs)?, ..point(0.0, &ys, setting.seeded())? })
    };
    (0..length).filter_map(at).collect()
}

/// What a setting's journals hold under a name, by epoch.
pub(crate) fn of_journals(setting: &Setting<'_>, details: &Details, name: &str) -> Vec<Point> {
    let mut epochs = std::collections::BTreeMap::<u64, Vec<f64>>::new();
    for run in &setting.runs {
        let journal = details.get(&run.run).map_or(&[][..], |d| &d.journal);
        for (step, value) in journal.iter().filter_map(|p| Some((p.step, (*p.values.get(name)?)?))) {
            epochs.entry(step).or_default().push(value);
        }
    }
    epochs.into_iter().filter_map(|(epoch, values)| point(epoch as f64, &values, setting.seeded())).collect()
}

/// A curve that a run's details hold, averaged over a setting's seeds.
pub(crate) fn of_details(
    setting: &Setting<'_>,
    details: &Details,
    curve: impl Fn(&RunDetails) -> Option<Vec<(f64, f64)>>,
) -> Vec<Point> {
    let own = setting.runs.iter().filter(|run| is_own(run));
    let curves: Vec<Vec<(f64, f64)>> = own.filter_map(|run| curve(details.get(&run.run)?)).collect();
    let length = curves.iter().map(Vec::len).max().unwrap_or(0);
    let at = |i: usize| {
        let here: Vec<(f64, f64)> = curves.iter().filter_map(|c| c.get(i).copied()).collect();
        point(here.first()?.0, &here.iter().map(|(_, y)| *y).collect::<Vec<_>>(), setting.seeded())
    };
    (0..length).filter_map(at).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Mean and sample deviation; no deviation where nothing depends on the seed.
fn point(x: f64, values: &[f64], seeded: bool) -> Option<Point> {
    let (y, n) = (mean(values)?, values.len());
    let squares: f64 = values.iter().map(|v| (v - y).powi(2)).sum();
    let spread = if n > 1 && seeded { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
    Some(Point { x, y, spread, n })
}
