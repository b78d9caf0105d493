//! Arrays from .npy, .npz, .safetensors, .mat and HDF5 files, as the numbers that features, codes, labels and indices need.

mod element;
mod foreign;
mod header;
mod mat;
mod npy;
mod npz;
mod safetensors;
#[cfg(test)]
mod tests;

use std::path::Path;

use candle_core::{DType, Tensor};
use hashlab_data::{DataError, Labels};
use hashlab_eval::{Codes, EvalError};

use header::Problem;

use crate::own::labels::MOST_CLASSES;
use crate::own::places::opened;

pub use npy::NpyFile;

/// An array of numbers as it was read.
pub struct Raw(Tensor);

/// Features `(items, views, dim)`.
pub struct Array {
    rows: usize,
    views: usize,
    dim: usize,
    values: Vec<f32>,
}

/// The file of a path that may name an array behind `#`.
pub fn file_of(path: &str) -> &Path {
    Path::new(path.split_once('#').map_or(path, |(file, _)| file))
}

/// Reads a file; `path#name` names an array of an archive.
///
/// # Errors
/// If it cannot be read as an array, with the file's name.
pub fn read(path: &str) -> Result<Raw, DataError> {
    let file = file_of(path);
    let name = path.split_once('#').map(|(_, name)| name);
    let ending = file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    let tensor = match ending.as_deref() {
        Some("npy") => npy::read(file)?,
        Some("npz") => npz::read(file, name)?,
        Some("safetensors") => safetensors::read(file, name)?,
        Some("mat" | "h5" | "hdf5" | "h5py") => {
            opened(file)?;
            mat::read(file, name)?
        }
        _ => {
            opened(file)?;
            return Err(DataError::Damaged {
                path: file.to_owned(),
                problem: "the name does not end in .npy, .npz, .safetensors, .mat or .h5".to_owned(),
                help: "rename the file by its form, or write the array with numpy.save".to_owned(),
            });
        }
    };
    Ok(Raw(tensor))
}

/// Reads codes of `bits` bits: a value per bit, or packed in bytes.
///
/// # Errors
/// As [`read`] and [`Raw::codes`], and if they have another length.
pub fn codes(path: &str, bits: usize) -> Result<Codes, DataError> {
    let raw = read(path)?;
    let packed = raw.0.dtype() == DType::U8 && raw.shape().get(1).is_some_and(|bytes| 8 * bytes == bits);
    let codes = raw.codes(path, packed)?;
    if codes.bits() == bits {
        return Ok(codes);
    }
    Err(DataError::Damaged {
        path: file_of(path).to_owned(),
        problem: format!("codes of {} bits, expected {bits}", codes.bits()),
        help: "an array of codes has a column per bit, or one per eight bits if it is packed".to_owned(),
    })
}

fn broken(file: &Path) -> impl Fn(Problem) -> DataError {
    move |Problem { what, help }| DataError::Damaged { path: file.to_owned(), problem: what, help: help.to_owned() }
}

fn damaged(path: &Path, problem: impl Into<String>) -> DataError {
    let help = "correct it, and write the array again, e.g. with numpy.save".to_owned();
    DataError::Damaged { path: path.to_owned(), problem: problem.into(), help }
}

/// The named array, or the only one.
fn chosen(path: &Path, name: Option<&str>, names: &[String]) -> Result<String, DataError> {
    match (name, names) {
        (Some(name), _) if names.iter().any(|known| known == name) => Ok(name.to_owned()),
        (None, [only]) => Ok(only.clone()),
        _ => {
            let mut known: Vec<&str> = names.iter().map(String::as_str).collect();
            known.sort_unstable();
            let problem = match name {
                _ if known.is_empty() => "it holds no array".to_owned(),
                Some(name) => format!("there is no array `{name}`, but {}", known.join(", ")),
                None => format!("it holds several arrays: {}", known.join(", ")),
            };
            if known.is_empty() {
                return Err(damaged(path, problem));
            }
            let help =
                format!("name one of them behind `#`, as in `{}#{}`", path.display(), known.first().unwrap_or(&"NAME"));
            Err(DataError::Damaged { path: path.to_owned(), problem, help })
        }
    }
}

impl Raw {
    /// The array's shape.
    pub fn shape(&self) -> &[usize] {
        self.0.dims()
    }

    /// The array as codes `(items, bits)` of 0 and 1, of ±1, or of real values whose signs are the bits, or, of type uint8
    /// and `packed` or with other values than 0 and 1, as packed codes `(items, bytes)`.
    ///
    /// # Errors
    /// If it has another shape or no items, or holds NaN.
    pub fn codes(self, path: &str, packed: bool) -> Result<Codes, DataError> {
        let wrong = |error: EvalError| damaged(file_of(path), error.to_string());
        let [rows, columns] = *self.0.dims() else {
            return Err(self.misshapen(path, "(items, bits) or packed (items, bytes)"));
        };
        if rows * columns == 0 {
            return Err(self.misshapen(path, "at least one item with one bit"));
        }
        if self.0.dtype() == DType::U8 {
            let bytes: Vec<u8> = self.values(path, DType::U8)?;
            if packed || bytes.iter().any(|&byte| byte > 1) {
                return Codes::from_packed(&bytes, columns).map_err(wrong);
            }
        } else if packed {
            let found = format!("values of type {:?}, and packed codes are uint8", self.0.dtype());
            return Err(damaged(file_of(path), found));
        }
        let mut values: Vec<f32> = self.values(path, DType::F32)?;
        if let Some(at) = values.iter().position(|value| value.is_nan()) {
            let problem = format!("bit {} of item {} is NaN", at % columns, at / columns);
            return Err(damaged(file_of(path), problem));
        }
        if values.iter().all(|&value| value == 0.0 || value == 1.0) {
            values.iter_mut().for_each(|value| *value = 2.0 * *value - 1.0);
        }
        Codes::from_signs(&values, columns).map_err(wrong)
    }

    /// The array as grades `(queries, items)` from 0 to 255.
    ///
    /// # Errors
    /// If it has another shape or other values.
    pub fn grades(self, path: &str) -> Result<Vec<u8>, DataError> {
        let [_, _] = *self.0.dims() else { return Err(self.misshapen(path, "(queries, items)")) };
        let small = |grade: i64| u8::try_from(grade).map_err(|_| damaged(file_of(path), format!("a grade of {grade}")));
        self.whole(path)?.into_iter().map(small).collect()
    }

    /// The array as features.
    ///
    /// # Errors
    /// If it has another shape or no items, or holds what is no finite number.
    pub fn features(self, path: &str) -> Result<Array, DataError> {
        let (rows, views, dim) = match *self.0.dims() {
            [rows, dim] => (rows, 1, dim),
            [rows, views, dim] => (rows, views, dim),
            _ => return Err(self.misshapen(path, "(items, dim) or (items, views, dim)")),
        };
        if rows * views * dim == 0 {
            return Err(self.misshapen(path, "at least one item with one feature"));
        }
        let values: Vec<f32> = self.values(path, DType::F32)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (item, column, value) = (at / (views * dim), at % dim, values[at]);
            let problem = format!("feature {column} of item {item} is {value}, expected a finite number");
            return Err(damaged(file_of(path), problem));
        }
        Ok(Array { rows, views, dim, values })
    }

    /// The array as labels: class numbers, or multi-hot rows.
    ///
    /// # Errors
    /// If it has another shape, or values that are no integers from 0.
    pub fn labels(self, path: &str) -> Result<Labels, DataError> {
        let values = self.whole(path)?;
        match *self.0.dims() {
            [_] => {
                let classes = values.iter().max().map_or(0, |&largest| largest as usize + 1);
                if classes > MOST_CLASSES {
                    let problem = format!("class number {}, of at most {MOST_CLASSES} classes", classes - 1);
                    return Err(damaged(file_of(path), problem));
                }
                Ok(Labels::single(classes, values.into_iter().map(|class| class as usize)))
            }
            [_, classes] if classes > 0 => {
                if let Some(at) = values.iter().position(|&value| value > 1) {
                    let (item, class, value) = (at / classes, at % classes, values[at]);
                    let problem = format!("label {class} of item {item} is {value}, expected 0 or 1");
                    return Err(damaged(file_of(path), problem));
                }
                let hot = |row: &[i64]| -> Vec<usize> { (0..classes).filter(|&class| row[class] != 0).collect() };
                Ok(Labels::multi(classes, values.chunks_exact(classes).map(hot)))
            }
            _ => Err(self.misshapen(path, "(items) with class numbers or (items, classes) multi-hot")),
        }
    }

    /// The array as item indices.
    ///
    /// # Errors
    /// If it has another shape, or values that are no integers from 0.
    pub fn indices(self, path: &str) -> Result<Vec<u32>, DataError> {
        if self.0.rank() != 1 {
            return Err(self.misshapen(path, "(indices)"));
        }
        let small = |index: i64| u32::try_from(index).map_err(|_| damaged(file_of(path), format!("index {index}")));
        self.whole(path)?.into_iter().map(small).collect()
    }

    /// The values as integers from 0.
    fn whole(&self, path: &str) -> Result<Vec<i64>, DataError> {
        let file = file_of(path);
        let values: Vec<f64> = self.values(path, DType::F64)?;
        match values.iter().find(|value| value.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(*value)) {
            Some(odd) => Err(damaged(file, format!("{odd} where an integer from 0 is expected"))),
            None => Ok(values.into_iter().map(|value| value as i64).collect()),
        }
    }

    fn values<T: candle_core::WithDType>(&self, path: &str, dtype: DType) -> Result<Vec<T>, DataError> {
        let values = self.0.to_dtype(dtype).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        values.map_err(|error| damaged(file_of(path), error.to_string()))
    }

    fn misshapen(&self, path: &str, expected: &str) -> DataError {
        damaged(file_of(path), format!("an array of shape {:?}, expected {expected}", self.0.dims()))
    }
}

impl Array {
    /// Number of items.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a vector.
    pub fn width(&self) -> usize {
        self.dim
    }

    /// Views per item.
    pub fn count(&self) -> usize {
        self.views
    }

    /// One view of an item.
    pub fn row(&self, item: usize, view: usize) -> &[f32] {
        &self.values[(item * self.views + view) * self.dim..][..self.dim]
    }

    /// Adds shape and values to a digest.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        for size in [self.rows, self.views, self.dim] {
            hasher.update(&(size as u64).to_le_bytes());
        }
        hasher.update(bytemuck::cast_slice(&self.values));
    }
}
