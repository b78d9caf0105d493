//! Runs as a table: a row per run, a column per setting, metric, time and fact that any of them has.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::Exported;
use crate::commands::runs::{plain, settings_of};

/// A column: a value per run, `null` where the run has none.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) values: Vec<Value>,
}

impl Column {
    /// Whether every value is a number, or absent.
    pub(super) fn is_numeric(&self) -> bool {
        self.values.iter().all(|value| value.is_number() || value.is_null())
    }
}

/// The table of some runs: what every run has, then settings, metrics, times and provenance, each by name.
pub(super) fn of(runs: &[Exported]) -> Vec<Column> {
    let rows: Vec<Vec<(String, Value)>> = runs.iter().map(row).collect();
    // Groups keep their order, names within a group are sorted.
    let order: BTreeSet<(usize, String)> = rows.iter().flatten().map(|(name, _)| (group(name), name.clone())).collect();
    let column = |(_, name): (usize, String)| {
        let value = |row: &Vec<(String, Value)>| {
            row.iter().find(|(known, _)| *known == name).map_or(Value::Null, |(_, value)| value.clone())
        };
        let values = rows.iter().map(value).collect();
        Column { name, values }
    };
    order.into_iter().map(column).collect()
}

/// Names of the columns that every run has, in their order.
const FIRST: [&str; 6] = ["run", "label", "state", "method", "bits", "seed"];

/// Beginnings of the names of the other columns, in their order; settings have none of them.
const REST: [&str; 5] = ["validation/", "test/", "epoch", "seconds.", "provenance."];

fn group(name: &str) -> usize {
    let first = FIRST.iter().position(|first| *first == name);
    let rest = REST.iter().position(|start| name.starts_with(start)).map(|at| FIRST.len() + 1 + at);
    first.or(rest).unwrap_or(FIRST.len())
}

fn row(run: &Exported) -> Vec<(String, Value)> {
    let text = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    let mut row = vec![text("run", &run.id), text("label", &run.label), text("state", run.state)];
    row.extend(settings_of(&run.config).unwrap_or_default());
    row.extend(run.metrics().into_iter().map(|(name, value)| (name, Value::from(value))));
    if let Some(result) = &run.result {
        row.extend(result.epoch.map(|epoch| ("epoch".to_owned(), Value::from(epoch))));
        row.extend(result.seconds.iter().map(|(stage, time)| (format!("seconds.{stage}"), Value::from(*time))));
        row.extend(
            result.provenance.iter().map(|(name, value)| (format!("provenance.{name}"), Value::from(value.as_str()))),
        );
    }
    row
}

/// The table as CSV. Lists are JSON.
pub(super) fn csv(columns: &[Column]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| &column.name))?;
    for row in 0..columns.first().map_or(0, |column| column.values.len()) {
        writer.write_record(columns.iter().map(|column| plain(&column.values[row])))?;
    }
    Ok(writer.into_inner()?)
}
