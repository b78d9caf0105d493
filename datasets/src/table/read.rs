//! Reading of rows, one after the other.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use hashlab_data::DataError;
use serde_json::{Map, Value as Json};

use crate::own::places::{damaged, damaged_line, opened, unreadable};
use crate::own::rows::{Cell, ColumnSettings, Value};

/// A row's cells of the columns that are asked for.
pub(super) struct Row {
    /// Line of the file, counted from 1.
    pub(super) line: usize,
    /// Path of the image; empty if there is no such column.
    pub(super) image: String,
    pub(super) captions: Vec<Cell>,
    pub(super) labels: Vec<Cell>,
}

/// Calls `each` with every row of a file.
///
/// # Errors
/// If the file is none of the known forms, lacks a column, or `each` fails.
pub(super) fn rows(
    path: &Path,
    columns: &ColumnSettings,
    each: impl FnMut(Row) -> Result<(), DataError>,
) -> Result<(), DataError> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => csv_rows(path, b',', columns, each),
        Some("tsv") => csv_rows(path, b'\t', columns, each),
        Some("jsonl" | "ndjson") => json_rows(path, columns, each),
        _ => Err(damaged(path, "the name does not end in .csv, .tsv or .jsonl", "rename the file by its form")),
    }
}

fn csv_rows(
    path: &Path,
    delimiter: u8,
    columns: &ColumnSettings,
    mut each: impl FnMut(Row) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let file = opened(path)?;
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(BufReader::new(file));
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line) as usize;
        let problem = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("expected {expected_len} cells as in the first line, got {len}")
            }
            csv::ErrorKind::Utf8 { .. } => "the line is no UTF-8 text".to_owned(),
            _ => error.to_string(),
        };
        damaged_line(
            path,
            line,
            problem,
            "put cells with commas or line breaks into quotes, and save the file as UTF-8",
        )
    };
    let header = reader.headers().map_err(broken)?.clone();
    let find = |name: &String| {
        let named = |column: &str| column.trim_start_matches('\u{feff}') == name;
        if header.iter().filter(|column| named(column)).count() > 1 {
            return Err(damaged_line(path, 1, format!("two columns are named `{name}`"), "rename one of them"));
        }
        header.iter().position(named).ok_or_else(|| no_column(path, name, header.iter().collect()))
    };
    let image = columns.image.as_ref().map(find).transpose()?;
    let captions = columns.captions.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let labels = columns.labels.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let mut record = csv::StringRecord::new();
    let mut last = csv::Position::new();
    while reader.read_record(&mut record).map_err(broken)? {
        if let Some(start) = record.position() {
            last = start.clone();
        }
        let cell = |at: &usize| match &record[*at] {
            "" => Cell::new(),
            text => vec![Value::Text(text.to_owned())],
        };
        each(Row {
            line: record.position().map_or(0, csv::Position::line) as usize,
            image: image.map_or(String::new(), |at| record[at].to_owned()),
            captions: captions.iter().map(cell).collect(),
            labels: labels.iter().map(cell).collect(),
        })?;
    }
    check_quotes(path, &last)
}

/// Checks that the last row of a file, at `last`, is one line, or closes its quotes: a quote that is not closed turns the
/// rest of the file into one cell.
fn check_quotes(path: &Path, last: &csv::Position) -> Result<(), DataError> {
    let mut file = opened(path)?;
    let mut row = Vec::new();
    file.seek(SeekFrom::Start(last.byte())).and_then(|_| file.read_to_end(&mut row)).map_err(unreadable(path))?;
    let row = row.trim_ascii();
    let quotes = row.iter().filter(|byte| **byte == b'"').count();
    if row.contains(&b'\n') && quotes % 2 == 1 {
        let problem = "a quote is opened and not closed, so that all that follows would be one cell";
        return Err(damaged_line(
            path,
            last.line() as usize,
            problem,
            "close it, or double the quotes inside of a cell",
        ));
    }
    Ok(())
}

fn no_column(path: &Path, name: &str, known: Vec<&str>) -> DataError {
    let help = format!("name one of its columns in [data]: {}", known.join(", "));
    damaged(path, format!("there is no column `{name}`"), help)
}

fn json_rows(
    path: &Path,
    columns: &ColumnSettings,
    mut each: impl FnMut(Row) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let reader = BufReader::new(opened(path)?);
    for (at, line) in reader.lines().enumerate() {
        let line_number = at + 1;
        let line = line.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => {
                damaged_line(path, line_number, "the line is no UTF-8 text", "save the file as UTF-8")
            }
            _ => unreadable(path)(error),
        })?;
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |problem: String| {
            damaged_line(path, line_number, problem, "a line is a JSON object, e.g. {\"image\": \"a.jpg\"}")
        };
        let object: Map<String, Json> =
            serde_json::from_str(&line).map_err(|error| wrong(format!("not a JSON object: {error}")))?;
        let cell = |name: &String| -> Result<Cell, DataError> {
            let value = object.get(name).ok_or_else(|| {
                let known: Vec<&str> = object.keys().map(String::as_str).collect();
                damaged_line(
                    path,
                    line_number,
                    format!("there is no key `{name}`"),
                    format!("the line has {}; `null` stands for nothing", known.join(", ")),
                )
            })?;
            cell_of(value).map_err(|problem| wrong(format!("`{name}`: {problem}")))
        };
        let image = match &columns.image {
            None => String::new(),
            Some(name) => match cell(name)?.as_slice() {
                [Value::Text(path)] => path.clone(),
                [] => String::new(),
                _ => return Err(wrong(format!("`{name}` is no path"))),
            },
        };
        each(Row {
            line: line_number,
            image,
            captions: columns.captions.iter().map(cell).collect::<Result<_, _>>()?,
            labels: columns.labels.iter().map(cell).collect::<Result<_, _>>()?,
        })?;
    }
    Ok(())
}

/// A JSON value as a cell.
fn cell_of(value: &Json) -> Result<Cell, String> {
    let one = |value: &Json| match value {
        Json::String(text) => Ok(Value::Text(text.clone())),
        Json::Bool(truth) => Ok(Value::Number(i64::from(*truth))),
        Json::Number(number) if number.as_i64().is_some() => Ok(Value::Number(number.as_i64().unwrap_or_default())),
        other => Err(format!("{other} is no text and no integer")),
    };
    match value {
        Json::Null => Ok(Cell::new()),
        Json::Array(values) => values.iter().map(one).collect(),
        value => one(value).map(|value| vec![value]),
    }
}
