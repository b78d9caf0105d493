//! Values of two settings under the same seeds and for the same queries.

use std::collections::BTreeMap;

use hashlab_data::Task;
use hashlab_eval::Definition;

use crate::aggregate::Setting;
use crate::details::Details;
use crate::encodings::is_own;
use crate::sweep_report::ReportedRun;

/// The values of a metric under the same seeds, in the order of the first setting's. A method without randomness has one
/// value, which is compared with each seed's.
pub(crate) fn by_seed(first: &Setting<'_>, second: &Setting<'_>, task: Task, metric: &str) -> Vec<(f64, f64)> {
    let value = |run: &ReportedRun| {
        let value = run.finished()?.test.get(&task)?.metrics.get(metric).copied()?;
        value.is_finite().then_some(value)
    };
    pairs(first, second).filter_map(|(first, second)| Some((value(first)?, value(second)?))).collect()
}

/// The difference of average precision of every query, averaged over the seeds that both settings share; `None` where the
/// queries of a run are not known.
pub(crate) fn by_query(
    first: &Setting<'_>,
    second: &Setting<'_>,
    task: Task,
    details: &Details,
    definition: Definition,
) -> Option<Vec<f64>> {
    let of_seed = |(first, second): (&ReportedRun, &ReportedRun)| {
        let (first, second) = (precisions(first, task, details)?, precisions(second, task, details)?);
        let difference = |(&a, &b): (&f32, &f32)| entering(a, definition) - entering(b, definition);
        (first.len() == second.len()).then(|| first.iter().zip(second).map(difference).collect())
    };
    mean(pairs(first, second).filter(|(a, b)| a.finished().is_some() && b.finished().is_some()).map(of_seed))
}

/// The average precision of every query, averaged over the seeds of a setting; `None` where the queries of a run are not
/// known.
pub(crate) fn of_queries(
    setting: &Setting<'_>,
    task: Task,
    details: &Details,
    definition: Definition,
) -> Option<Vec<f64>> {
    let of_run = |run: &&ReportedRun| {
        let precisions = precisions(run, task, details)?;
        Some(precisions.iter().map(|&precision| entering(precision, definition)).collect())
    };
    mean(setting.runs.iter().filter(|run| run.finished().is_some()).map(of_run))
}

/// Runs under the same seed.
fn pairs<'r>(first: &Setting<'r>, second: &Setting<'r>) -> impl Iterator<Item = (&'r ReportedRun, &'r ReportedRun)> {
    let seeds: Vec<u64> = if first.seeded() { seeds(first) } else { seeds(second) };
    let (of_first, of_second) = (under_seed(first), under_seed(second));
    seeds.into_iter().filter_map(move |seed| Some((of_first(seed)?, of_second(seed)?)))
}

fn seeds(setting: &Setting<'_>) -> Vec<u64> {
    setting.runs.iter().map(|run| run.seed).collect()
}

/// Finds a setting's run under a seed; where nothing depends on the seed, its only one.
fn under_seed<'r>(setting: &Setting<'r>) -> impl Fn(u64) -> Option<&'r ReportedRun> + use<'r> {
    let first = setting.runs.first().copied().filter(|_| !setting.seeded());
    // The first run of a seed counts, so that it is inserted last.
    let by_seed: BTreeMap<u64, &ReportedRun> = setting.runs.iter().rev().map(|run| (run.seed, *run)).collect();
    move |seed| first.or_else(|| by_seed.get(&seed).copied())
}

fn precisions<'d>(run: &ReportedRun, task: Task, details: &'d Details) -> Option<&'d [f32]> {
    let queries = details.get(&run.run)?.queries.as_ref().filter(|_| is_own(run))?;
    Some(&queries.tasks.get(&task)?.average_precision)
}

/// The precision as it enters a mean: files keep 0 for a query that does not enter it, NaN.
fn entering(precision: f32, definition: Definition) -> f64 {
    if definition == Definition::HitQueries && precision == 0.0 { f64::NAN } else { f64::from(precision) }
}

/// The mean of equally long lists; `None` if there is none, one is missing or one is longer.
fn mean(lists: impl Iterator<Item = Option<Vec<f64>>>) -> Option<Vec<f64>> {
    let mut count = 0.0;
    let mut sums: Vec<f64> = Vec::new();
    for list in lists {
        let list = list?;
        if count == 0.0 {
            sums = vec![0.0; list.len()];
        }
        if list.len() != sums.len() {
            return None;
        }
        sums.iter_mut().zip(list).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    sums.iter_mut().for_each(|sum| *sum /= count);
    (count > 0.0).then_some(sums)
}
