//! The sentences around the tables: header facts, warnings, selected points, unfinished runs.

use std::collections::BTreeSet;

use super::aggregate::{Cell, Row};
use super::document::{Notes, one_line};
use super::layout::{View, point};
use super::metric::{self, HEADLINE};
use super::papers::Papers;
use super::{Entry, Outcome, SweepReport};

/// What must be known to read the numbers.
pub(super) fn facts(view: &View<'_>) -> Vec<(&'static str, String)> {
    let header = &view.report.header;
    let digest =
        |d: &Option<String>, what: &str| d.as_ref().map_or(String::new(), |d| format!("; {what} {}", short(d)));
    let mut facts = vec![
        ("dataset", format!("{}{}", header.dataset_title, digest(&header.dataset_digest, "digest"))),
        ("protocol", format!("{}: {}", header.protocol, header.protocol_description)),
    ];
    // The headline selects, so it is defined even where it is not shown.
    let others = view.metrics.iter().map(String::as_str).filter(|m| *m != HEADLINE);
    for name in [HEADLINE].into_iter().chain(others) {
        let definition = metric::definition(name, header.map_at);
        facts.extend(definition.map(|d| ("metric", format!("{}: {d}", view.title(name)))));
    }
    facts.extend([
        ("cells", cells(view)),
        ("selection", selection(view)),
        ("backbone", format!("{}{}", header.backbone, digest(&header.weights_digest, "weights"))),
    ]);
    facts.extend(software(view.report).map(|s| ("software", s)));
    facts.push(("command", header.command.clone()));
    facts.extend(header.notes.iter().map(|n| ("note", n.clone())));
    facts
}

/// What makes the numbers doubtful.
pub(super) fn warnings(view: &View<'_>) -> Vec<String> {
    let header = &view.report.header;
    let mixed = |key: &str, what: &str, declared: &Option<String>| {
        let mut found = provenance(view.report, key);
        found.extend(declared.as_deref().map(short));
        (found.len() > 1).then(|| format!("{} {what}: {}", found.len(), joined(found)))
    };
    let blind = view.comparison.cells().filter(|(_, cell)| cell.selected_blindly());
    let blind = blind.map(|(label, cell)| {
        format!("no validation mAP for {label}, {} bits: shows the first trial of the plan", cell.shown().bits)
    });
    [
        mixed("hashlab", "hashlab versions among the runs", &None),
        mixed("commit", "commits among the runs", &None),
        mixed("dataset_digest", "data set digests among the runs", &header.dataset_digest),
        mixed("weights_digest", "weights digests among the runs", &header.weights_digest),
    ]
    .into_iter()
    .flatten()
    .chain(blind)
    .collect()
}

/// The lists below the metric tables.
pub(super) fn lists(view: &View<'_>, papers: &Papers<'_>) -> Vec<Notes> {
    let of_cells = if view.options.all {
        Vec::new()
    } else {
        let selected = view.comparison.rows.iter().flat_map(selected).collect();
        let sources = if view.metrics.iter().any(|m| m == HEADLINE) { papers.notes() } else { Vec::new() };
        vec![Notes { title: "Selected", lines: selected }, Notes { title: "Published", lines: sources }]
    };
    let unfinished = view.comparison.cells().flat_map(|(label, cell)| unfinished(label, cell)).collect();
    let all = of_cells.into_iter().chain([Notes { title: "Not finished", lines: unfinished }]);
    all.filter(|notes| !notes.lines.is_empty()).collect()
}

/// Where the times were taken.
pub(super) fn devices(view: &View<'_>) -> Vec<String> {
    let devices = provenance(view.report, "device");
    let mean = "mean over the finished seeds".to_owned();
    if devices.is_empty() { vec![mean] } else { vec![format!("{mean}; device: {}", joined(devices))] }
}

/// Distinct values of a provenance key over the runs that finished, digests shortened.
pub(super) fn provenance(report: &SweepReport, key: &str) -> BTreeSet<String> {
    let value = |e: &Entry| match &e.outcome {
        Outcome::Finished(result) => result.provenance.get(key).map(|v| short(v)),
        _ => None,
    };
    report.entries.iter().filter_map(value).collect()
}

/// Says what a cell holds, with the number of seeds where it is the same everywhere.
fn cells(view: &View<'_>) -> String {
    let seeds: BTreeSet<u64> = view.report.entries.iter().map(|e| e.seed).collect();
    let list = joined(seeds.iter().map(u64::to_string));
    match view.comparison.seeds_per_trial() {
        Some(1) => format!("one seed ({list}), no deviation"),
        Some(n) => format!("mean ± sample standard deviation over n = {n} seeds ({list})"),
        None => format!("mean ± sample standard deviation over n seeds (of {list})"),
    }
}

fn selection(view: &View<'_>) -> String {
    let headline = view.title(HEADLINE);
    format!("epoch: {}; trial: best mean validation {headline} over its seeds", view.report.header.selection)
}

fn software(report: &SweepReport) -> Option<String> {
    let part = |key: &str, what: &str| {
        let found = provenance(report, key);
        (!found.is_empty()).then(|| format!("{what} {}", joined(found)))
    };
    let parts: Vec<String> = [part("hashlab", "hashlab"), part("commit", "commit")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The grid points that a row's cells show, code lengths with the same point on one line.
fn selected(row: &Row<'_>) -> Vec<String> {
    let mut points: Vec<(String, Vec<usize>)> = Vec::new();
    for trial in row.cells.iter().flatten().map(Cell::shown).filter(|t| t.any_finished() && !t.point.is_empty()) {
        let text = point(trial.point);
        match points.iter_mut().find(|(known, _)| *known == text) {
            Some((_, bits)) => bits.push(trial.bits),
            None => points.push((text, vec![trial.bits])),
        }
    }
    let line = |(text, bits): (String, Vec<usize>)| format!("{} {} bits: {text}", row.label, joined(bits));
    points.into_iter().map(line).collect()
}

/// Counts what a cell lacks, over all its trials, and quotes each distinct reason once.
fn unfinished(label: &str, cell: &Cell<'_>) -> Vec<String> {
    let runs: Vec<&Entry> = cell.trials.iter().flat_map(|t| &t.runs).copied().collect();
    let count = |state: &str| runs.iter().filter(|e| e.outcome.name() == state).count();
    let counts: Vec<String> = ["failed", "diverged", "missing"]
        .into_iter()
        .filter(|state| count(state) > 0)
        .map(|state| format!("{} {state}", count(state)))
        .collect();
    if counts.is_empty() {
        return Vec::new();
    }
    let summary = format!("{label} {} bits: {} of {} runs", cell.shown().bits, counts.join(", "), runs.len());
    [summary].into_iter().chain(reasons(&runs)).collect()
}

fn reasons(runs: &[&Entry]) -> Vec<String> {
    let mut reasons: Vec<(String, &Entry, usize)> = Vec::new();
    for run in runs {
        let Some(reason) = reason(run) else { continue };
        match reasons.iter_mut().find(|(known, _, _)| *known == reason) {
            Some((_, _, count)) => *count += 1,
            None => reasons.push((reason, run, 1)),
        }
    }
    let more = |count: usize| if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    reasons.into_iter().map(|(reason, run, count)| format!("  {}{}: {reason}", run.run, more(count))).collect()
}

fn reason(run: &Entry) -> Option<String> {
    match &run.outcome {
        Outcome::Failed { first_line } => Some(one_line(first_line)),
        Outcome::Diverged(result) => result.message.as_deref().map(one_line),
        _ => None,
    }
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

/// Shortens a hexadecimal digest to twelve digits; keeps what follows it, e.g. `-dirty`.
pub(super) fn short(digest: &str) -> String {
    let hex = digest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digest.len());
    format!("{}{}", &digest[..hex.min(12)], &digest[hex..])
}
