//! From runs to cells: groups runs by method, bits and trial, averages over seeds and selects on validation.

use std::collections::{BTreeMap, BTreeSet};

use super::metric::HEADLINE;
use super::{Entry, Outcome, SweepReport};
use crate::{RunResult, Settings};

/// Where a run's provenance notes its peak of resident memory, in MiB.
const PEAK_MEMORY: &str = "peak_rss_mb";

/// Method × bits.
pub(super) struct Comparison<'a> {
    /// Code lengths, ascending.
    pub(super) bits: Vec<usize>,
    /// Rows in plan order.
    pub(super) rows: Vec<Row<'a>>,
}

/// A method's cells.
pub(super) struct Row<'a> {
    /// The method, as the plan labels it.
    pub(super) label: &'a str,
    /// One cell per column; none where the plan has no such run.
    pub(super) cells: Vec<Option<Cell<'a>>>,
}

/// A method at one code length.
pub(super) struct Cell<'a> {
    /// Its trials in plan order; at least one.
    pub(super) trials: Vec<Trial<'a>>,
    /// Index of the trial that the cell shows.
    pub(super) selected: usize,
}

/// A grid point at one code length: one run per seed.
pub(super) struct Trial<'a> {
    /// Identity of the trial.
    pub(super) id: &'a str,
    /// Its values of what the grid varies.
    pub(super) point: &'a Settings,
    /// Code length in bits.
    pub(super) bits: usize,
    /// Its runs in plan order; at least one.
    pub(super) runs: Vec<&'a Entry>,
}

/// A metric over a trial's seeds. Only [`Value::Measured`] holds a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// Some seeds finished.
    Measured(Statistic),
    /// None finished, and one at least failed.
    Failed,
    /// None finished or failed, and one at least diverged.
    Diverged,
    /// Nothing is known yet.
    Missing,
}

/// Mean and deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistic {
    /// Mean over `n` seeds.
    pub(super) mean: f64,
    /// Sample deviation (divisor `n − 1`); none for a single seed.
    pub(super) std: Option<f64>,
    /// Seeds that entered the mean.
    pub(super) n: usize,
    /// Seeds planned.
    pub(super) planned: usize,
}

impl<'a> Comparison<'a> {
    /// Groups a sweep's entries, whatever their order.
    pub(super) fn of(report: &'a SweepReport) -> Self {
        let entries = in_plan_order(&report.entries);
        let bits: Vec<usize> = entries.iter().map(|e| e.bits).collect::<BTreeSet<_>>().into_iter().collect();
        let rows = group(&entries, |e| e.label.as_str())
            .into_iter()
            .map(|(label, runs)| Row { label, cells: bits.iter().map(|&b| Cell::of(&runs, b)).collect() })
            .collect();
        Self { bits, rows }
    }

    /// The cells with their row's label, row by row.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&'a str, &Cell<'a>)> {
        self.rows.iter().flat_map(|row| row.cells.iter().flatten().map(|cell| (row.label, cell)))
    }

    /// Seeds per trial where all trials plan as many.
    pub(super) fn seeds_per_trial(&self) -> Option<usize> {
        let counts: BTreeSet<usize> =
            self.cells().flat_map(|(_, cell)| cell.trials.iter().map(|t| t.runs.len())).collect();
        if counts.len() == 1 { counts.first().copied() } else { None }
    }
}

impl<'a> Cell<'a> {
    fn of(row: &[&'a Entry], bits: usize) -> Option<Self> {
        let runs: Vec<&Entry> = row.iter().copied().filter(|e| e.bits == bits).collect();
        let trials: Vec<Trial> = group(&runs, |e| e.trial.as_str())
            .into_iter()
            .map(|(id, runs)| Trial { id, point: &runs[0].point, bits, runs })
            .collect();
        (!trials.is_empty()).then(|| Self { selected: select(&trials), trials })
    }

    /// A metric of the trial that the cell shows; without one, what became of the runs of all its trials.
    pub(super) fn value(&self, metric: &str) -> Value {
        match self.shown().value(metric) {
            measured @ Value::Measured(_) => measured,
            _ => unmeasured(self.trials.iter().flat_map(|t| &t.runs).copied()),
        }
    }

    /// The trial that the cell shows.
    pub(super) fn shown(&self) -> &Trial<'a> {
        &self.trials[self.selected]
    }

    /// Whether the choice among several trials had to do without validation.
    pub(super) fn selected_blindly(&self) -> bool {
        let measured = self.trials.iter().any(Trial::any_finished);
        self.trials.len() > 1 && measured && self.trials.iter().all(|t| t.validation().is_none())
    }
}

impl<'a> Trial<'a> {
    /// Results of the seeds that finished, in plan order.
    pub(super) fn finished(&self) -> impl Iterator<Item = &'a RunResult> {
        self.runs.iter().filter_map(|e| match &e.outcome {
            Outcome::Finished(result) => Some(result),
            _ => None,
        })
    }

    /// Averages a metric of the protocol's queries.
    pub(super) fn value(&self, metric: &str) -> Value {
        let found = self.statistic(|r| &r.test, metric);
        found.map_or_else(|| unmeasured(self.runs.iter().copied()), Value::Measured)
    }

    /// Averages the headline mAP of the validation queries.
    pub(super) fn validation(&self) -> Option<f64> {
        self.statistic(|r| &r.validation, HEADLINE).map(|s| s.mean)
    }

    /// Averages the seconds of a stage over the seeds that finished.
    pub(super) fn seconds(&self, stage: &str) -> Option<f64> {
        self.statistic(|r| &r.seconds, stage).map(|s| s.mean)
    }

    /// The largest peak of resident memory among the seeds that finished, in MiB: what a machine must have.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        self.finished().filter_map(|r| r.provenance.get(PEAK_MEMORY)?.parse().ok()).max()
    }

    /// Whether any seed finished.
    pub(super) fn any_finished(&self) -> bool {
        self.finished().next().is_some()
    }

    /// Whether every planned seed finished.
    fn complete(&self) -> bool {
        self.finished().count() == self.runs.len()
    }

    fn statistic(&self, part: fn(&RunResult) -> &BTreeMap<String, f64>, name: &str) -> Option<Statistic> {
        let values = self.finished().filter_map(|r| part(r).get(name).copied());
        // A NaN that a method produced is no measurement.
        let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        (!values.is_empty()).then(|| Statistic::of(&values, self.runs.len()))
    }
}

impl Value {
    /// The state in one word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Measured(s) if s.complete() => "complete",
            Self::Measured(_) => "partial",
            Self::Failed => "failed",
            Self::Diverged => "diverged",
            Self::Missing => "missing",
        }
    }
}

impl Statistic {
    fn of(values: &[f64], planned: usize) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let std = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Self { mean, std, n, planned }
    }

    /// Whether every planned seed entered.
    pub(super) fn complete(&self) -> bool {
        self.n == self.planned
    }
}

/// Names what became of runs that give no number: a failure first, since it asks for a remedy.
fn unmeasured<'a>(runs: impl Iterator<Item = &'a Entry>) -> Value {
    runs.fold(Value::Missing, |worst, run| match (&run.outcome, worst) {
        (Outcome::Failed { .. }, _) | (_, Value::Failed) => Value::Failed,
        (Outcome::Diverged(_), _) => Value::Diverged,
        _ => worst,
    })
}

/// Chooses the trial with the best mean validation mAP: among those whose seeds all finished if there are any, and
/// the first in plan order among equals. The protocol's queries have no say.
fn select(trials: &[Trial<'_>]) -> usize {
    let rank = |i: usize| (trials[i].complete(), trials[i].validation());
    (1..trials.len()).fold(0, |best, i| if rank(i) > rank(best) { i } else { best })
}

/// Sorts by position. A run that a row names twice would count twice in its mean, so only its first entry stays.
fn in_plan_order(entries: &[Entry]) -> Vec<&Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|e| (e.position, &e.run));
    let mut seen = BTreeSet::new();
    sorted.retain(|e| seen.insert((&e.label, &e.run)));
    sorted
}

/// Groups by a key, in order of first appearance.
fn group<'a, K: Ord + Copy>(entries: &[&'a Entry], key: impl Fn(&'a Entry) -> K) -> Vec<(K, Vec<&'a Entry>)> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<(K, Vec<&Entry>)> = Vec::new();
    for &entry in entries {
        let place = *places.entry(key(entry)).or_insert(groups.len());
        if place == groups.len() {
            groups.push((key(entry), Vec::new()));
        }
        groups[place].1.push(entry);
    }
    groups
}
