//! Lists as text, CSV and JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::SystemTime;

use anyhow::Result;
use hashlab_store::counted;
use hashlab_sweep::Selectable as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::row::Row;

/// Rows in aligned columns, then a count of states. Of the default columns, those that are empty are left out.
pub(super) fn text(rows: &[Row<'_>], columns: &[&str], leave_out: bool, all: usize) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let filled: Vec<Column> = columns
        .iter()
        .map(|column| {
            let cells = rows.iter().map(|row| shown(row.value(column), column, now));
            Column::new(&heading(column, rows), cells)
        })
        .filter(|column| !leave_out || !column.is_empty())
        .collect();
    let mut text = if rows.is_empty() { String::new() } else { aligned(&filled) };
    text += &summary(rows, all);
    text
}

/// A heading and the cells below it, in one piece of memory.
pub(super) struct Column {
    text: String,
    /// Where each cell ends, the heading first.
    ends: Vec<usize>,
    /// Characters of the longest cell.
    width: usize,
}

impl Column {
    pub(super) fn new(heading: &str, cells: impl Iterator<Item = String>) -> Self {
        let (mut text, mut ends, mut width) = (heading.to_owned(), vec![heading.len()], heading.chars().count());
        for cell in cells {
            width = width.max(cell.chars().count());
            text += &cell;
            ends.push(text.len());
        }
        Self { text, ends, width }
    }

    /// Whether all cells are empty.
    fn is_empty(&self) -> bool {
        self.ends[0] == self.text.len()
    }

    fn cell(&self, line: usize) -> &str {
        let start = line.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[line]]
    }
}

/// Columns of equally many cells as lines whose cells stand below each other.
pub(super) fn aligned(columns: &[Column]) -> String {
    let mut text = String::new();
    for line in 0..columns.first().map_or(0, |column| column.ends.len()) {
        let start = text.len();
        for (at, column) in columns.iter().enumerate() {
            let between = if at > 0 { "  " } else { "" };
            let _ = write!(text, "{between}{:1$}", column.cell(line), column.width);
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
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
    let list = List { rows, columns };
    serde_json::to_string_pretty(&list).expect("plain data") + "\n"
}

/// Rows as objects, which are made one by one.
struct List<'a> {
    rows: &'a [Row<'a>],
    columns: &'a [&'a str],
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = |row: &Row<'_>| -> Value {
            let value = |column: &str| row.value(column).unwrap_or(Value::Null);
            self.columns.iter().map(|column| ((*column).to_owned(), value(column))).collect()
        };
        serializer.collect_seq(self.rows.iter().map(object))
    }
}
