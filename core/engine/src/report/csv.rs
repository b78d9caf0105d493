//! For a spreadsheet: one line per cell or trial, full precision. Each line carries the header, so that files of
//! several sweeps can be concatenated and read without options.

use super::aggregate::{Cell, Value};
use super::layout::View;
use super::metric::{self, HEADLINE};
use super::notes::provenance;
use super::papers::Papers;
use crate::record::canonical;

type Field = (String, String);

/// Writes the comparison; a number that does not exist is an empty field.
pub(super) fn write(view: &View<'_>) -> String {
    let papers = Papers::of(view);
    let header = header(view);
    let record = |(label, cell, i)| [header.clone(), record(view, &papers, label, cell, i)].concat();
    let lines: Vec<Vec<Field>> = view.trials().map(record).collect();
    let names = lines.first().map(|fields| line(fields.iter().map(|(name, _)| name.as_str())));
    let values = lines.iter().map(|fields| line(fields.iter().map(|(_, value)| value.as_str())));
    names.into_iter().chain(values).collect()
}

/// What all lines share.
fn header(view: &View<'_>) -> Vec<Field> {
    let header = &view.report.header;
    let runs = |key: &str| provenance(view.report, key).into_iter().collect::<Vec<_>>().join(" ");
    vec![
        field("sweep", &view.report.name),
        field("dataset", &header.dataset),
        field("dataset_digest", header.dataset_digest.as_deref().unwrap_or_default()),
        field("protocol", &header.protocol),
        field("map_at", metric::map_at(header.map_at)),
        field("map_definition", metric::definition(HEADLINE, header.map_at).unwrap_or_default()),
        field("epoch_selection", &header.selection),
        field("backbone", &header.backbone),
        field("weights_digest", header.weights_digest.as_deref().unwrap_or_default()),
        field("hashlab", runs("hashlab")),
        field("commits", runs("commit")),
    ]
}

fn record(view: &View<'_>, papers: &Papers<'_>, label: &str, cell: &Cell<'_>, i: usize) -> Vec<Field> {
    let trial = &cell.trials[i];
    let mut fields = vec![
        field("method", label),
        field("bits", trial.bits),
        field("trial", trial.id),
        field("point", canonical(&trial.point.clone().into())),
        field("selected", i == cell.selected),
        field("state", view.value(cell, i, HEADLINE).name()),
        field("seeds_planned", trial.runs.len()),
        field("seeds_finished", trial.finished().count()),
        field("validation_mean", number(trial.validation())),
    ];
    fields.extend(view.metrics.iter().flat_map(|m| statistic(m, trial.value(m))));
    if view.options.times {
        fields.extend(["train", "encode"].map(|s| field(&format!("{s}_seconds"), number(trial.seconds(s)))));
        fields.push(field("peak_memory_mib", trial.peak_memory().map_or(String::new(), |mib| mib.to_string())));
    }
    fields.extend(paper(papers, label, trial.bits));
    let runs: Vec<&str> = trial.runs.iter().map(|e| e.run.0.as_str()).collect();
    fields.push(field("runs", runs.join(" ")));
    fields
}

fn statistic(metric: &str, value: Value) -> [Field; 3] {
    let found = match value {
        Value::Measured(statistic) => Some(statistic),
        _ => None,
    };
    [
        field(&format!("{metric}_mean"), number(found.map(|s| s.mean))),
        field(&format!("{metric}_std"), number(found.and_then(|s| s.std))),
        field(&format!("{metric}_n"), found.map_or(0, |s| s.n)),
    ]
}

/// Several sources share the fields, separated by semicolons.
fn paper(papers: &Papers<'_>, label: &str, bits: usize) -> [Field; 2] {
    let cited: Vec<(f64, &str)> = papers.cited_for(label, bits).collect();
    let values: Vec<String> = cited.iter().map(|(value, _)| value.to_string()).collect();
    let sources: Vec<&str> = cited.iter().map(|(_, note)| *note).collect();
    [field("paper", values.join("; ")), field("paper_source", sources.join("; "))]
}

fn field(name: &str, value: impl ToString) -> Field {
    (name.to_owned(), value.to_string())
}

/// The shortest decimal that reads back as the same number.
fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |v| v.to_string())
}

fn line<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
