//! Comparison of rows under equal seeds and queries: is one method better than another, or is that chance?

mod records;
mod written;

use hashlab_data::Task;
use hashlab_eval::{Interval, Paired, bootstrap, holm};

use crate::aggregate::Comparison;
use crate::details::Details;
use crate::encodings::apart;
use crate::error::ReportError;
use crate::layout::{Layout, RESAMPLES};
use crate::options::{Format, Options};
use crate::paired::{by_query, by_seed};
use crate::sweep_report::SweepReport;
use crate::{latex, markdown, metrics, text};
use written::document;

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
        Format::Text => text::write(&document(&layout, &pairs), options),
        Format::Markdown => markdown::write(&document(&layout, &pairs)),
        Format::Latex => latex::write(&document(&layout, &pairs), &format!("{}-compared", report.name)),
        Format::Csv => records::csv(&metrics[0], &pairs),
        Format::Json => records::json(&metrics[0], &pairs),
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
