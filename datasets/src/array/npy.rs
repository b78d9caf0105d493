//! Arrays in .npy files, read whole or part by part, as those that are larger than memory.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use candle_core::Tensor;
use hashlab_data::DataError;

use super::header::{Header, Problem};
use super::{Raw, broken, file_of};
use crate::own::places::opened;

/// An array in a .npy file.
pub struct NpyFile {
    file: File,
    header: Header,
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Tensor, DataError> {
    let array = NpyFile::of(path)?;
    array.part(0..array.rows()).map_err(broken(path))
}

impl NpyFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read as an array, with the file's name.
    pub fn open(path: &str) -> Result<Self, DataError> {
        Self::of(file_of(path))
    }

    /// Number of rows: the first axis.
    pub fn rows(&self) -> usize {
        self.header.shape.first().copied().unwrap_or(1)
    }

    /// The array's shape.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Reads some rows.
    ///
    /// # Errors
    /// If the file ends before them; `path` names it.
    pub fn read(&self, path: &str, rows: Range<usize>) -> Result<Raw, DataError> {
        self.part(rows).map(Raw).map_err(broken(file_of(path)))
    }

    fn of(path: &Path) -> Result<Self, DataError> {
        let mut file = opened(path)?;
        let header = Header::read(&mut file).map_err(broken(path))?;
        let array = Self { file, header };
        array.check().map_err(broken(path))?;
        Ok(array)
    }

    fn check(&self) -> Result<(), Problem> {
        let there = self.file.metadata()?.len().saturating_sub(self.header.start);
        self.header.bytes_of(there).map(drop)
    }

    fn part(&self, rows: Range<usize>) -> Result<Tensor, Problem> {
        let Header { start, element, fortran, shape } = &self.header;
        let (all, columns) = (self.rows(), shape.iter().skip(1).product::<usize>());
        let rows = rows.start.min(all)..rows.end.min(all);
        // A run of values that lie together: a row after the other, or a column's part in Fortran's order.
        let (runs, length, stride) =
            if *fortran { (columns, rows.len(), all) } else { (1, rows.len() * columns, rows.len() * columns) };
        let first = if *fortran { rows.start } else { rows.start * columns };
        let mut bytes = vec![0; rows.len() * columns * element.bytes()];
        if !bytes.is_empty() {
            for (run, out) in (0..runs).zip(bytes.chunks_exact_mut(length * element.bytes())) {
                self.file.read_exact_at(out, start + ((first + run * stride) * element.bytes()) as u64)?;
            }
        }
        self.header.tensor(rows.len(), bytes)
    }
}
