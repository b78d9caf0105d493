//! The table of runs as a Parquet file: numbers are DOUBLE, everything else is text.

use std::sync::Arc;

use anyhow::Result;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use serde_json::Value;

use super::columns::Column;
use crate::commands::runs::plain;

/// The bytes of the file.
pub(super) fn bytes(columns: &[Column]) -> Result<Vec<u8>> {
    let fields = columns.iter().map(|column| Ok(Arc::new(field(column)?))).collect::<Result<Vec<_>>>()?;
    let schema = Arc::new(Type::group_type_builder("runs").with_fields(fields).build()?);
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::default()))?;
    let mut group = writer.next_row_group()?;
    for column in columns {
        if let Some(mut writer) = group.next_column()? {
            write(column, &mut writer)?;
            writer.close()?;
        }
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

fn field(column: &Column) -> Result<Type> {
    let (physical, converted) = match column.is_numeric() {
        true => (Physical::DOUBLE, ConvertedType::NONE),
        false => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    Ok(builder.with_converted_type(converted).with_repetition(Repetition::OPTIONAL).build()?)
}

/// Writes the values that are there; the levels say where none is.
fn write(column: &Column, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
    let levels: Vec<i16> = column.values.iter().map(|value| i16::from(!value.is_null())).collect();
    let present = column.values.iter().filter(|value| !value.is_null());
    match column.is_numeric() {
        true => {
            let values: Vec<f64> = present.filter_map(Value::as_f64).collect();
            writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
        false => {
            let values: Vec<ByteArray> = present.map(|value| ByteArray::from(plain(value).into_bytes())).collect();
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    Ok(())
}
