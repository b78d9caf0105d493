//! Several sweeps in one table, as papers print them: method × (data set × bits), a block of rows per task.

use std::borrow::Cow;

use hashlab_data::Task;
use hashlab_store::SPLIT;
use serde_json::json;

use crate::aggregate::Comparison;
use crate::citations::{Citations, numbered};
use crate::data_groups::{DataGroup, grouped};
use crate::details::Details;
use crate::document::{Content, Document, Fact, Group, Notes, Table};
use crate::encodings::apart;
use crate::error::ReportError;
use crate::facts::{cells_in_short, facts, provenance};
use crate::layout::Layout;
use crate::marks::{LEGEND, WITH_NOISE};
use crate::notes::lists;
use crate::options::{Format, Options};
use crate::published::Published;
use crate::sweep_report::{ReportedRun, SweepReport};
use crate::tables::method_table;
use crate::warnings::warnings;
use crate::wording::joined as listed;
use crate::{csv, json, latex, markdown, metrics, text};

/// A group of columns: what was measured on one data set in one setting.
struct Part<'a> {
    title: &'a str,
    layout: Layout<'a>,
    citations: Citations<'a>,
}

/// Renders several sweeps as one table: sweeps of one data set, protocol and depth share their columns.
pub(crate) fn write(
    reports: &[SweepReport],
    published: &[Published],
    details: &Details,
    options: &Options,
) -> Result<String, ReportError> {
    if options.all {
        return Err(ReportError::AllOfSeveral);
    }
    if options.latency && !matches!(options.format, Format::Csv | Format::Json) {
        return Err(ReportError::TimesOfSeveral);
    }
    options.check()?;
    let groups = grouped(reports);
    let metrics = chosen(reports, options)?;
    let runs: Vec<Cow<'_, [ReportedRun]>> = groups.iter().map(|group| apart(&group.report.runs)).collect();
    let comparisons: Vec<Comparison<'_>> = runs.iter().map(|runs| Comparison::of(runs)).collect();
    let mut cited = Vec::new();
    let parts: Vec<Part<'_>> = groups
        .iter()
        .zip(&comparisons)
        .map(|(DataGroup { title, report }, comparison)| {
            let layout = Layout { report, comparison, published, metrics: &metrics, details, options };
            let citations = Citations::of(&layout, &mut cited);
            Part { title, layout, citations }
        })
        .collect();
    let name = reports.iter().map(|report| report.name.as_str()).collect::<Vec<_>>().join("-");
    Ok(match options.format {
        Format::Text => text::write(&document(&parts, &metrics, &cited), options),
        Format::Markdown => markdown::write(&document(&parts, &metrics, &cited)),
        Format::Latex => latex::write(&document(&parts, &metrics, &cited), &name),
        Format::Csv => parts.iter().enumerate().map(|(at, part)| csv::lines(&part.layout, at == 0)).collect(),
        Format::Json => {
            let sweeps: Vec<_> = parts.iter().map(|part| json::value_of(&part.layout)).collect();
            serde_json::to_string_pretty(&json!({ "sweeps": sweeps })).expect("plain data") + "\n"
        }
        Format::Jsonl => return Err(ReportError::JsonlOfSeveral),
    })
}

/// The metrics asked for, or the primary metric of all sweeps.
fn chosen(reports: &[SweepReport], options: &Options) -> Result<Vec<String>, ReportError> {
    for report in reports {
        metrics::chosen(report, &options.metrics)?;
    }
    if !options.metrics.is_empty() {
        return Ok(options.metrics.clone());
    }
    let primary = reports[0].header.primary();
    match reports.iter().find(|report| report.header.primary() != primary) {
        None => Ok(vec![primary.to_owned()]),
        Some(other) => Err(ReportError::DifferentDefinitions {
            first: format!("{} ({})", reports[0].name, reports[0].header.definition.name()),
            second: format!("{} ({})", other.name, other.header.definition.name()),
        }),
    }
}

fn document(parts: &[Part<'_>], metrics: &[String], cited: &[String]) -> Document {
    let titles = parts.iter().map(|part| part.title);
    let first = &parts[0].layout;
    let of_part = |part: &Part<'_>, lines: Vec<String>| -> Vec<String> {
        lines.into_iter().map(|line| format!("{}: {line}", part.title)).collect()
    };
    Document {
        title: format!("{}: {}", listed(titles), title(parts, &metrics[0])),
        cells: cells_in_short(first),
        facts: merged_facts(parts),
        warnings: parts.iter().flat_map(|part| of_part(part, warnings(&part.layout))).collect(),
        tables: metrics.iter().map(|metric| table(parts, metric)).collect(),
        notes: merged_notes(parts, cited),
        times: Vec::new(),
    }
}

/// The heading of a metric; with `K` where depths differ, which then stand with the data sets.
fn title(parts: &[Part<'_>], metric: &str) -> String {
    let depth = parts[0].layout.report.header.map_at;
    let same = parts.iter().all(|part| part.layout.report.header.map_at == depth);
    match metrics::info(metric) {
        Some(info) if !same && info.title.contains('K') => info.title.to_owned(),
        _ => parts[0].layout.title(metric),
    }
}

/// The facts of all parts: once where they agree, else each with its part's title.
fn merged_facts(parts: &[Part<'_>]) -> Vec<Fact> {
    let of_part = |part: &Part<'_>| facts(&part.layout).into_iter().chain(sizes(part)).collect();
    let all: Vec<Vec<Fact>> = parts.iter().map(of_part).collect();
    let mut merged: Vec<Fact> = Vec::new();
    for fact in &all[0] {
        if all.iter().all(|facts| facts.contains(fact)) {
            merged.push(fact.clone());
        }
    }
    for (part, facts) in parts.iter().zip(&all) {
        let own = facts.iter().filter(|fact| !merged.contains(fact)).cloned().collect::<Vec<_>>();
        merged.extend(own.into_iter().map(|(name, text)| (name, format!("{}: {text}", part.title))));
    }
    merged
}

/// The numbers of queries and items behind a part's columns. Those of other data sets, splits or settings of `[data]` differ,
/// and so do their numbers.
fn sizes(part: &Part<'_>) -> Option<Fact> {
    let sizes = provenance(part.layout.report, SPLIT);
    (!sizes.is_empty()).then(|| ("items".to_owned(), sizes.into_iter().collect::<Vec<_>>().join("; ")))
}

fn merged_notes(parts: &[Part<'_>], cited: &[String]) -> Vec<Notes> {
    let mut merged: Vec<Notes> = Vec::new();
    for part in parts {
        for notes in lists(&part.layout, &[]) {
            let lines = notes.lines.into_iter().map(|line| match line.strip_prefix("  ") {
                Some(_) => line,
                None => format!("{}: {line}", part.title),
            });
            match merged.iter_mut().find(|known| known.title == notes.title) {
                Some(known) => known.lines.extend(lines),
                None => merged.push(Notes { title: notes.title, lines: lines.collect() }),
            }
        }
    }
    if !cited.is_empty() {
        merged.push(Notes { title: "Published", lines: numbered(cited) });
    }
    merged
}

/// A metric's table.
fn table(parts: &[Part<'_>], metric: &str) -> Table {
    let mut tasks: Vec<Task> = parts.iter().flat_map(|part| part.layout.comparison.tasks.iter().copied()).collect();
    tasks.sort();
    tasks.dedup();
    let group = |part: &Part<'_>| Group { title: part.title.to_owned(), columns: part.columns() };
    let bits = parts.iter().flat_map(|part| &part.layout.comparison.bits).map(|bits| format!("{bits} bits"));
    let mut table = Table {
        title: title(parts, metric),
        groups: parts.iter().map(group).collect(),
        columns: ["Method".to_owned()].into_iter().chain(bits).collect(),
        ..Table::default()
    };
    for &task in &tasks {
        if tasks.len() > 1 {
            table.blocks.push((table.rows.len(), task.to_string()));
        }
        add_block(&mut table, parts, metric, task);
    }
    table
}

/// Adds the rows of a task.
fn add_block(table: &mut Table, parts: &[Part<'_>], metric: &str, task: Task) {
    let mut rows = Rows::default();
    let mut before = 0;
    for part in parts {
        if part.layout.comparison.tasks.contains(&task) {
            let own = method_table(&part.layout, metric, &[task], &part.citations);
            rows.add(&part.layout, before, own.rows);
            own.legend.into_iter().for_each(|entry| add(&mut table.legend, entry));
            own.remarks.into_iter().for_each(|remark| add_remark(&mut table.remarks, remark));
        }
        before += part.columns();
    }
    // One legend speaks of all columns: noise has a part in it, or not.
    if table.legend.contains(&WITH_NOISE[0]) {
        table.legend.retain(|entry| *entry != LEGEND[0]);
    }
    table.rows.extend(rows.filled(before));
}

fn add<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

/// Adds a remark unless it is known, or the beginning of a longer one.
fn add_remark(remarks: &mut Vec<String>, remark: String) {
    if !remarks.iter().any(|known| known.starts_with(&remark)) {
        remarks.retain(|known| !remark.starts_with(known.as_str()));
        remarks.push(remark);
    }
}

impl Part<'_> {
    fn columns(&self) -> usize {
        self.layout.comparison.bits.len()
    }
}

/// Rows by name: a method's, then those of what was published of it.
#[derive(Default)]
struct Rows(Vec<Row>);

struct Row {
    method: String,
    name: String,
    /// Cells, each with its column.
    cells: Vec<(usize, Content)>,
}

impl Rows {
    /// Adds the rows of a part, whose cells follow `before` others.
    fn add(&mut self, layout: &Layout<'_>, before: usize, rows: Vec<Vec<Content>>) {
        let labels: Vec<&str> = layout.comparison.rows.iter().map(|row| row.label).collect();
        let mut method = String::new();
        for row in rows {
            let mut cells = row.into_iter();
            let name = cells.next().map(|content| content.text).unwrap_or_default();
            if labels.contains(&name.as_str()) {
                method.clone_from(&name);
            }
            let cells = cells.enumerate().map(|(at, content)| (before + at, content));
            self.row(&method, &name).cells.extend(cells);
        }
    }

    fn row(&mut self, method: &str, name: &str) -> &mut Row {
        let known = self.0.iter().position(|row| row.method == method && row.name == name);
        let place = known.unwrap_or_else(|| {
            let behind = self.0.iter().rposition(|row| row.method == method).map_or(self.0.len(), |last| last + 1);
            self.0.insert(behind, Row { method: method.to_owned(), name: name.to_owned(), cells: Vec::new() });
            behind
        });
        &mut self.0[place]
    }

    /// The rows with blanks where a part has no such row.
    fn filled(self, columns: usize) -> impl Iterator<Item = Vec<Content>> {
        self.0.into_iter().map(move |row| {
            let mut cells = vec![Content::default(); columns];
            row.cells.into_iter().for_each(|(at, content)| cells[at] = content);
            [Content::plain(row.name)].into_iter().chain(cells).collect()
        })
    }
}
