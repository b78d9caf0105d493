//! Comparison of rows under equal seeds and queries: is one method better than another, or is that chance?

use hashlab_data::Task;
use hashlab_eval::{Interval, Paired, bootstrap, holm};
use serde_json::{Value as Json, json};

use crate::aggregate::Comparison;
use crate::details::Details;
use crate::document::{Content, Document, Table};
use crate::encodings::apart;
use crate::error::ReportError;
use crate::facts::facts;
use crate::layout::{Layout, RESAMPLES};
use crate::options::{Format, Options};
use crate::paired::{by_query, by_seed};
use crate::sweep_report::SweepReport;
use crate::wording::NONE;
use crate::{latex, markdown, metrics, text};

/// Levels at which an adjusted p value gets a star more.
const LEVELS: [f64; 3] = [0.05, 0.01, 0.001];

/// Content of a line.
const CELLS: &str = "mean difference over n pairs of runs with equal seeds, with the 95 % interval of Student's t";

/// Two rows at one code length, for one task.
struct Pair<'a> {
    first: &'a str,
    second: &'a str,
    task: Task,
    bits: usize,
    paired: Paired,
    /// The p value adjusted for all comparisons of the same task and code length.
    adjusted: Option<f64>,
    /// Interval of the mean difference over other queries; none where the runs' queries are not known.
    over_queries: Option<Interval>,
}

/// Compares rows of a sweep, paired by seed, in the first of [`Options::metrics`] or the primary metric. In the primary
/// metric, queries are paired, too, where `details` hold those of the runs.
///
/// `rows` names none, for every pair of rows, one, to compare it with every other, or two. Each row shows the setting that
/// its validation queries selected. A method without randomness has one value, which is compared with each seed's.
///
/// # Errors
/// [`ReportError::UnknownRow`], or as [`render`](crate::render).
pub fn compare(
    report: &SweepReport,
    details: &Details,
    rows: &[String],
    options: &Options,
) -> Result<String, ReportError> {
    let runs = apart(&report.runs);
    let comparison = Comparison::of(&runs);
    let metrics = metrics::chosen(report, &options.metrics)?;
    let layout = Layout { report, comparison: &comparison, published: &[], metrics: &metrics[..1], details, options };
    let chosen = chosen(&comparison, rows)?;
    let mut pairs = Vec::new();
    for &task in &comparison.tasks {
        for (column, &bits) in comparison.bits.iter().enumerate() {
            pairs.extend(of_column(&layout, &chosen, task, (column, bits)));
        }
    }
    Ok(match options.format {
        Format::Text => text::write(&document(&layout, &pairs), options.color),
        Format::Markdown => markdown::write(&document(&layout, &pairs)),
        Format::Latex => latex::write(&document(&layout, &pairs), &format!("{}-compared", report.name)),
        Format::Csv => csv(&metrics[0], &pairs),
        Format::Json => json_text(&metrics[0], &pairs),
        Format::Jsonl => return Err(ReportError::JsonlOfComparison),
    })
}

/// The pairs of rows to compare, by their indices.
fn chosen(comparison: &Comparison<'_>, names: &[String]) -> Result<Vec<(usize, usize)>, ReportError> {
    let labels: Vec<&str> = comparison.rows.iter().map(|row| row.label).collect();
    let find = |name: &String| {
        let found = labels.iter().position(|label| label.eq_ignore_ascii_case(name));
        found.ok_or_else(|| ReportError::UnknownRow { row: name.clone(), known: labels.join(", ") })
    };
    let named: Vec<usize> = names.iter().map(find).collect::<Result<_, _>>()?;
    let all = 0..labels.len();
    Ok(match *named {
        [] => all.clone().flat_map(|a| (a + 1..labels.len()).map(move |b| (a, b))).collect(),
        [a] => all.filter(|&b| b != a).map(|b| (a, b)).collect(),
        [a, b, ..] if a == b => return Err(ReportError::SameRow(labels[a].to_owned())),
        [a, b, ..] => vec![(a, b)],
    })
}

/// The comparisons of a task at a code length, with their p values adjusted for each other.
fn of_column<'a>(
    layout: &Layout<'a>,
    chosen: &[(usize, usize)],
    task: Task,
    (column, bits): (usize, usize),
) -> Vec<Pair<'a>> {
    let (rows, metric) = (&layout.comparison.rows, layout.metrics[0].as_str());
    let cell = |row: usize| rows[row].cells[column].as_ref().map(|cell| cell.shown());
    let pair = |&(a, b): &(usize, usize)| {
        let (first, second) = (cell(a)?, cell(b)?);
        let paired = Paired::of(&by_seed(first, second, task, metric))?;
        let definition = layout.report.header.definition;
        let queries = (metric == layout.primary()).then(|| by_query(first, second, task, layout.details, definition));
        let over_queries = queries.flatten().map(|differences| bootstrap(&differences, RESAMPLES, 0));
        Some(Pair { first: rows[a].label, second: rows[b].label, task, bits, paired, adjusted: None, over_queries })
    };
    let mut pairs: Vec<Pair<'a>> = chosen.iter().filter_map(pair).collect();
    let p: Vec<f64> = pairs.iter().filter_map(|pair| pair.paired.p).collect();
    let tested = pairs.iter_mut().filter(|pair| pair.paired.p.is_some());
    tested.zip(holm(&p)).for_each(|(pair, adjusted)| pair.adjusted = Some(adjusted));
    pairs
}

fn document(layout: &Layout<'_>, pairs: &[Pair<'_>]) -> Document {
    let header = &layout.report.header;
    let several = layout.several_tasks();
    let queries = pairs.iter().any(|pair| pair.over_queries.is_some());
    let row = |pair: &Pair<'_>| -> Vec<Content> {
        let task = several.then(|| pair.task.to_string());
        let over_queries = queries.then(|| interval(pair.over_queries));
        let name = format!("{} − {}", pair.first, pair.second);
        let cells = [pair.bits.to_string(), format!("{:+.3}", pair.paired.mean), interval(pair.paired.interval)];
        let tested = [pair.paired.n.to_string(), effect(pair), p(pair)];
        let all = [name].into_iter().chain(task).chain(cells).chain(over_queries).chain(tested);
        all.map(Content::plain).collect()
    };
    let task = several.then_some("task");
    let over_queries = queries.then_some("over queries");
    let columns = ["Methods"].into_iter().chain(task).chain(["bits", "difference", "over seeds"]);
    let columns = columns.chain(over_queries).chain(["n", "effect", "adjusted p"]).map(str::to_owned).collect();
    let metric = layout.title(&layout.metrics[0]);
    let levels = LEVELS.iter().zip(["*", "**", "***"]).map(|(level, stars)| format!("{stars} below {level}"));
    let resampled = format!("over queries: 95 % interval of {RESAMPLES} bootstrap resamples, mean over the seeds");
    let remarks = [
        format!("{NONE}: fewer than three seeds, or equal differences"),
        "effect: mean by sample deviation of the differences (Cohen's d of paired samples)".to_owned(),
        format!(
            "adjusted p, {}: two-sided paired t test, Holm's correction over the comparisons shown of equal task and bits",
            levels.collect::<Vec<_>>().join(", ")
        ),
    ];
    let remarks = remarks.into_iter().chain(queries.then_some(resampled)).collect();
    let facts = facts(layout).into_iter().map(|(name, text)| {
        let text = if name == "cells" { CELLS.to_owned() } else { text };
        (name, text)
    });
    let title = format!("{} (protocol {}): differences in {metric}", header.dataset_display, header.protocol);
    Document {
        title,
        cells: CELLS.to_owned(),
        facts: facts.collect(),
        warnings: Vec::new(),
        tables: vec![Table {
            title: format!("Differences in {metric}, paired by seed"),
            columns,
            rows: pairs.iter().map(row).collect(),
            remarks,
            ..Table::default()
        }],
        notes: Vec::new(),
        times: None,
    }
}

fn interval(interval: Option<Interval>) -> String {
    interval.map_or(NONE.to_owned(), |i| format!("{:+.3} to {:+.3}", i.low, i.high))
}

fn effect(pair: &Pair<'_>) -> String {
    pair.paired.effect.map_or(NONE.to_owned(), |effect| format!("{effect:+.1}"))
}

fn p(pair: &Pair<'_>) -> String {
    let Some(adjusted) = pair.adjusted else { return NONE.to_owned() };
    let stars = "*".repeat(LEVELS.iter().filter(|&&level| adjusted < level).count());
    if adjusted < 0.001 { format!("< 0.001{stars}") } else { format!("{adjusted:.3}{stars}") }
}

fn csv(metric: &str, pairs: &[Pair<'_>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let headings = [
        "first",
        "second",
        "task",
        "bits",
        "metric",
        "n",
        "difference",
        "low",
        "high",
        "effect",
        "p",
        "p_adjusted",
        "low_over_queries",
        "high_over_queries",
    ];
    writer.write_record(headings).expect("memory can be written");
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let ends = |interval: Option<Interval>| [number(interval.map(|i| i.low)), number(interval.map(|i| i.high))];
    for pair in pairs {
        let Paired { n, mean, effect, interval, p } = pair.paired;
        let names = [pair.first.to_owned(), pair.second.to_owned(), pair.task.key(), pair.bits.to_string()];
        let mean = [metric.to_owned(), n.to_string(), mean.to_string()];
        let test = [number(effect), number(p), number(pair.adjusted)];
        let fields = names.into_iter().chain(mean).chain(ends(interval)).chain(test).chain(ends(pair.over_queries));
        writer.write_record(fields).expect("memory can be written");
    }
    String::from_utf8(writer.into_inner().expect("memory can be written")).expect("fields are text")
}

fn json_text(metric: &str, pairs: &[Pair<'_>]) -> String {
    let ends = |interval: Option<Interval>| interval.map(|i| [i.low, i.high]);
    let pair = |pair: &Pair<'_>| {
        let Paired { n, mean, effect, interval, p } = pair.paired;
        json!({
            "first": pair.first, "second": pair.second, "task": pair.task.key(), "bits": pair.bits, "n": n,
            "difference": mean, "interval": ends(interval), "effect": effect, "p": p, "p_adjusted": pair.adjusted,
            "interval_over_queries": ends(pair.over_queries),
        })
    };
    let document: Json = json!({ "metric": metric, "comparisons": pairs.iter().map(pair).collect::<Vec<_>>() });
    serde_json::to_string_pretty(&document).expect("plain data") + "\n"
}
