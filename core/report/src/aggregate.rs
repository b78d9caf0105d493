//! From runs to cells: groups runs by row, bits and setting, averages over seeds and selects on validation.

use std::collections::{BTreeMap, BTreeSet};

use hashlab_data::{Modality, Task};
use hashlab_settings::Settings;
use hashlab_store::RunResult;

use crate::sweep_report::{Outcome, ReportedRun};

/// Key of a run's peak of resident memory, in MiB, in its provenance.
pub(crate) const PEAK_MEMORY: &str = "peak_rss_mib";

/// Rows × tasks × bits.
pub(crate) struct Comparison<'a> {
    /// Tasks of any run.
    pub(crate) tasks: Vec<Task>,
    /// Code lengths, ascending.
    pub(crate) bits: Vec<usize>,
    /// Rows in plan order.
    pub(crate) rows: Vec<Row<'a>>,
}

/// A row's cells.
pub(crate) struct Row<'a> {
    /// Label of the row.
    pub(crate) label: &'a str,
    /// One cell per code length; none where the plan has no such run.
    pub(crate) cells: Vec<Option<Cell<'a>>>,
}

/// A row at one code length.
pub(crate) struct Cell<'a> {
    /// Its settings in plan order; at least one.
    pub(crate) settings: Vec<Setting<'a>>,
    /// Index of the setting that the cell shows.
    pub(crate) selected: usize,
}

/// A setting at one code length: one run per seed.
pub(crate) struct Setting<'a> {
    /// Identity of the setting.
    pub(crate) id: &'a str,
    /// The keys in which the row's settings differ.
    pub(crate) point: &'a Settings,
    /// Code length in bits.
    pub(crate) bits: usize,
    /// Its runs in plan order; at least one.
    pub(crate) runs: Vec<&'a ReportedRun>,
}

/// A metric over a setting's seeds. Only [`Value::Measured`] holds a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Some seeds finished.
    Measured(Statistic),
    /// None finished, and one at least failed.
    Failed,
    /// None finished or failed, and one at least diverged.
    Diverged,
    /// None finished, failed or diverged, and one at least was stopped after so many epochs.
    Stopped(usize),
    /// Nothing is known yet.
    Missing,
}

/// Mean and deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Statistic {
    /// Mean over `n` seeds.
    pub(crate) mean: f64,
    /// Sample deviation (divisor `n − 1`); none for a single seed, or where nothing depends on the seed.
    pub(crate) std: Option<f64>,
    /// Seeds that entered the mean.
    pub(crate) n: usize,
    /// Seeds planned.
    pub(crate) planned: usize,
    /// Whether the result depends on the seed.
    pub(crate) seeded: bool,
}

impl<'a> Comparison<'a> {
    /// Groups a sweep's runs, whatever their order.
    pub(crate) fn of(runs: &'a [ReportedRun]) -> Self {
        let runs = in_plan_order(runs);
        let bits: Vec<usize> = runs.iter().map(|r| r.bits).collect::<BTreeSet<_>>().into_iter().collect();
        let tasks: BTreeSet<Task> = runs.iter().flat_map(|r| tasks(r)).collect();
        let rows = group(&runs, |r| r.label.as_str())
            .into_iter()
            .map(|(label, runs)| Row { label, cells: bits.iter().map(|&b| Cell::of(&runs, b)).collect() })
            .collect();
        Self { tasks: tasks.into_iter().collect(), bits, rows }
    }

    /// The cells with their row's label, row by row.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&'a str, &Cell<'a>)> {
        self.rows.iter().flat_map(|row| row.cells.iter().flatten().map(|cell| (row.label, cell)))
    }

    /// Every setting with its row's label.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'a str, &Setting<'a>)> {
        self.cells().flat_map(|(label, cell)| cell.settings.iter().map(move |setting| (label, setting)))
    }

    /// Seeds per setting where all settings plan as many. Those without randomness have no say.
    pub(crate) fn seeds_per_setting(&self) -> Option<usize> {
        let seeded = self.settings().map(|(_, s)| s).filter(|s| s.seeded());
        let counts: BTreeSet<usize> = seeded.map(|s| s.runs.len()).collect();
        if counts.len() == 1 { counts.first().copied() } else { None }
    }
}

/// The tasks that a run was measured for, or will be.
fn tasks(run: &ReportedRun) -> Vec<Task> {
    match run.finished() {
        Some(result) => result.test.keys().copied().collect(),
        None => Task::of(&run.setup.encoders.modalities().collect::<Vec<Modality>>()),
    }
}

impl<'a> Row<'a> {
    /// The settings that the row's cells show.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Setting<'a>> {
        self.cells.iter().flatten().map(Cell::shown)
    }
}

impl<'a> Cell<'a> {
    fn of(row: &[&'a ReportedRun], bits: usize) -> Option<Self> {
        let runs: Vec<&ReportedRun> = row.iter().copied().filter(|r| r.bits == bits).collect();
        let settings: Vec<Setting> = group(&runs, |r| r.setting.as_str())
            .into_iter()
            .map(|(id, runs)| Setting { id, point: &runs[0].point, bits, runs })
            .collect();
        (!settings.is_empty()).then(|| Self { selected: select(&settings), settings })
    }

    /// A metric of the setting that the cell shows; without one, what became of the runs of all its settings.
    pub(crate) fn value(&self, task: Task, metric: &str) -> Value {
        match self.shown().value(task, metric) {
            measured @ Value::Measured(_) => measured,
            _ => unmeasured(self.settings.iter().flat_map(|s| &s.runs).copied()),
        }
    }

    /// The setting that the cell shows.
    pub(crate) fn shown(&self) -> &Setting<'a> {
        &self.settings[self.selected]
    }

    /// Whether the choice among several settings had to do without validation.
    pub(crate) fn selected_blindly(&self) -> bool {
        let measured = self.settings.iter().any(Setting::any_finished);
        self.settings.len() > 1 && measured && self.settings.iter().all(|s| s.validation().is_none())
    }
}

impl<'a> Setting<'a> {
    /// Results of the seeds that finished, in plan order.
    pub(crate) fn finished(&self) -> impl Iterator<Item = &'a RunResult> {
        self.runs.iter().copied().filter_map(ReportedRun::finished)
    }

    /// Averages a metric of the protocol's queries.
    pub(crate) fn value(&self, task: Task, metric: &str) -> Value {
        let found = self.statistic(|r| r.test.get(&task)?.metrics.get(metric).copied());
        found.map_or_else(|| unmeasured(self.runs.iter().copied()), Value::Measured)
    }

    /// Averages the primary metric of the validation queries over tasks and seeds.
    pub(crate) fn validation(&self) -> Option<f64> {
        self.statistic(RunResult::primary_validation).map(|s| s.mean)
    }

    /// Averages the seconds of a stage over the seeds that finished.
    pub(crate) fn seconds(&self, stage: &str) -> Option<f64> {
        self.statistic(|r| r.seconds.get(stage).copied()).map(|s| s.mean)
    }

    /// The largest peak of resident memory among the seeds that finished, in MiB: what a machine must have.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        self.finished().filter_map(|r| r.provenance.get(PEAK_MEMORY)?.parse().ok()).max()
    }

    /// Whether any seed finished.
    pub(crate) fn any_finished(&self) -> bool {
        self.finished().next().is_some()
    }

    /// Whether its results depend on the seed.
    pub(crate) fn seeded(&self) -> bool {
        self.runs[0].seeded
    }

    /// Whether every planned seed finished.
    fn complete(&self) -> bool {
        self.finished().count() == self.runs.len()
    }

    fn statistic(&self, number: impl Fn(&RunResult) -> Option<f64>) -> Option<Statistic> {
        // A NaN that a method produced is no measurement.
        let values: Vec<f64> = self.finished().filter_map(number).filter(|v| v.is_finite()).collect();
        (!values.is_empty()).then(|| Statistic::of(&values, self.runs.len(), self.seeded()))
    }
}

impl Value {
    /// The state in one word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Measured(s) if s.complete() => "complete",
            Self::Measured(_) => "partial",
            Self::Failed => "failed",
            Self::Diverged => "diverged",
            Self::Stopped(_) => "stopped",
            Self::Missing => "missing",
        }
    }
}

impl Statistic {
    fn of(values: &[f64], planned: usize, seeded: bool) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let std = (n > 1 && seeded).then(|| (squares / (n - 1) as f64).sqrt());
        Self { mean, std, n, planned, seeded }
    }

    /// Whether every planned seed entered.
    pub(crate) fn complete(&self) -> bool {
        self.n == self.planned
    }
}

/// Names what became of runs that give no number: a failure first, since it asks for a remedy.
fn unmeasured<'a>(runs: impl Iterator<Item = &'a ReportedRun>) -> Value {
    runs.fold(Value::Missing, |worst, run| match (&run.outcome, worst) {
        (Outcome::Failed { .. }, _) | (_, Value::Failed) => Value::Failed,
        (Outcome::Diverged(_), _) | (_, Value::Diverged) => Value::Diverged,
        (Outcome::Stopped { epoch }, _) => Value::Stopped(*epoch),
        _ => worst,
    })
}

/// Chooses the setting with the best mean validation metric: among those whose seeds all finished if there are any, and
/// the first in plan order among equals. The protocol's queries have no say.
fn select(settings: &[Setting<'_>]) -> usize {
    let rank = |i: usize| (settings[i].complete(), settings[i].validation());
    (1..settings.len()).fold(0, |best, i| if rank(i) > rank(best) { i } else { best })
}

/// Sorts by position. A run that a row names twice would count twice in its mean, so only its first entry stays.
pub(crate) fn in_plan_order(runs: &[ReportedRun]) -> Vec<&ReportedRun> {
    let mut sorted: Vec<&ReportedRun> = runs.iter().collect();
    sorted.sort_by_key(|r| (r.position, &r.run));
    let mut seen = BTreeSet::new();
    sorted.retain(|r| seen.insert((&r.label, &r.run)));
    sorted
}

/// Groups by a key, in order of first appearance.
fn group<'a, K: Ord + Copy>(
    runs: &[&'a ReportedRun],
    key: impl Fn(&'a ReportedRun) -> K,
) -> Vec<(K, Vec<&'a ReportedRun>)> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<(K, Vec<&ReportedRun>)> = Vec::new();
    for &run in runs {
        let place = *places.entry(key(run)).or_insert(groups.len());
        if place == groups.len() {
            groups.push((key(run), Vec::new()));
        }
        groups[place].1.push(run);
    }
    groups
}
