//! The table of runs, and a drawer for each.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use hashlab_data::Task;
use hashlab_store::{Name, RunId, RunResult};

use crate::aggregate::in_plan_order;
use crate::details::{Details, RunDetails};
use crate::extent::{REASONS, left_out, runs_of_page};
use crate::figure::{Figure, sparkline};
use crate::hyperparameters::flattened;
use crate::metrics;
use crate::sweep_report::{Outcome, ReportedRun, SweepReport};
use crate::wording::{NONE, fraction, one_line, point, seconds};

/// All runs of a sweep.
#[derive(Template)]
#[template(path = "runs.html")]
pub(super) struct RunTable<'a> {
    columns: Vec<String>,
    states: Vec<&'static str>,
    /// The runs that are left out, in words.
    left_out: Option<String>,
    counts: Vec<(&'static str, usize)>,
    runs: Vec<RunView<'a>>,
}

/// A run.
struct RunView<'a> {
    /// Names its drawer.
    key: usize,
    id: &'a str,
    label: &'a str,
    bits: usize,
    seed: u64,
    setting: String,
    state: &'static str,
    validation: String,
    /// The primary metric, by task.
    test: Vec<String>,
    epoch: String,
    seconds: String,
    error: Option<&'a str>,
    differences: Vec<(String, String)>,
    loss: Option<Figure>,
    /// Name, test and validation.
    metrics: Vec<(String, String, String)>,
    command: String,
    config: String,
    log: &'a str,
    provenance: Vec<(&'a str, &'a str)>,
}

/// Runs that failed for one reason.
pub(super) struct Failure<'a> {
    pub(super) place: String,
    pub(super) line: String,
    /// Names the drawer of its first run, if that has one.
    pub(super) key: Option<usize>,
    pub(super) run: &'a str,
    pub(super) more: usize,
}

/// The values of each key over the runs of a method.
type Varied = BTreeMap<Name, BTreeMap<String, BTreeSet<String>>>;

impl<'a> RunTable<'a> {
    /// Lists a sweep's runs in plan order.
    pub(super) fn of(report: &'a SweepReport, details: &'a Details) -> Self {
        let title = report.header.primary_title();
        let all = in_plan_order(&report.runs);
        let listed: BTreeSet<RunId> = runs_of_page(report).into_iter().collect();
        let counts = counts(&all, details);
        let runs: Vec<&ReportedRun> = all.into_iter().filter(|run| listed.contains(&run.run)).collect();
        let tasks: BTreeSet<Task> =
            runs.iter().filter_map(|r| r.finished()).flat_map(|r| r.test.keys().copied()).collect();
        let test =
            |task: &Task| if tasks.len() > 1 { format!("test {title}, {task}") } else { format!("test {title}") };
        let test = tasks.iter().map(test);
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let columns = words(&["Run", "row", "bits", "seed", "setting", "state"])
            .into_iter()
            .chain([format!("validation {title}")])
            .chain(test)
            .chain(words(&["epoch", "training, s"]))
            .collect();
        let varied = varied(&runs, details);
        let view = |(key, run): (usize, &&'a ReportedRun)| {
            RunView::of(key, run, details.get(&run.run), &varied, &tasks, report)
        };
        let runs: Vec<RunView<'_>> = runs.iter().enumerate().map(view).collect();
        let states: BTreeSet<&'static str> = runs.iter().map(|r| r.state).collect();
        Self { columns, states: states.into_iter().collect(), left_out: left_out(report, runs.len()), counts, runs }
    }

    /// Counts all runs by state, in the order of a run's life.
    pub(super) fn counts(&self) -> Vec<(&'static str, usize)> {
        self.counts.clone()
    }

    /// The runs without metrics that say why, one entry per reason and row; and the number of further reasons.
    pub(super) fn failures(&self, report: &'a SweepReport) -> (Vec<Failure<'a>>, usize) {
        let keys: BTreeMap<&str, usize> = self.runs.iter().map(|run| (run.id, run.key)).collect();
        let mut places = BTreeMap::new();
        let mut failures: Vec<Failure<'a>> = Vec::new();
        for run in in_plan_order(&report.runs) {
            let Some(line) = run.reason().map(one_line) else { continue };
            let place = *places.entry((&run.label, run.bits, line.clone())).or_insert(failures.len());
            match failures.get_mut(place) {
                Some(failure) => failure.more += 1,
                None => {
                    let id = run.run.0.as_str();
                    let place = format!("{}, {} bits, {}", run.label, run.bits, run.outcome.name());
                    failures.push(Failure { place, line, key: keys.get(id).copied(), run: id, more: 0 });
                }
            }
        }
        let more = failures.len().saturating_sub(REASONS);
        failures.truncate(REASONS);
        (failures, more)
    }
}

/// Runs by state.
fn counts(runs: &[&ReportedRun], details: &Details) -> Vec<(&'static str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        *counts.entry(state(run, details.get(&run.run))).or_default() += 1;
    }
    let order = ["finished", "failed", "diverged", "running", "interrupted", "stopped", "missing"];
    order.into_iter().filter_map(|state| Some((state, *counts.get(state)?))).collect()
}

/// The state of a run in one word.
fn state(run: &ReportedRun, details: Option<&RunDetails>) -> &'static str {
    let ended = matches!(run.outcome, Outcome::Finished(_) | Outcome::Diverged(_));
    details.and_then(|d| d.state).filter(|_| !ended).unwrap_or(run.outcome.name())
}

/// The selected epoch of a run, or the one at which it was stopped.
fn epoch(run: &ReportedRun) -> Option<usize> {
    match &run.outcome {
        Outcome::Finished(result) | Outcome::Diverged(result) => result.epoch,
        Outcome::Stopped { epoch } => Some(*epoch),
        Outcome::Failed { .. } | Outcome::Missing => None,
    }
}

impl<'a> RunView<'a> {
    fn of(
        key: usize,
        run: &'a ReportedRun,
        details: Option<&'a RunDetails>,
        varied: &Varied,
        tasks: &BTreeSet<Task>,
        report: &SweepReport,
    ) -> Self {
        let result = match &run.outcome {
            Outcome::Finished(result) | Outcome::Diverged(result) => Some(&**result),
            _ => None,
        };
        let number = |value: Option<f64>| value.map_or(NONE.to_owned(), fraction);
        let test =
            |task: &Task| number(result.and_then(|r| r.test.get(task)?.metrics.get(report.header.primary()).copied()));
        let own = details.and_then(|d| d.config.as_deref()).map(flattened).unwrap_or_default();
        let of_method = varied.get(&run.method);
        let differs = |(key, _): &&(String, String)| {
            of_method.and_then(|keys| keys.get(key)).is_some_and(|values| values.len() > 1)
        };
        Self {
            key,
            id: &run.run.0,
            label: &run.label,
            bits: run.bits,
            seed: run.seed,
            setting: point(&run.point),
            state: state(run, details),
            validation: number(result.and_then(RunResult::primary_validation)),
            test: tasks.iter().map(test).collect(),
            epoch: epoch(run).map_or(NONE.to_owned(), |epoch| epoch.to_string()),
            seconds: seconds(result.and_then(|r| r.seconds.get("train").copied())),
            error: details.and_then(|d| d.error.as_deref()).filter(|_| result.is_none()).or(run.reason()),
            differences: own.iter().filter(differs).cloned().collect(),
            loss: details.and_then(|d| sparkline("Loss by epoch", &losses(d))),
            metrics: result.map(|r| all_metrics(r, report)).unwrap_or_default(),
            command: if details.is_some() { format!("hashlab exec {}", run.run) } else { String::new() },
            config: own.iter().map(|(key, value)| format!("{key} = {value}\n")).collect(),
            log: details.map_or("", |d| d.log.trim_end()),
            provenance: provenance(result, details),
        }
    }
}

/// Facts about a run's execution.
fn provenance<'a>(result: Option<&'a RunResult>, details: Option<&'a RunDetails>) -> Vec<(&'a str, &'a str)> {
    let facts = result.into_iter().flat_map(|r| &r.provenance).map(|(key, value)| (key.as_str(), value.as_str()));
    let directory = details.map(|d| ("directory", d.directory.as_str()));
    let retries = details.into_iter().flat_map(|d| &d.retries).map(|retry| ("repeated", retry.as_str()));
    facts.filter(|(_, value)| !value.is_empty()).chain(retries).chain(directory).collect()
}

/// Every metric with its value on test and on validation queries, by task.
fn all_metrics(result: &RunResult, report: &SweepReport) -> Vec<(String, String, String)> {
    let several = result.test.len() > 1;
    let mut all = Vec::new();
    for (task, found) in &result.test {
        for (name, value) in &found.metrics {
            let title = metrics::title(name, report.header.map_at);
            let title = if several { format!("{title}, {task}") } else { title };
            let validation = result.validation.get(task).and_then(|v| v.metrics.get(name));
            all.push((title, fraction(*value), validation.map_or(NONE.to_owned(), |v| fraction(*v))));
        }
    }
    all
}

fn losses(details: &RunDetails) -> Vec<(f64, f64)> {
    details.journal.iter().filter_map(|p| Some((p.step as f64, (*p.values.get("loss")?)?))).collect()
}

/// The values of every key over the runs of each method; an absent key counts as a value.
fn varied(runs: &[&ReportedRun], details: &Details) -> Varied {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut varied: Varied = BTreeMap::new();
    let mut present: BTreeMap<(Name, String), usize> = BTreeMap::new();
    for run in runs {
        let Some(config) = details.get(&run.run).and_then(|d| d.config.as_ref()) else { continue };
        *counts.entry(&run.method).or_default() += 1;
        for (key, value) in flattened(config) {
            *present.entry((run.method, key.clone())).or_default() += 1;
            varied.entry(run.method).or_default().entry(key).or_default().insert(value);
        }
    }
    for ((method, key), count) in present {
        if count < counts[method.as_str()] {
            varied.get_mut(&method).and_then(|keys| keys.get_mut(&key)).map(|values| values.insert(String::new()));
        }
    }
    varied
}
