//! Comparison of rows by seed: is one method better than another, or is that the seeds?

use hashlab_data::Task;
use hashlab_eval::{Paired, holm};
use serde_json::{Value as Json, json};

use crate::aggregate::{Comparison, Setting};
use crate::document::{Content, Document, Mark, Table};
use crate::encodings::apart;
use crate::error::ReportError;
use crate::facts::facts;
use crate::layout::Layout;
use crate::options::{Format, Options};
use crate::sweep_report::SweepReport;
use crate::wording::NONE;
use crate::{latex, markdown, metrics, text};

/// Levels at which an adjusted p value gets a star more.
const LEVELS: [f64; 3] = [0.05, 0.01, 0.001];

/// What a line holds.
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
}

/// Compares rows of a sweep, paired by seed, in the first of [`Options::metrics`] or the primary metric.
///
/// `rows` names none, for every pair of rows, one, to compare it with every other, or two. Each row shows the setting that
/// its validation queries selected. A method without randomness has one value, which is compared with each seed's.
///
/// # Errors
/// [`ReportError::UnknownRow`], or as [`render`](crate::render).
pub fn compare(report: &SweepReport, rows: &[String], options: &Options) -> Result<String, ReportError> {
    let runs = apart(&report.runs);
    let comparison = Comparison::of(&runs);
    let metrics = metrics::chosen(report, &options.metrics)?;
    let layout = Layout { report, comparison: &comparison, published: &[], metrics: &metrics[..1], options };
    let chosen = chosen(&comparison, rows)?;
    let mut pairs = Vec::new();
    for &task in &comparison.tasks {
        for (column, &bits) in comparison.bits.iter().enumerate() {
            pairs.extend(of_column(&comparison, &chosen, task, (column, bits), &metrics[0]));
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
        [a, b, ..] => vec![(a, b)],
    })
}

/// The comparisons of a task at a code length, with their p values adjusted for each other.
fn of_column<'a>(
    comparison: &Comparison<'a>,
    chosen: &[(usize, usize)],
    task: Task,
    (column, bits): (usize, usize),
    metric: &str,
) -> Vec<Pair<'a>> {
    let cell = |row: usize| comparison.rows[row].cells[column].as_ref().map(|cell| cell.shown());
    let pair = |&(a, b): &(usize, usize)| {
        let paired = Paired::of(&by_seed(cell(a)?, cell(b)?, task, metric))?;
        let (first, second) = (comparison.rows[a].label, comparison.rows[b].label);
        Some(Pair { first, second, task, bits, paired, adjusted: None })
    };
    let mut pairs: Vec<Pair<'a>> = chosen.iter().filter_map(pair).collect();
    let p: Vec<f64> = pairs.iter().filter_map(|pair| pair.paired.p).collect();
    let tested = pairs.iter_mut().filter(|pair| pair.paired.p.is_some());
    tested.zip(holm(&p)).for_each(|(pair, adjusted)| pair.adjusted = Some(adjusted));
    pairs
}

/// The values of two settings under the same seeds.
fn by_seed(first: &Setting<'_>, second: &Setting<'_>, task: Task, metric: &str) -> Vec<(f64, f64)> {
    let (first_values, second_values) = (values(first, task, metric), values(second, task, metric));
    let of_seed = |values: &[(u64, f64)], seeded: bool, seed: u64| {
        let found = values.iter().find(|(of, _)| !seeded || *of == seed);
        found.map(|(_, value)| *value)
    };
    let seeds = if first.seeded() { &first_values } else { &second_values };
    let pair = |&(seed, _): &(u64, f64)| {
        Some((of_seed(&first_values, first.seeded(), seed)?, of_seed(&second_values, second.seeded(), seed)?))
    };
    seeds.iter().filter_map(pair).collect()
}

fn values(setting: &Setting<'_>, task: Task, metric: &str) -> Vec<(u64, f64)> {
    let value = |run: &&crate::ReportedRun| {
        let value = run.finished()?.test.get(&task)?.metrics.get(metric).copied()?;
        value.is_finite().then_some((run.seed, value))
    };
    setting.runs.iter().copied().filter_map(|run| value(&run)).collect()
}

fn document(layout: &Layout<'_>, pairs: &[Pair<'_>]) -> Document {
    let header = &layout.report.header;
    let several = layout.several_tasks();
    let row = |pair: &Pair<'_>| -> Vec<Content> {
        let task = several.then(|| Content::plain(pair.task.to_string()));
        let cells = [pair.bits.to_string(), difference(pair), interval(pair), pair.paired.n.to_string(), p(pair)];
        let name = Content::plain(format!("{} − {}", pair.first, pair.second));
        [name].into_iter().chain(task).chain(cells.map(Content::plain)).collect()
    };
    let task = several.then_some("task");
    let headings = ["bits", "difference", "95 % interval", "n", "adjusted p"];
    let columns = ["Methods"].into_iter().chain(task).chain(headings).map(str::to_owned).collect();
    let metric = layout.title(&layout.metrics[0]);
    let levels = LEVELS.iter().zip(["*", "**", "***"]).map(|(level, stars)| format!("{stars} below {level}"));
    let remarks = vec![
        format!("{NONE}: fewer than three seeds, or equal differences"),
        format!(
            "adjusted p, {}: two-sided paired t test, Holm's correction over the rows of equal task and bits",
            levels.collect::<Vec<_>>().join(", ")
        ),
    ];
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
            groups: Vec::new(),
            columns,
            rows: pairs.iter().map(row).collect(),
            legend: Vec::<(Mark, &'static str)>::new(),
            remarks,
        }],
        notes: Vec::new(),
        times: None,
    }
}

fn difference(pair: &Pair<'_>) -> String {
    format!("{:+.3}", pair.paired.mean)
}

fn interval(pair: &Pair<'_>) -> String {
    pair.paired.interval.map_or(NONE.to_owned(), |i| format!("{:+.3} to {:+.3}", i.low, i.high))
}

fn p(pair: &Pair<'_>) -> String {
    let Some(adjusted) = pair.adjusted else { return NONE.to_owned() };
    let stars = "*".repeat(LEVELS.iter().filter(|&&level| adjusted < level).count());
    if adjusted < 0.001 { format!("< 0.001{stars}") } else { format!("{adjusted:.3}{stars}") }
}

fn csv(metric: &str, pairs: &[Pair<'_>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let headings = ["first", "second", "task", "bits", "metric", "n", "difference", "low", "high", "p", "p_adjusted"];
    writer.write_record(headings).expect("memory can be written");
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for pair in pairs {
        let Paired { n, mean, interval, p } = pair.paired;
        let (task, bits, n, mean) = (pair.task.key(), pair.bits.to_string(), n.to_string(), mean.to_string());
        let (low, high) = (number(interval.map(|i| i.low)), number(interval.map(|i| i.high)));
        let (p, adjusted) = (number(p), number(pair.adjusted));
        let fields = [pair.first, pair.second, &task, &bits, metric, &n, &mean, &low, &high, &p, &adjusted];
        writer.write_record(fields).expect("memory can be written");
    }
    String::from_utf8(writer.into_inner().expect("memory can be written")).expect("fields are text")
}

fn json_text(metric: &str, pairs: &[Pair<'_>]) -> String {
    let pair = |pair: &Pair<'_>| {
        let Paired { n, mean, interval, p } = pair.paired;
        json!({
            "first": pair.first, "second": pair.second, "task": pair.task.key(), "bits": pair.bits, "n": n,
            "difference": mean, "interval": interval.map(|i| [i.low, i.high]), "p": p, "p_adjusted": pair.adjusted,
        })
    };
    let document: Json = json!({ "metric": metric, "comparisons": pairs.iter().map(pair).collect::<Vec<_>>() });
    serde_json::to_string_pretty(&document).expect("plain data") + "\n"
}
