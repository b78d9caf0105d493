//! Cells of captions and labels.

use ::parquet::basic::Type;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::reader::RowGroupReader;
use hashlab_data::DataError;

use super::file::ParquetFile;
use crate::own::places::damaged;
use crate::own::rows::{Cell, Value};

/// Records per read; what is reserved at once stays small however many rows a damaged file claims.
const BATCH: usize = 4096;

/// Reads a column of a row group: texts or integers, or lists of them.
///
/// # Errors
/// If there is no such column, or it holds other values.
pub(super) fn cells(file: &ParquetFile, group: usize, column: &str) -> Result<Vec<Cell>, DataError> {
    let leaves = file.leaves(column);
    let [(at, leaf)] = leaves[..] else { return Err(file.no_column(column, "texts or integers")) };
    if leaf.max_rep_level() > 1 {
        return Err(file.no_column(column, "texts, integers or lists of them"));
    }
    let most = leaf.max_def_level();
    let cells = file.with_group(group, |group| match leaf.physical_type() {
        Type::BYTE_ARRAY => leaf_cells::<ByteArrayType>(group, at, most, |bytes: &ByteArray| {
            bytes.as_utf8().ok().map(|text| Value::Text(text.to_owned()))
        }),
        Type::INT64 => leaf_cells::<Int64Type>(group, at, most, |number| Some(Value::Number(*number))),
        Type::INT32 => leaf_cells::<Int32Type>(group, at, most, |number| Some(Value::Number(i64::from(*number)))),
        Type::BOOLEAN => leaf_cells::<BoolType>(group, at, most, |truth| Some(Value::Number(i64::from(*truth)))),
        Type::FLOAT => leaf_cells::<FloatType>(group, at, most, |number| whole(f64::from(*number))),
        Type::DOUBLE => leaf_cells::<DoubleType>(group, at, most, |number| whole(*number)),
        _ => Ok(Err(0)),
    })?;
    cells.map_err(|row| {
        let problem = format!("row {}: column `{column}` holds no text and no integer", file.first_row(group) + row);
        damaged(file.path(), problem, "name another column in [data]")
    })
}

fn whole(number: f64) -> Option<Value> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(Value::Number(number as i64))
}

/// The cells of a leaf, or the row of a value that is not what it must be.
fn leaf_cells<T: DataType>(
    group: &dyn RowGroupReader,
    at: usize,
    most: i16,
    value_of: impl Fn(&T::T) -> Option<Value>,
) -> ParquetResult<Result<Vec<Cell>, usize>> {
    let mut reader = T::get_column_reader(group.get_column_reader(at)?)
        .ok_or_else(|| ParquetError::General("the column's type differs between schema and row group".into()))?;
    let mut cells: Vec<Cell> = Vec::new();
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        values.clear();
        definitions.clear();
        repetitions.clear();
        let (records, _, levels) =
            reader.read_records(BATCH, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        if records == 0 {
            return Ok(Ok(cells));
        }
        let mut values = values.iter();
        for level in 0..levels {
            // Without nulls or lists there are no levels: every value is defined and begins a row.
            if repetitions.get(level).is_none_or(|repetition| *repetition == 0) {
                cells.push(Cell::new());
            }
            if definitions.get(level).is_none_or(|definition| *definition == most) {
                let Some(value) = values.next().and_then(&value_of) else { return Ok(Err(cells.len() - 1)) };
                cells.last_mut().expect("the first level begins a row").push(value);
            }
        }
    }
}
