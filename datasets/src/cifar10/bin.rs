//! The authors' binary version: records and nothing else.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use hashlab_data::{DataError, Rgb};

use super::read_error::{damaged, open, unreadable};
use super::records::{RECORD, unpack};

/// Records that are read at once for their labels: few calls, and no more memory than a processor's cache.
const CHUNK: usize = 100;

/// Reads the label of every record.
pub(super) fn labels(path: &Path, items: usize) -> Result<Vec<i64>, DataError> {
    let mut file = open_sized(path, items)?;
    let mut buffer = vec![0; CHUNK * RECORD];
    let mut labels = Vec::with_capacity(items);
    while labels.len() < items {
        let records = &mut buffer[..CHUNK.min(items - labels.len()) * RECORD];
        file.read_exact(records).map_err(unreadable(path))?;
        labels.extend(records.chunks(RECORD).map(|record| i64::from(record[0])));
    }
    Ok(labels)
}

/// Appends every record to `records`.
pub(super) fn append_records(path: &Path, items: usize, records: &mut Vec<u8>) -> Result<(), DataError> {
    let before = records.len();
    records.resize(before + items * RECORD, 0);
    open_sized(path, items)?.read_exact(&mut records[before..]).map_err(unreadable(path))
}

/// Reads the image of one record.
pub(super) fn image(path: &Path, items: usize, row: usize) -> Result<Rgb, DataError> {
    let mut file = open_sized(path, items)?;
    let mut record = vec![0; RECORD];
    file.seek(SeekFrom::Start((row * RECORD) as u64)).map_err(unreadable(path))?;
    file.read_exact(&mut record).map_err(unreadable(path))?;
    Ok(unpack(&record))
}

/// Opens a file that must hold `items` records.
fn open_sized(path: &Path, items: usize) -> Result<File, DataError> {
    let file = open(path)?;
    let (expected, got) = ((items * RECORD) as u64, file.metadata().map_err(unreadable(path))?.len());
    if got != expected {
        return Err(damaged(path, format!("expected {expected} bytes ({items} records of {RECORD}), got {got}")));
    }
    Ok(file)
}
