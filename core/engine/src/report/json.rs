//! For programs: everything the tables show, structured, at full precision.

use serde_json::{Map, Value as Json, json};

use super::aggregate::{Cell, Value};
use super::layout::View;
use super::metric::{self, HEADLINE};
use super::notes::{self, provenance};
use super::{Entry, Outcome};
use crate::record::SCHEMA;

/// Writes the comparison as one object; a number that does not exist is null.
pub(super) fn write(view: &View<'_>) -> String {
    let depth = view.report.header.map_at;
    let metrics: Vec<Json> = view
        .metrics
        .iter()
        .map(|m| json!({ "name": m, "title": view.title(m), "definition": metric::definition(m, depth) }))
        .collect();
    let published: Vec<_> =
        view.published.iter().filter(|p| view.comparison.rows.iter().any(|row| row.label == p.method)).collect();
    let report = json!({
        "schema": SCHEMA,
        "name": view.report.name,
        "header": view.report.header,
        "definition": metric::definition(HEADLINE, depth),
        "software": { "hashlab": provenance(view.report, "hashlab"), "commits": provenance(view.report, "commit") },
        "warnings": notes::warnings(view),
        "metrics": metrics,
        "rows": view.trials().map(|(label, cell, i)| row(view, label, cell, i)).collect::<Vec<_>>(),
        "published": published,
    });
    serde_json::to_string_pretty(&report).expect("plain data") + "\n"
}

/// A cell, or a trial.
fn row(view: &View<'_>, label: &str, cell: &Cell<'_>, i: usize) -> Json {
    let trial = &cell.trials[i];
    let metrics = view.metrics.iter().map(|m| (m.clone(), value(view.value(cell, i, m))));
    let metrics: Map<String, Json> = metrics.collect();
    let mut row = json!({
        "method": label,
        "bits": trial.bits,
        "trial": trial.id,
        "point": trial.point,
        "selected": i == cell.selected,
        "validation": trial.validation(),
        "metrics": metrics,
        "runs": trial.runs.iter().map(|e| run(e)).collect::<Vec<_>>(),
    });
    if view.options.times {
        row["seconds"] = json!({ "train": trial.seconds("train"), "encode": trial.seconds("encode") });
        row["peak_memory_mib"] = json!(trial.peak_memory());
    }
    row
}

fn value(value: Value) -> Json {
    match value {
        Value::Measured(s) => {
            json!({ "state": value.name(), "mean": s.mean, "std": s.std, "n": s.n, "planned": s.planned })
        }
        _ => json!({ "state": value.name(), "mean": null, "std": null }),
    }
}

fn run(entry: &Entry) -> Json {
    let reason = match &entry.outcome {
        Outcome::Failed { first_line } => Some(first_line),
        Outcome::Diverged(result) => result.message.as_ref(),
        _ => None,
    };
    json!({ "run": entry.run, "seed": entry.seed, "status": entry.outcome.name(), "message": reason })
}
