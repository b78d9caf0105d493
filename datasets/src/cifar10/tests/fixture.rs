//! Tiny files in both layouts.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use hashlab_data::{DataDirs, Rgb};
use hashlab_rng::stream;
use image::{ImageFormat, RgbImage};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::cifar10::records::{BLOCKS, RECORD, Reference, TRAIN_BLOCKS, pack, prefix_digests};

/// Items per block.
pub(super) const BLOCK: usize = 4;
/// Number of items.
pub(super) const ITEMS: usize = BLOCKS * BLOCK;

pub(super) fn label(index: usize) -> u8 {
    (index % 10) as u8
}

pub(super) fn image(index: usize) -> Rgb {
    let mut rng = stream(0, "fixture", &[index as u64]);
    Rgb { width: 32, height: 32, pixels: (0..3072).map(|_| rng.bits() as u8).collect() }
}

pub(super) fn records() -> Vec<u8> {
    let mut records = vec![0; ITEMS * RECORD];
    for (index, record) in records.chunks_mut(RECORD).enumerate() {
        pack(label(index), &image(index), record);
    }
    records
}

pub(super) fn reference() -> Reference {
    let digests = prefix_digests(&records(), BLOCK).into_iter().map(|digest| &*digest.leak());
    Reference { block: BLOCK, digests: digests.collect::<Vec<_>>().try_into().unwrap() }
}

pub(super) fn dirs(path: &Path) -> DataDirs {
    DataDirs::of(vec![path.into()])
}

/// Writes the authors' files into `folder`.
pub(super) fn write_bin(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (block, records) in records().chunks(BLOCK * RECORD).enumerate() {
        let name = if block < TRAIN_BLOCKS { format!("data_batch_{}.bin", block + 1) } else { "test_batch.bin".into() };
        fs::write(folder.join(name), records).unwrap();
    }
}

/// A row of a parquet file: the encoded image and the label.
pub(super) type Row = (Vec<u8>, i64);

/// Encodes items in `format`.
pub(super) fn rows(format: ImageFormat) -> Vec<Row> {
    (0..ITEMS).map(|index| (encode(&image(index), format), i64::from(label(index)))).collect()
}

pub(super) fn encode(image: &Rgb, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let buffer = RgbImage::from_raw(image.width as u32, image.height as u32, image.pixels.clone()).unwrap();
    buffer.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Writes both parquet files into `folder`.
pub(super) fn write_parquet(folder: &Path, rows: &[Row]) {
    let (train, test) = rows.split_at(TRAIN_BLOCKS * BLOCK);
    write_rows(&folder.join("train-00000-of-00001.parquet"), train);
    write_rows(&folder.join("test-00000-of-00001.parquet"), test);
}

/// Writes a file as the `datasets` library does, in row groups of seven.
pub(super) fn write_rows(path: &Path, rows: &[Row]) {
    let schema = "message schema {
        optional group img { optional binary bytes; optional binary path (STRING); }
        optional int64 label;
    }";
    write_groups(path, schema, rows.chunks(7), |group, rows| {
        let images: Vec<_> = rows.iter().map(|row| ByteArray::from(row.0.clone())).collect();
        let labels: Vec<_> = rows.iter().map(|row| row.1).collect();
        write_bytes(group, &images, &vec![2; rows.len()]);
        write_bytes(group, &[], &vec![1; rows.len()]); // No paths.
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; rows.len()]), None).unwrap();
        column.close().unwrap();
    });
}

/// Writes a column of byte arrays; a level below 2 stands for a null.
pub(super) fn write_bytes(group: &mut SerializedRowGroupWriter<'_, File>, values: &[ByteArray], levels: &[i16]) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(values, Some(levels), None).unwrap();
    column.close().unwrap();
}

/// Writes a file of any schema, one row group per item of `groups`.
pub(super) fn write_groups<T>(
    path: &Path,
    schema: &str,
    groups: impl IntoIterator<Item = T>,
    write: impl Fn(&mut SerializedRowGroupWriter<'_, File>, T),
) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();
        write(&mut group, rows);
        group.close().unwrap();
    }
    writer.close().unwrap();
}
