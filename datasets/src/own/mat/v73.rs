//! Files of version 7.3, which are HDF5, as MATLAB and h5py write them.
//!
//! MATLAB writes the axes in reverse, which leaves numbers by columns; texts are numbers with the attribute
//! `MATLAB_class = "char"`, and cells are references to arrays in the hidden group `#refs#`. An array without that attribute
//! is h5py's, whose rows come first. What lies in other groups (structures, objects) is not read.

use std::fs;
use std::path::Path;

use hdf5_pure::{AttrValue, DType, Dataset, Error, File, Object};

use super::{Array, DEEPEST, Each, rows_of};

/// Bytes by which a file is recognized: MATLAB's header is as long, and HDF5 begins behind it.
pub(super) const START: usize = 520;
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
const HEADER: &[u8] = b"MATLAB 7.3";

/// How many bytes one byte of a file can stand for, compressed as well as deflate can.
const MOST_COMPRESSED: u64 = 1032;

/// Bytes of a cell's reference and what it leads to, of which some may be shared.
const LEAST_CELL: u64 = 16;

/// Whether a file that starts so is of this version.
pub(super) fn is(start: &[u8]) -> bool {
    start.starts_with(SIGNATURE) || start.starts_with(HEADER) || start.get(512..) == Some(SIGNATURE)
}

/// Passes over the variables of a file until `each` returns true.
pub(super) fn scan(path: &Path, each: Each<'_>) -> Result<(), String> {
    for (name, dataset) in variables(path)? {
        let mut budget = Budget::of(path)?;
        if each(name, Box::new(move || budget.array(&dataset, 0)))? {
            return Ok(());
        }
    }
    Ok(())
}

/// The variables of a file.
fn variables(path: &Path) -> Result<Vec<(String, Dataset)>, String> {
    let file = File::open_streaming(path).map_err(told)?;
    let all = file.root().iter_datasets().map_err(told)?;
    Ok(all.into_iter().filter(|(name, _)| !name.starts_with('#')).collect())
}

/// Finds the first variable of one of these names; without one, the names that there are.
pub(super) fn find(path: &Path, names: &[&'static str]) -> Result<Result<(&'static str, Stored), Vec<String>>, String> {
    let mut others = Vec::new();
    for (name, dataset) in variables(path)? {
        match names.iter().find(|wanted| **wanted == name) {
            Some(found) => return Ok(Ok((found, Stored { dataset, budget: Budget::of(path)? }))),
            None => others.push(name),
        }
    }
    Ok(Err(others))
}

/// A variable that stays in its file.
pub(super) struct Stored {
    dataset: Dataset,
    budget: Budget,
}

impl Stored {
    /// The four axes of an array of bytes, as HDF5 has them.
    pub(super) fn pixel_axes(&self) -> Result<[u64; 4], String> {
        let (axes, kind) = (self.dataset.shape().map_err(told)?, self.dataset.dtype().map_err(told)?);
        if kind != DType::U8 {
            return Err(format!("values of the type {kind}, and pixels are of type uint8"));
        }
        let axes = <[u64; 4]>::try_from(axes).map_err(|axes| format!("an array with the axes {axes:?}"))?;
        Budget { ..self.budget }.take(&axes, &self.dataset)?;
        if axes.contains(&0) { Err(format!("an empty array with the axes {axes:?}")) } else { Ok(axes) }
    }

    /// Whether MATLAB wrote it, whose axes are in reverse.
    pub(super) fn by_matlab(&self) -> bool {
        self.dataset.attrs().is_ok_and(|attributes| attributes.contains_key("MATLAB_class"))
    }

    /// Rows that are compressed together.
    pub(super) fn rows_together(&self) -> u64 {
        let chunk = self.dataset.chunk_shape().ok().flatten();
        chunk.and_then(|axes| axes.first().copied()).unwrap_or(1)
    }

    /// The bytes of some rows.
    pub(super) fn rows(&self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        self.dataset.read_u8_rows(first, count).map_err(told)
    }
}

fn told(error: Error) -> String {
    format!("as a file of MATLAB's version 7.3 (HDF5), it cannot be read: {error}")
}

/// What may still be read.
struct Budget {
    bytes: u64,
    /// Cells: a cell takes some bytes of the file, but references to one may be many, and lead in a circle.
    cells: u64,
}

impl Budget {
    /// What a file can fill. Sizes are those that it states: none may ask for more memory.
    fn of(path: &Path) -> Result<Self, String> {
        let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
        Ok(Self { bytes: (size + 1024).saturating_mul(MOST_COMPRESSED), cells: size / LEAST_CELL })
    }

    /// Reads the values of a variable that lies so deep in cells.
    fn array(&mut self, dataset: &Dataset, depth: usize) -> Result<Array, String> {
        let axes = dataset.shape().map_err(told)?;
        let attributes = dataset.attrs().map_err(told)?;
        let class = attributes.get("MATLAB_class").and_then(AttrValue::as_str).unwrap_or_default();
        let kind = dataset.dtype().map_err(told)?;
        // An empty array is written as the sizes that it has.
        let is_empty = attributes.contains_key("MATLAB_empty") || axes.contains(&0);
        let values = if is_empty { 0 } else { self.take(&axes, dataset)? };
        let by_rows = class.is_empty();
        let rows = if by_rows { axes.first() } else { axes.last() };
        let rows = rows.copied().unwrap_or(1) as usize;
        match kind {
            DType::U16 if class == "char" && is_empty => Ok(Array::Texts(vec![String::new()])),
            DType::U16 if class == "char" => Ok(rows_of(&dataset.read_u16().map_err(told)?, rows)),
            DType::ObjectReference if is_empty => Ok(Array::Cells(Vec::new())),
            DType::ObjectReference if depth == DEEPEST => Err("cells within cells without an end".to_owned()),
            DType::ObjectReference => {
                self.cells = self.cells.checked_sub(values as u64).ok_or("cells that the file cannot fill")?;
                let cells = dataset.dereference().map_err(told)?;
                cells.iter().map(|cell| self.cell(cell, depth + 1)).collect::<Result<_, _>>().map(Array::Cells)
            }
            DType::String | DType::VariableLengthString => dataset.read_string().map(Array::Texts).map_err(told),
            kind if is_number(&kind) && is_empty => Ok(Array::Numbers([0, 0], Vec::new())),
            kind if is_number(&kind) => {
                let numbers = dataset.read_f32().map_err(told)?;
                let columns = values / rows;
                if numbers.len() != rows * columns {
                    return Err(format!("{} values in an array of {rows} × {columns}", numbers.len()));
                }
                let numbers = if by_rows { transposed(&numbers, columns) } else { numbers };
                Ok(Array::Numbers([rows, columns], numbers))
            }
            kind => Err(format!("values of the type {kind} are not read")),
        }
    }

    fn cell(&mut self, cell: &Object, depth: usize) -> Result<Array, String> {
        match cell {
            Object::Dataset(dataset) => self.array(dataset, depth),
            _ => Err("structures are not read".to_owned()),
        }
    }

    /// Takes an array of these axes off the budget; returns the number of its values.
    fn take(&mut self, axes: &[u64], dataset: &Dataset) -> Result<usize, String> {
        const TOO_LARGE: &str = "sizes that the file cannot fill";
        let values = axes.iter().try_fold(1u64, |values, axis| values.checked_mul(*axis)).ok_or(TOO_LARGE)?;
        let bytes = values.checked_mul(dataset.element_size().map_err(told)?.max(4)).ok_or(TOO_LARGE)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(TOO_LARGE)?;
        Ok(values as usize)
    }
}

fn is_number(kind: &DType) -> bool {
    use DType::{F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(kind, F32 | F64 | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

/// Numbers by columns, of those by rows of so many.
fn transposed(numbers: &[f32], columns: usize) -> Vec<f32> {
    let by_columns = (0..columns).flat_map(|column| numbers.iter().skip(column).step_by(columns));
    by_columns.copied().collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{names, read};
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mat").join(name)
    }

    #[test]
    fn numbers_texts_and_cells_are_read() {
        assert_eq!(names(&fixture("v73/caption.mat")).unwrap(), ["caption", "other"]);
        let Array::Numbers(sizes, numbers) = read(&fixture("v73/label.mat"), &["LAll"]).unwrap() else { panic!() };
        assert_eq!((sizes, numbers.iter().sum::<f32>()), ([40, 4], 40.0));
        assert_eq!(numbers[..40], [[1.0; 10], [0.0; 10], [0.0; 10], [0.0; 10]].concat(), "by columns");
        let captions = read(&fixture("v73/caption.mat"), &["caption"]).unwrap().texts().unwrap();
        assert_eq!((captions.len(), captions[1].len()), (40, 2));
        assert_eq!(captions[6][1], "grüße x");
        let paths = read(&fixture("v73/index.mat"), &["index"]).unwrap().texts().unwrap();
        assert!(paths.iter().all(|path| path[0].starts_with("/home/someone/dataset/") && !path[0].ends_with(' ')));
        assert_eq!(paths.len(), 40);
    }

    /// h5py's own arrays have no class, and their rows come first.
    #[test]
    fn arrays_of_h5py_are_by_rows() {
        let path = fixture("v73/plain.h5");
        assert_eq!(read(&path, &["XAll"]).unwrap(), Array::Numbers([2, 3], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        assert_eq!(read(&path, &["names"]).unwrap(), Array::Texts(vec!["a".to_owned(), "grün".to_owned()]));
        let refused = read(&path, &["pairs"]).unwrap_err().to_string();
        assert!(refused.contains("are not read"), "{refused}");
        let huge = read(&path, &["huge"]).unwrap_err().to_string();
        assert!(huge.contains("sizes that the file cannot fill"), "{huge}");
        let circle = read(&path, &["circle"]).unwrap_err().to_string();
        assert!(circle.contains("without an end") || circle.contains("cannot fill"), "{circle}");
    }
}
