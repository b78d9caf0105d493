//! `[pruning]`: runs that do worse than others on the validation queries are stopped early.

use std::collections::BTreeMap;

use hashlab_settings::{Params, Settings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Span};
use crate::layers::Merged;
use crate::plan::Plan;
use crate::section::Section;

/// The section `[pruning]`: settings of a row compete at rungs, which are numbers of epochs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pruning {
    /// Rule by which runs are stopped: `none`, `successive_halving` (at each rung, the settings with the best validation
    /// mAP go on, one of `eta`, once all have reached it), or `asha` (a run goes on at once if it is among the best of
    /// those that have reached the rung before).
    pub method: PruningMethod,
    /// Epochs of the first rung; each further one has `eta` times as many.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_epochs: usize,
    /// Settings per setting that goes on.
    #[schemars(range(min = 2, max = 1000))]
    pub eta: usize,
}

/// Rules by which runs are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PruningMethod {
    /// Every run goes on to its end.
    None,
    /// Jamieson and Talwalkar, AISTATS 2016, in synchronous rungs.
    SuccessiveHalving,
    /// Asynchronous successive halving, Li et al., MLSys 2020, in its form that stops runs.
    Asha,
}

impl Default for Pruning {
    fn default() -> Self {
        Self { method: PruningMethod::None, min_epochs: 10, eta: 3 }
    }
}

impl Params for Pruning {
    fn inactive(&self) -> Vec<&'static str> {
        if self.method == PruningMethod::None { vec!["min_epochs", "eta"] } else { Vec::new() }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Epochs of the whole run; 0 for a shallow method.
    pub epochs: usize,
    /// Epochs after which it stopped last.
    pub reached: usize,
    /// Whether it has a result.
    pub ended: bool,
}

/// What a run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To train, up to a number of epochs or to its end.
    Train {
        /// Epochs after which it stops.
        until: Option<usize>,
    },
    /// To wait until others have come as far, or nothing, as it has a result.
    Wait,
    /// To stay stopped.
    Stop,
}

impl Pruning {
    /// Reads the section of an experiment; `None` where no run is stopped.
    pub(crate) fn of(section: &Settings) -> Option<Self> {
        let pruning: Self = hashlab_settings::parse(section).expect("its types were checked");
        (pruning.method != PruningMethod::None).then_some(pruning)
    }

    /// Whether a run goes on that has reached a rung with a value after these others: it must be among the best
    /// `n / eta` of all `n`, at least the best. Of equal ones, those before it are better.
    pub fn goes_on(&self, own: Option<f64>, others: impl Iterator<Item = Option<f64>>) -> bool {
        let others: Vec<Option<f64>> = others.collect();
        let better = others.iter().flatten().filter(|other| own.is_none_or(|own| **other >= own)).count();
        own.is_some() && better < ((others.len() + 1) / self.eta).max(1)
    }

    /// The rungs below a number of epochs, ascending.
    pub fn rungs(&self, epochs: usize) -> Vec<usize> {
        let next = |rung: &usize| rung.checked_mul(self.eta);
        std::iter::successors(Some(self.min_epochs), next).take_while(|rung| *rung < epochs).collect()
    }

    /// Decides what the runs of competing settings are to do. `settings` holds the runs of each, one per seed;
    /// `validation` returns the best validation mAP of a run up to a number of epochs. A decision depends on nothing
    /// else, so that it is the same whenever it is made.
    ///
    /// Of the `n` settings at a rung, the best `n / eta` go on, at least one; of equal ones, those that come first.
    pub fn turns(
        &self,
        settings: &[Vec<usize>],
        standing: impl Fn(usize) -> Standing,
        mut validation: impl FnMut(usize, usize) -> Option<f64>,
    ) -> BTreeMap<usize, Turn> {
        let mut turns: BTreeMap<usize, Turn> = settings.iter().flatten().map(|run| (*run, Turn::Wait)).collect();
        let mut left: Vec<&Vec<usize>> = settings.iter().collect();
        let epochs = settings.iter().flatten().map(|run| standing(*run).epochs).max().unwrap_or(0);
        for rung in self.rungs(epochs) {
            if left.len() == 1 {
                break; // nothing is left to compare it with
            }
            let behind = |run: &usize| !standing(*run).ended && standing(*run).reached < rung;
            let behind: Vec<usize> = left.iter().copied().flatten().copied().filter(|run| behind(run)).collect();
            if !behind.is_empty() {
                let until = |run: usize| Some(rung).filter(|rung| *rung < standing(run).epochs);
                turns.extend(behind.into_iter().map(|run| (run, Turn::Train { until: until(run) })));
                return turns;
            }
            let scores: Vec<Score> = left.iter().map(|runs| Score::of(runs, rung, &mut validation)).collect();
            let mut order: Vec<usize> = (0..left.len()).collect();
            order.sort_by(|a, b| scores[*b].cmp(&scores[*a])); // a stable sort, the best first
            let (best, others) = order.split_at((left.len() / self.eta).max(1));
            let stopped = others.iter().flat_map(|at| left[*at]).filter(|run| !standing(**run).ended);
            turns.extend(stopped.map(|run| (*run, Turn::Stop)));
            let mut best = best.to_vec();
            best.sort_unstable();
            left = best.into_iter().map(|at| left[at]).collect();
        }
        let open = left.into_iter().flatten().filter(|run| !standing(**run).ended);
        turns.extend(open.map(|run| (*run, Turn::Train { until: None })));
        turns
    }
}

/// A setting's place among others: those with a value for every seed come first, then the mean decides.
#[derive(PartialEq)]
struct Score {
    complete: bool,
    mean: Option<f64>,
}

impl Score {
    fn of(runs: &[usize], rung: usize, validation: &mut impl FnMut(usize, usize) -> Option<f64>) -> Self {
        let values: Vec<f64> = runs.iter().filter_map(|run| validation(*run, rung)).filter(|v| v.is_finite()).collect();
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        Self { complete: values.len() == runs.len(), mean }
    }

    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let mean = |score: &Self| score.mean.unwrap_or(f64::NEG_INFINITY);
        self.complete.cmp(&other.complete).then(mean(self).total_cmp(&mean(other)))
    }
}

impl Plan {
    /// The settings that compete with each other, as a table selects one of them: those of one row and code length.
    /// Each is the list of its runs, by their index in the plan.
    pub fn contests(&self) -> Vec<Vec<Vec<usize>>> {
        let mut contests: Vec<Vec<Vec<usize>>> = Vec::new();
        let mut places: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        let mut settings: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (index, run) in self.runs.iter().enumerate() {
            let contest = *places.entry((&*run.label, run.bits)).or_insert_with(|| {
                contests.push(Vec::new());
                contests.len() - 1
            });
            let setting = *settings.entry((&*run.label, &*run.setting)).or_insert_with(|| {
                contests[contest].push(Vec::new());
                contests[contest].len() - 1
            });
            contests[contest][setting].push(index);
        }
        contests
    }
}

/// The keys of `[train]` that rungs depend on.
const SELECT: &str = "select";
const VALIDATE_EVERY: &str = "validate_every";

/// Reports settings of a training under which no validation precedes the first rung.
pub(crate) fn check(merged: &Merged<'_>, owner: &Span) -> Option<Diagnostic> {
    let pruning = Pruning::of(merged.table(Section::Pruning))?;
    let train = merged.table(Section::Train);
    if !merged.scope.method?.deep || merged.rejects_any(Section::Train) || merged.rejects_any(Section::Pruning) {
        return None;
    }
    let span = |section: Section, key: &str| merged.assignment(section, key).map(|set| &set.span);
    if train.get(SELECT).is_some_and(|select| *select != "best") {
        let at = span(Section::Train, SELECT).unwrap_or(owner);
        let message = "runs without validation cannot be pruned: `select` must be \"best\"";
        return Some(
            Diagnostic::new(at, message).help("set `pruning.method` to \"none\" for them, in a file of their own"),
        );
    }
    let every = train.get(VALIDATE_EVERY).and_then(Value::as_u64)?;
    if every <= pruning.min_epochs as u64 {
        return None;
    }
    let at = span(Section::Pruning, "min_epochs").or(span(Section::Train, VALIDATE_EVERY)).unwrap_or(owner);
    let message = format!(
        "runs are compared after `min_epochs` = {} epochs, before the first validation after {every}",
        pruning.min_epochs
    );
    Some(Diagnostic::new(at, message).help("raise `min_epochs`, or lower `validate_every` in `[train]`"))
}
