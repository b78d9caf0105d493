//! Lists below the tables: selected settings, published sources, unfinished runs.

use std::collections::BTreeMap;

use crate::aggregate::{Cell, Row};
use crate::citations::numbered;
use crate::document::Notes;
use crate::extent::REASONS;
use crate::layout::Layout;
use crate::sweep_report::{Outcome, ReportedRun};
use crate::wording::{joined, one_line, point};
use hashlab_store::counted;

/// The lists below the metric tables; `cited` are the notes on published values.
pub(crate) fn lists(layout: &Layout<'_>, cited: &[String]) -> Vec<Notes> {
    let of_cells = if layout.options.all {
        Vec::new()
    } else {
        let selected = layout.comparison.rows.iter().flat_map(selected).collect();
        let primary = layout.metrics.iter().any(|m| m == layout.primary());
        let sources = if primary { numbered(cited) } else { Vec::new() };
        vec![Notes { title: "Selected", lines: selected }, Notes { title: "Published", lines: sources }]
    };
    let unfinished = layout.comparison.cells().flat_map(|(label, cell)| unfinished(label, cell)).collect();
    let stopped = layout.comparison.cells().filter_map(|(label, cell)| stopped(label, cell)).collect();
    let all = of_cells
        .into_iter()
        .chain([Notes { title: "Stopped early", lines: stopped }, Notes { title: "Not finished", lines: unfinished }]);
    all.filter(|notes| !notes.lines.is_empty()).collect()
}

/// The settings that a row's cells show, code lengths with the same one on one line.
fn selected(row: &Row<'_>) -> Vec<String> {
    let mut points: Vec<(String, Vec<usize>)> = Vec::new();
    for setting in row.shown().filter(|s| s.any_finished() && !s.point.is_empty()) {
        let text = point(setting.point);
        match points.iter_mut().find(|(known, _)| *known == text) {
            Some((_, bits)) => bits.push(setting.bits),
            None => points.push((text, vec![setting.bits])),
        }
    }
    let line = |(text, bits): (String, Vec<usize>)| format!("{}, {} bits: {text}", row.label, joined(bits));
    points.into_iter().map(line).collect()
}

/// Counts the runs of a cell that were stopped, by epoch.
fn stopped(label: &str, cell: &Cell<'_>) -> Option<String> {
    let runs = || cell.settings.iter().flat_map(|setting| &setting.runs);
    let mut epochs: BTreeMap<usize, usize> = BTreeMap::new();
    for run in runs() {
        if let Outcome::Stopped { epoch } = run.outcome {
            *epochs.entry(epoch).or_default() += 1;
        }
    }
    let parts: Vec<String> = epochs.iter().map(|(epoch, count)| format!("{count} at epoch {epoch}")).collect();
    let of = counted(runs().count(), "run");
    (!parts.is_empty()).then(|| format!("{label}, {} bits: {} of {of}", cell.shown().bits, parts.join(", ")))
}

/// Counts what a cell lacks, over all its settings, and quotes each distinct reason once.
fn unfinished(label: &str, cell: &Cell<'_>) -> Vec<String> {
    let runs: Vec<&ReportedRun> = cell.settings.iter().flat_map(|s| &s.runs).copied().collect();
    let count = |state: &str| runs.iter().filter(|r| r.outcome.name() == state).count();
    let counts: Vec<String> = ["failed", "diverged", "missing"]
        .into_iter()
        .filter(|state| count(state) > 0)
        .map(|state| format!("{} {state}", count(state)))
        .collect();
    if counts.is_empty() {
        return Vec::new();
    }
    let of = counted(runs.len(), "run");
    let summary = format!("{label}, {} bits: {} of {of}", cell.shown().bits, counts.join(", "));
    [summary].into_iter().chain(reasons(&runs)).collect()
}

/// Indented lines.
fn reasons(runs: &[&ReportedRun]) -> Vec<String> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut reasons: Vec<(&ReportedRun, usize)> = Vec::new();
    for run in runs {
        let Some(reason) = run.reason().map(one_line) else { continue };
        let place = *places.entry(reason).or_insert(reasons.len());
        match reasons.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => reasons.push((run, 1)),
        }
    }
    let further = reasons.len().saturating_sub(REASONS);
    let further = (further > 0).then(|| format!("  and {}", counted(further, "more reason")));
    let more = |count: usize| if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    let line = |(run, count): (&ReportedRun, usize)| {
        format!("  {}{}: {}", run.run, more(count), one_line(run.reason().unwrap_or_default()))
    };
    reasons.into_iter().take(REASONS).map(line).chain(further).collect()
}
