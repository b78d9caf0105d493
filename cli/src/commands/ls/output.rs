//! Lists as text, CSV and JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::SystemTime;

use anyhow::Result;
use hashlab_store::counted;
use hashlab_sweep::Selectable as _;
use serde_json::Value;

use super::row::Row;

/// Rows in aligned columns, then a count of states. Of the default columns, those that are empty are left out.
pub(super) fn text(rows: &[Row<'_>], columns: &[&str], leave_out: bool, all: usize) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let cells =
        |column: &&str| -> Vec<String> { rows.iter().map(|row| shown(row.value(column), column, now)).collect() };
    let filled: Vec<(String, Vec<String>)> = columns
        .iter()
        .map(|column| (heading(column, rows), cells(column)))
        .filter(|(_, cells)| !leave_out || cells.iter().any(|cell| !cell.is_empty()))
        .collect();
    let lines = std::iter::once(filled.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    let lines = lines.chain((0..rows.len()).map(|at| filled.iter().map(|(_, cells)| cells[at].as_str()).collect()));
    let mut text = if rows.is_empty() { String::new() } else { aligned(&lines.collect::<Vec<_>>()) };
    text += &summary(rows, all);
    text
}

/// Lines whose cells stand below each other.
pub(super) fn aligned(lines: &[Vec<&str>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

/// The name of a column; that of the primary metric where all runs have the same one.
fn heading(column: &str, rows: &[Row<'_>]) -> String {
    let primaries: BTreeSet<&str> =
        rows.iter().filter_map(|row| row.run.result.as_ref()).map(|result| result.primary.as_str()).collect();
    match (column, primaries.first()) {
        ("primary", Some(one)) if primaries.len() == 1 => (*one).to_owned(),
        _ => column.to_owned(),
    }
}

fn summary(rows: &[Row<'_>], all: usize) -> String {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *states.entry(row.run.state).or_default() += 1);
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let shown =
        if rows.len() == all { counted(all, "run") } else { format!("{} of {}", rows.len(), counted(all, "run")) };
    if states.is_empty() { format!("{shown}\n") } else { format!("{shown}: {}\n", states.join(", ")) }
}

/// A cell of a text.
fn shown(value: Option<Value>, column: &str, now: u64) -> String {
    match value {
        None => String::new(),
        Some(Value::Number(time)) if column == "changed" => {
            // A run of an unpacked bundle was started elsewhere.
            time.as_u64().filter(|time| *time > 0).map_or(String::new(), |time| ago(now.saturating_sub(time)) + " ago")
        }
        Some(Value::Number(number)) if number.is_f64() => short(number.as_f64().unwrap_or_default()),
        Some(value) => plain(&value).replace(['\n', '\t'], " "),
    }
}

/// A number in at most four digits behind the point; a small one in full, as learning rates are.
fn short(number: f64) -> String {
    let plain = number.to_string();
    let digits = plain.split_once('.').map_or(0, |(_, digits)| digits.len());
    if digits > 4 && number.abs() >= 0.01 { format!("{number:.4}") } else { plain }
}

/// A value as text: a list by its words.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

/// A time span in its largest whole unit.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

pub(super) fn csv(rows: &[Row<'_>], columns: &[&str]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.write_record(columns.iter().map(|column| row.value(column).as_ref().map_or(String::new(), plain)))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

pub(super) fn json(rows: &[Row<'_>], columns: &[&str]) -> String {
    let object = |row: &Row<'_>| -> Value {
        columns.iter().map(|column| ((*column).to_owned(), row.value(column).unwrap_or(Value::Null))).collect()
    };
    format!("{:#}\n", Value::Array(rows.iter().map(object).collect()))
}
