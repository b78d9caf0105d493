//! The Hugging Face layout: a row per item, `img` with encoded `bytes`, and `label`.

use std::fs::File;
use std::panic::{UnwindSafe, catch_unwind};
use std::path::Path;

use hashlab_data::{DataError, Rgb};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescPtr;
use rayon::prelude::*;

use super::read_error::{damaged, open};
use super::records::{RECORD, SIDE, pack};

/// Values per read; what is reserved at once stays small however many rows a damaged file claims.
const BATCH: usize = 4096;

/// The column of encoded images.
const IMAGES: &str = "img.bytes";

/// Reads the label of every row.
pub(super) fn labels(path: &Path, items: usize) -> Result<Vec<i64>, DataError> {
    column::<Int64Type>(path, "label", items)
}

/// Decodes every image and appends its record to `records`.
pub(super) fn append_records(path: &Path, items: usize, records: &mut Vec<u8>) -> Result<(), DataError> {
    let labels = labels(path, items)?; // Their range was checked on opening.
    let images = column::<ByteArrayType>(path, IMAGES, items)?;
    let before = records.len();
    records.resize(before + items * RECORD, 0);
    let rows = records[before..].par_chunks_mut(RECORD).zip(&labels).zip(&images).enumerate();
    rows.try_for_each(|(row, ((record, label), image))| {
        let image = decode(image).map_err(|problem| damaged(path, format!("image of row {row}: {problem}")))?;
        pack(*label as u8, &image, record);
        Ok(())
    })
}

/// Decodes the image of one row.
pub(super) fn image(path: &Path, row: usize) -> Result<Rgb, DataError> {
    let bytes = sound(path, IMAGES, || read_row(path, row))?;
    decode(&bytes).map_err(|problem| damaged(path, format!("image of row {row}: {problem}")))
}

/// Reads the bytes of a row's image, and no pages but the one that holds them.
fn read_row(path: &Path, row: usize) -> Result<ByteArray, DataError> {
    let broken = |error: ParquetError| damaged(path, format!("not a readable parquet file: {error}"));
    let (reader, at) = open_column::<ByteArrayType>(path, IMAGES)?;
    let mut before = row;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(broken)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        if before < rows {
            let mut column = column_of::<ByteArrayType>(&*group, at).map_err(broken)?;
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            column.skip_records(before).map_err(broken)?;
            column.read_records(1, Some(&mut levels), None, &mut values).map_err(broken)?;
            return values.pop().ok_or_else(|| damaged(path, format!("no value in row {row} of column `{IMAGES}`")));
        }
        before -= rows;
    }
    Err(damaged(path, format!("no row {row} in column `{IMAGES}`")))
}

fn decode(image: &ByteArray) -> Result<Rgb, String> {
    let image = hashlab_image::decode(image.data()).map_err(|error| error.to_string())?;
    match (image.width, image.height) {
        (SIDE, SIDE) => Ok(image),
        (width, height) => Err(format!("expected {SIDE} × {SIDE} pixels, got {width} × {height}")),
    }
}

/// Reads a whole column, which must hold `items` values and no null.
fn column<T: DataType>(path: &Path, name: &str, items: usize) -> Result<Vec<T::T>, DataError> {
    sound(path, name, || read_column::<T>(path, name, items))
}

/// Calls `read`, which may panic: the parquet crate asserts a few things that a damaged file can break.
fn sound<R>(path: &Path, name: &str, read: impl FnOnce() -> Result<R, DataError> + UnwindSafe) -> Result<R, DataError> {
    catch_unwind(read).unwrap_or_else(|_| Err(damaged(path, format!("column `{name}` contradicts itself"))))
}

fn read_column<T: DataType>(path: &Path, name: &str, items: usize) -> Result<Vec<T::T>, DataError> {
    let broken = |error: ParquetError| damaged(path, format!("not a readable parquet file: {error}"));
    let (reader, at) = open_column::<T>(path, name)?;
    let mut values = Vec::with_capacity(items);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(broken)?;
        append_group::<T>(&*group, at, &mut values).map_err(broken)?;
    }
    if values.len() != items {
        return Err(damaged(path, format!("expected {items} values in column `{name}`, got {}", values.len())));
    }
    Ok(values)
}

/// Opens a file and finds a column in it.
fn open_column<T: DataType>(path: &Path, name: &str) -> Result<(SerializedFileReader<File>, usize), DataError> {
    let broken = |error: ParquetError| damaged(path, format!("not a readable parquet file: {error}"));
    let reader = SerializedFileReader::new(open(path)?).map_err(broken)?;
    let at = find::<T>(reader.metadata().file_metadata().schema_descr().columns(), name)
        .map_err(|problem| damaged(path, problem))?;
    Ok((reader, at))
}

/// Finds a flat column by its dotted name and physical type.
fn find<T: DataType>(columns: &[ColumnDescPtr], name: &str) -> Result<usize, String> {
    let expected = T::get_physical_type();
    let Some(at) = columns.iter().position(|column| column.path().string() == name) else {
        let known: Vec<_> = columns.iter().map(|column| column.path().string()).collect();
        return Err(format!("expected a column `{name}`, got {}", known.join(", ")));
    };
    let (got, repeated) = (columns[at].physical_type(), columns[at].max_rep_level() > 0);
    if got != expected || repeated {
        let list = if repeated { "lists of " } else { "" };
        return Err(format!("expected column `{name}` to hold {expected}, got {list}{got}"));
    }
    Ok(at)
}

/// A row group's reader of a column.
fn column_of<T: DataType>(group: &dyn RowGroupReader, at: usize) -> Result<ColumnReaderImpl<T>, ParquetError> {
    T::get_column_reader(group.get_column_reader(at)?)
        .ok_or_else(|| ParquetError::General("the column's type differs between schema and row group".into()))
}

/// Appends a row group's values that are not null.
fn append_group<T: DataType>(
    group: &dyn RowGroupReader,
    at: usize,
    values: &mut Vec<T::T>,
) -> Result<(), ParquetError> {
    let mut column = column_of::<T>(group, at)?;
    let mut levels = Vec::new();
    loop {
        levels.clear();
        let (records, _, _) = column.read_records(BATCH, Some(&mut levels), None, values)?;
        if records == 0 {
            return Ok(());
        }
    }
}
