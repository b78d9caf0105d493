//! Lays a comparison out as a document: which tables, which columns, which marks.

use super::aggregate::{Cell, Comparison, Statistic, Trial, Value};
use super::document::{Content, Document, Mark, Table};
use super::metric::{self, HEADLINE};
use super::papers::Papers;
use super::{Options, Published, SweepReport, notes};
use crate::Settings;

/// What is rendered and how.
pub(super) struct View<'a> {
    /// The sweep.
    pub(super) report: &'a SweepReport,
    /// Its cells.
    pub(super) comparison: &'a Comparison<'a>,
    /// Published values, of any method and data set.
    pub(super) published: &'a [Published],
    /// Metrics to show, at least one.
    pub(super) metrics: &'a [String],
    /// Format and extent.
    pub(super) options: &'a Options,
}

impl View<'_> {
    /// A metric's name for a heading.
    pub(super) fn title(&self, metric: &str) -> String {
        metric::title(metric, self.report.header.map_at)
    }

    /// A metric of what a row shows: a trial where each has its own row, a cell otherwise.
    pub(super) fn value(&self, cell: &Cell<'_>, trial: usize, metric: &str) -> Value {
        if self.options.all { cell.trials[trial].value(metric) } else { cell.value(metric) }
    }

    /// The trials that have a row: their label, their cell and their index in it.
    pub(super) fn trials(&self) -> impl Iterator<Item = (&str, &Cell<'_>, usize)> {
        let shown = |cell: &Cell<'_>, i: usize| self.options.all || i == cell.selected;
        self.comparison.cells().flat_map(move |(label, cell)| {
            (0..cell.trials.len()).filter(move |&i| shown(cell, i)).map(move |i| (label, cell, i))
        })
    }
}

/// Stands where the plan has no run, or a run did not record what is asked.
const NONE: &str = "–";

/// Lays a report out for a format that people read.
pub(super) fn document(view: &View<'_>) -> Document {
    let papers = Papers::of(view);
    let (tables, times) = if view.options.all {
        (vec![trials(view)], trial_times(view))
    } else {
        (view.metrics.iter().map(|m| methods(view, m, &papers)).collect(), method_times(view))
    };
    Document {
        title: format!("{}: {} on {}", view.report.name, view.title(HEADLINE), view.report.header.dataset_title),
        facts: notes::facts(view),
        warnings: notes::warnings(view),
        tables,
        notes: notes::lists(view, &papers),
        times: view.options.times.then_some(times),
    }
}

/// One row per method, one column per code length, and published values beside the headline.
fn methods(view: &View<'_>, metric: &str, papers: &Papers<'_>) -> Table {
    let seeds = view.comparison.seeds_per_trial();
    let mut rows: Vec<Vec<Content>> = Vec::new();
    for row in &view.comparison.rows {
        let value = |cell: &Cell<'_>| content(cell.value(metric), seeds);
        let values = row.cells.iter().map(|c| c.as_ref().map_or(Content::plain(NONE), value));
        rows.push([Content::plain(row.label)].into_iter().chain(values).collect());
    }
    if metric::more_is_better(metric) {
        mark_columns(&mut rows, view.comparison, metric);
    }
    let mut table = Table {
        title: view.title(metric),
        columns: [String::new()].into_iter().chain(bits_headings(view)).collect(),
        legend: legend(&rows, &[(Mark::Bold, "best of the column"), (Mark::Underlined, "second best")]),
        remarks: remarks(view, metric),
        rows,
    };
    if metric == HEADLINE && !papers.is_empty() {
        papers.add_column(&mut table);
    }
    table
}

/// One row per trial: what the grid tried, with the validation mAP that decides.
fn trials(view: &View<'_>) -> Table {
    let seeds = view.comparison.seeds_per_trial();
    let mut rows = Vec::new();
    for (label, cell, i) in view.trials() {
        let trial = &cell.trials[i];
        let mut values: Vec<Content> = view.metrics.iter().map(|m| content(trial.value(m), seeds)).collect();
        // Where there is no choice there is nothing to point out.
        if i == cell.selected && cell.trials.len() > 1 && trial.any_finished() {
            values[0].mark = Mark::Bold;
        }
        let validation = Content::plain(trial.validation().map_or(NONE.to_owned(), fraction));
        rows.push([trial_name(label, trial), vec![validation], values].concat());
    }
    let validation = format!("validation {}", metric::map_at(view.report.header.map_at));
    let headings = view.metrics.iter().map(|m| view.title(m));
    Table {
        title: "All trials".to_owned(),
        columns: trial_headings().into_iter().chain([validation]).chain(headings).collect(),
        legend: legend(&rows, &[(Mark::Bold, "selected on validation among the trials of its method and bits")]),
        remarks: remarks(view, &view.metrics[0]),
        rows,
    }
}

/// Time and memory of the trials that the cells show.
fn method_times(view: &View<'_>) -> Table {
    let cost = |cell: &Cell<'_>| {
        let trial = cell.shown();
        let [train, encode] = ["train", "encode"].map(|stage| trial.seconds(stage));
        match (train, encode, trial.peak_memory()) {
            (None, None, None) => NONE.to_owned(),
            (train, encode, peak) => [seconds(train), seconds(encode), memory(peak)].join(" / "),
        }
    };
    let row = |label: &str, cells: &[Option<Cell<'_>>]| {
        let costs = cells.iter().map(|c| Content::plain(c.as_ref().map_or(NONE.to_owned(), cost)));
        [Content::plain(label)].into_iter().chain(costs).collect()
    };
    Table {
        title: "Time per run: training / encoding, seconds / peak memory, MiB".to_owned(),
        columns: [String::new()].into_iter().chain(bits_headings(view)).collect(),
        rows: view.comparison.rows.iter().map(|r| row(r.label, &r.cells)).collect(),
        legend: Vec::new(),
        remarks: notes::devices(view),
    }
}

/// Time and memory of every trial.
fn trial_times(view: &View<'_>) -> Table {
    let stages = ["train", "encode"];
    let headings = ["training", "encoding", "peak memory, MiB"];
    let row = |(label, cell, i): (&str, &Cell<'_>, usize)| {
        let trial = &cell.trials[i];
        let times = stages.map(|stage| Content::plain(seconds(trial.seconds(stage))));
        let peak = Content::plain(memory(trial.peak_memory()));
        trial_name(label, trial).into_iter().chain(times).chain([peak]).collect()
    };
    Table {
        title: "Time per run, seconds".to_owned(),
        columns: trial_headings().into_iter().chain(headings.map(str::to_owned)).collect(),
        rows: view.trials().map(row).collect(),
        legend: Vec::new(),
        remarks: notes::devices(view),
    }
}

fn bits_headings(view: &View<'_>) -> impl Iterator<Item = String> {
    view.comparison.bits.iter().map(|bits| format!("{bits} bits"))
}

fn trial_headings() -> Vec<String> {
    ["", "bits", "setting"].map(str::to_owned).to_vec()
}

fn trial_name(label: &str, trial: &Trial<'_>) -> Vec<Content> {
    let setting = if trial.point.is_empty() { NONE.to_owned() } else { point(trial.point) };
    vec![Content::plain(label), Content::plain(trial.bits.to_string()), Content::plain(setting)]
}

/// Writes a value; says of how many seeds where the header cannot (`seeds` is none) or seeds are lacking.
fn content(value: Value, seeds: Option<usize>) -> Content {
    let Value::Measured(statistic) = value else { return Content::plain(value.name()) };
    let Statistic { mean, std, n, planned } = statistic;
    let deviation = std.map_or(String::new(), |s| format!(" ± {}", fraction(s)));
    let count = match seeds {
        _ if !statistic.complete() => format!(" ({n}/{planned})"),
        None => format!(" (n={n})"),
        Some(_) => String::new(),
    };
    Content { text: fraction(mean), rest: deviation + &count, mark: Mark::Plain }
}

/// Explains what a table's cells hold besides numbers, as far as it occurs.
fn remarks(view: &View<'_>, metric: &str) -> Vec<String> {
    let values = view.trials().map(|(_, cell, i)| view.value(cell, i, metric));
    let partial = values.into_iter().find_map(|v| match v {
        Value::Measured(s) if !s.complete() => {
            Some(format!("({}/{}): seeds finished of seeds planned", s.n, s.planned))
        }
        _ => None,
    });
    let gaps = view.comparison.rows.iter().any(|r| r.cells.iter().any(Option::is_none));
    let unplanned = (gaps && !view.options.all).then(|| format!("{NONE}: not in the plan"));
    partial.into_iter().chain(unplanned).collect()
}

/// Marks the best and the second best of each code length.
fn mark_columns(rows: &mut [Vec<Content>], comparison: &Comparison<'_>, metric: &str) {
    for (column, means) in columns_of_means(comparison, metric).enumerate() {
        for (row, mark) in rows.iter_mut().zip(rank(&means)) {
            row[column + 1].mark = mark;
        }
    }
}

/// Means per column, row by row; none where a row has no number there.
fn columns_of_means(comparison: &Comparison<'_>, metric: &str) -> impl Iterator<Item = Vec<Option<f64>>> {
    let mean = move |cell: &Cell<'_>| match cell.value(metric) {
        Value::Measured(statistic) => Some(statistic.mean),
        _ => None,
    };
    (0..comparison.bits.len())
        .map(move |i| comparison.rows.iter().map(|row| row.cells[i].as_ref().and_then(mean)).collect())
}

/// Marks the best and the second best of a column. Values that print alike share a mark; a value without a rival
/// gets none.
fn rank(means: &[Option<f64>]) -> Vec<Mark> {
    let printed = |mean: f64| fraction(mean).parse::<f64>().expect("a printed number reads back");
    let mut order: Vec<f64> = means.iter().flatten().map(|&m| printed(m)).collect();
    let rivals = order.len() > 1;
    order.sort_by(|a, b| b.total_cmp(a));
    order.dedup();
    let mark = |mean: f64| match order.iter().position(|&o| o == printed(mean)) {
        Some(0) if rivals => Mark::Bold,
        Some(1) => Mark::Underlined,
        _ => Mark::Plain,
    };
    means.iter().map(|m| m.map_or(Mark::Plain, mark)).collect()
}

/// The marks of a legend that occur in a table.
fn legend(rows: &[Vec<Content>], all: &[(Mark, &'static str)]) -> Vec<(Mark, &'static str)> {
    let occurs = |mark: Mark| rows.iter().flatten().any(|c| c.mark == mark);
    all.iter().copied().filter(|(mark, _)| occurs(*mark)).collect()
}

/// Prints a fraction with the three decimals that papers use.
pub(super) fn fraction(value: f64) -> String {
    format!("{value:.3}")
}

/// Prints seconds with about three digits.
fn seconds(value: Option<f64>) -> String {
    match value {
        None => NONE.to_owned(),
        Some(s) if s >= 100.0 => format!("{s:.0}"),
        Some(s) if s >= 1.0 => format!("{s:.1}"),
        Some(s) => format!("{s:.3}"),
    }
}

/// Prints MiB.
fn memory(value: Option<u64>) -> String {
    value.map_or(NONE.to_owned(), |mib| mib.to_string())
}

/// Prints a grid point: `beta=0.001 tau=0.3`.
pub(super) fn point(point: &Settings) -> String {
    let value = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    point.iter().map(|(key, v)| format!("{key}={}", value(v))).collect::<Vec<_>>().join(" ")
}
