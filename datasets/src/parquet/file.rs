//! A parquet file that many threads read at once.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::reader::{ChunkReader, FileReader as _, Length, RowGroupReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use bytes::Bytes;
use hashlab_data::DataError;
use serde_json::Value as Json;

use crate::own::places::{damaged, opened, unreadable};
use crate::own::rows::ColumnSettings;

/// An opened file.
pub(super) struct ParquetFile {
    path: PathBuf,
    reader: SerializedFileReader<Positioned>,
}

/// Reads at positions, so that threads share no place in the file.
#[derive(Clone)]
pub(super) struct Positioned {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Positioned {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.end
    }
}

impl ChunkReader for Positioned {
    type T = BufReader<Self>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(Self { at: start, ..self.clone() }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.end) {
            return Err(ParquetError::EOF(format!("the file ends before byte {start} + {length}")));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl ParquetFile {
    /// Opens a file and reads its directory.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let file = opened(path)?;
        let end = file.metadata().map_err(unreadable(path))?.len();
        let positioned = Positioned { file: Arc::new(file), at: 0, end };
        let reader = guarded(path, || SerializedFileReader::new(positioned))?;
        Ok(Self { path: path.to_owned(), reader })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of row groups.
    pub(super) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Number of rows of a group.
    pub(super) fn rows(&self, group: usize) -> usize {
        usize::try_from(self.reader.metadata().row_group(group).num_rows()).unwrap_or(0)
    }

    /// Row of the file that a group begins with.
    pub(super) fn first_row(&self, group: usize) -> usize {
        (0..group).map(|before| self.rows(before)).fold(0, usize::saturating_add)
    }

    /// Bytes of a column of a group before compression.
    pub(super) fn bytes(&self, group: usize, leaf: usize) -> usize {
        let size = self.reader.metadata().row_group(group).column(leaf).uncompressed_size();
        usize::try_from(size).unwrap_or(0)
    }

    /// Calls `work` with a row group.
    ///
    /// # Errors
    /// If the group cannot be read.
    pub(super) fn with_group<T>(
        &self,
        group: usize,
        work: impl FnOnce(&dyn RowGroupReader) -> ParquetResult<T>,
    ) -> Result<T, DataError> {
        guarded(&self.path, || work(self.reader.get_row_group(group)?.as_ref()))
    }

    /// The leaves below a column: itself, or the parts of a struct or list.
    pub(super) fn leaves(&self, column: &str) -> Vec<(usize, &ColumnDescriptor)> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let leaves = schema.columns().iter().enumerate();
        leaves
            .filter(|(_, leaf)| leaf.path().parts().first().is_some_and(|first| first == column))
            .map(|(at, leaf)| (at, leaf.as_ref()))
            .collect()
    }

    /// Names of the columns.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &str> {
        let schema = self.reader.metadata().file_metadata().schema_descr().root_schema();
        schema.get_fields().iter().map(|field| field.name())
    }

    /// An error about a column that is not what is asked for.
    pub(super) fn no_column(&self, column: &str, wanted: &str) -> DataError {
        let known: Vec<&str> = self.column_names().collect();
        let problem = match self.leaves(column).is_empty() {
            true => format!("there is no column `{column}`"),
            false => format!("column `{column}` holds no {wanted}"),
        };
        damaged(&self.path, problem, format!("name one of its columns in [data]: {}", known.join(", ")))
    }

    /// Names of the classes of a single label column of integers, which the hub keeps in the file's metadata.
    pub(super) fn class_names(&self, columns: &ColumnSettings) -> Vec<String> {
        let [column] = &columns.labels[..] else { return Vec::new() };
        let entries = self.reader.metadata().file_metadata().key_value_metadata();
        let text =
            entries.into_iter().flatten().find(|entry| entry.key == "huggingface").and_then(|e| e.value.as_ref());
        let parsed: Option<Json> = text.and_then(|text| serde_json::from_str(text).ok());
        let feature = parsed.as_ref().map(|json| &json["info"]["features"][column]);
        // A list of class numbers has the names in its elements.
        let names = feature.map(|feature| if feature["names"].is_array() { feature } else { &feature["feature"] });
        let names = names.and_then(|feature| feature["names"].as_array());
        names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }
}

/// Calls into the parquet crate, which asserts a few things that a damaged file can break.
fn guarded<T>(path: &Path, work: impl FnOnce() -> ParquetResult<T>) -> Result<T, DataError> {
    let help = "the file is cut short or damaged: fetch it again";
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(damaged(path, format!("not a readable parquet file: {error}"), help)),
        Err(_) => Err(damaged(path, "the file contradicts itself", help)),
    }
}
