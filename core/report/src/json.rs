//! For programs: everything the tables show, structured, at full precision.

use std::collections::BTreeMap;

use hashlab_store::{ENCODE_ITEM, SCHEMA, SEARCH_QUERY};
use serde_json::{Map, Value as Json, json};

use crate::aggregate::{Cell, Value};
use crate::facts::{builds, provenance};
use crate::layout::Layout;
use crate::metrics;
use crate::sweep_report::ReportedRun;
use crate::warnings::warnings;

/// Writes the comparison as one object; a number that does not exist is null.
pub(crate) fn write(layout: &Layout<'_>) -> String {
    serde_json::to_string_pretty(&value_of(layout)).expect("plain data") + "\n"
}

/// The comparison as one object.
pub(crate) fn value_of(layout: &Layout<'_>) -> Json {
    let labels = || layout.comparison.rows.iter().map(|row| row.label);
    let published: Vec<_> = layout.published.iter().filter(|p| labels().any(|label| label == p.row())).collect();
    let builds: Vec<Json> =
        builds(layout.report).into_iter().map(|(build, runs)| json!({ "build": build, "runs": runs })).collect();
    json!({
        "schema": SCHEMA,
        "name": layout.report.name,
        "header": layout.report.header,
        "software": { "hashlab": provenance(layout.report, "hashlab"), "builds": builds },
        "warnings": warnings(layout),
        "tasks": layout.comparison.tasks,
        "metrics": layout.metrics.iter().map(|m| metric(layout, m)).collect::<Vec<_>>(),
        "rows": layout.rows().map(|(label, cell, i)| row(layout, label, cell, i)).collect::<Vec<_>>(),
        "published": published,
    })
}

fn metric(layout: &Layout<'_>, name: &str) -> Json {
    let definition = metrics::info(name).map(|metric| metric.sentence(layout.report.header.map_at));
    json!({ "name": name, "title": layout.title(name), "definition": definition })
}

/// A cell, or a setting.
fn row(layout: &Layout<'_>, label: &str, cell: &Cell<'_>, i: usize) -> Json {
    let setting = &cell.settings[i];
    let of_task = |task| {
        let metrics = layout.metrics.iter().map(|m| (m.clone(), value(layout.value(cell, i, task, m))));
        metrics.collect::<Map<String, Json>>()
    };
    let tasks = layout.comparison.tasks.iter().map(|&task| (task.key(), Json::from(of_task(task))));
    let mut row = json!({
        "label": label,
        "method": setting.runs[0].method,
        "bits": setting.bits,
        "setting": setting.id,
        "point": setting.point,
        "setup": setting.runs[0].setup.as_ref(),
        "seeded": setting.seeded(),
        "selected": i == cell.selected,
        "validation": setting.validation(),
        "tasks": tasks.collect::<Map<String, Json>>(),
        "runs": setting.runs.iter().map(|r| run(r)).collect::<Vec<_>>(),
    });
    if layout.options.times {
        let seconds = ["train", "encode", ENCODE_ITEM, SEARCH_QUERY].map(|stage| (stage, setting.seconds(stage)));
        row["seconds"] = json!(seconds.into_iter().collect::<BTreeMap<_, _>>());
        row["peak_memory_mib"] = json!(setting.peak_memory());
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

fn run(run: &ReportedRun) -> Json {
    let codes = run.finished().map(|result| &result.codes);
    let message = run.reason();
    json!({ "run": run.run, "seed": run.seed, "state": run.outcome.name(), "message": message, "codes": codes })
}
