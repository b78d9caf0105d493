//! Writer of arrays as `.npy` files, format 1.0.

use std::io::{self, BufWriter, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::CacheError;
use crate::folder::{publish, temporary};

/// A number that an array may hold.
pub trait Element: bytemuck::NoUninit {
    /// numpy's name of the type, without the byte order, e.g. `f4`.
    const KIND: &'static str;
}

impl Element for f32 {
    const KIND: &'static str = "f4";
}

impl Element for u8 {
    const KIND: &'static str = "u1";
}

impl Element for u32 {
    const KIND: &'static str = "u4";
}

impl Element for i64 {
    const KIND: &'static str = "i8";
}

/// Writer of an array in pieces. [`Writer::finish`] renames the complete file to its name.
pub struct Writer<T: Element> {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    /// Values not yet written.
    missing: usize,
    element: PhantomData<T>,
}

impl<T: Element> Writer<T> {
    /// Starts an array of the given shape; its values follow in row-major order.
    ///
    /// # Errors
    /// If the file's folder cannot be written to.
    pub fn create(path: &Path, shape: &[usize]) -> Result<Self, CacheError> {
        let start = || {
            let mut file = BufWriter::with_capacity(1 << 20, temporary(path)?);
            file.write_all(&header::<T>(shape))?;
            Ok(file)
        };
        let file = start().map_err(CacheError::io("write", path))?;
        Ok(Self { path: path.to_owned(), file, missing: shape.iter().product(), element: PhantomData })
    }

    /// Appends values.
    ///
    /// # Errors
    /// If they cannot be written.
    ///
    /// # Panics
    /// If they are more than the shape has.
    pub fn write(&mut self, values: &[T]) -> Result<(), CacheError> {
        assert!(values.len() <= self.missing, "{} values beyond the array's shape", values.len() - self.missing);
        self.missing -= values.len();
        self.file.write_all(bytemuck::cast_slice(values)).map_err(CacheError::io("write", &self.path))
    }

    /// Renames the complete file to its name.
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// If values are missing.
    pub fn finish(self) -> Result<(), CacheError> {
        assert_eq!(self.missing, 0, "values of the array's shape that were not written");
        let path = &self.path;
        let flushed = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        flushed.and_then(|file| publish(file, path)).map_err(CacheError::io("write", path))
    }
}

/// Writes an array at once.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If the number of values is not the product of `shape`.
pub fn write<T: Element>(path: &Path, shape: &[usize], values: &[T]) -> Result<(), CacheError> {
    let mut writer = Writer::create(path, shape)?;
    writer.write(values)?;
    writer.finish()
}

/// Magic, version, length and the description, padded so that the values start at a multiple of 64 bytes.
fn header<T: Element>(shape: &[usize]) -> Vec<u8> {
    const PRELUDE: usize = 10;
    let order = match size_of::<T>() {
        1 => '|',
        _ if cfg!(target_endian = "little") => '<',
        _ => '>',
    };
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() > 1 { sizes.trim_end_matches(", ") } else { sizes.trim_end() };
    let mut text = format!("{{'descr': '{order}{}', 'fortran_order': False, 'shape': ({sizes}), }}", T::KIND);
    let padded = (PRELUDE + text.len() + 1).next_multiple_of(64);
    text.push_str(&" ".repeat(padded - PRELUDE - text.len() - 1));
    text.push('\n');
    let length = u16::try_from(text.len()).expect("an array's description is short");
    [b"\x93NUMPY\x01\x00".as_slice(), &length.to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers by numpy 2 of the same arrays:
    /// ```python
    /// import io, numpy as np
    /// for a in [np.zeros((2, 3), 'f4'), np.zeros(5, 'i8'), np.zeros((0, 4), 'u1'), np.zeros((), 'u4')]:
    ///     f = io.BytesIO(); np.save(f, a); print(f.getvalue()[:128])
    /// ```
    #[test]
    fn headers_are_numpys() {
        let numpys = |description: &str| {
            let mut bytes = b"\x93NUMPY\x01\x00v\x00".to_vec();
            bytes.extend(format!("{description:<117}\n").bytes());
            bytes
        };
        let cases = [
            (header::<f32>(&[2, 3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"),
            (header::<i64>(&[5]), "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }"),
            (header::<u8>(&[0, 4]), "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4), }"),
            (header::<u32>(&[]), "{'descr': '<u4', 'fortran_order': False, 'shape': (), }"),
        ];
        for (written, description) in cases {
            assert_eq!(written, numpys(description), "{description}");
        }
    }

    #[test]
    fn pieces_make_the_whole_and_nothing_appears_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (pieces, whole) = (folder.path().join("pieces.npy"), folder.path().join("whole.npy"));
        let mut writer = Writer::create(&pieces, &[2, 2]).unwrap();
        writer.write(&[1.0f32]).unwrap();
        writer.write(&[2.0, 3.0, 4.0]).unwrap();
        assert!(!pieces.exists());
        writer.finish().unwrap();
        write(&whole, &[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
        let bytes = std::fs::read(&pieces).unwrap();
        assert_eq!(bytes, std::fs::read(&whole).unwrap());
        assert_eq!(bytes[128..], [1.0f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn an_unfinished_array_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(&folder.path().join("a.npy"), &[2]).unwrap();
        writer.write(&[1i64]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    #[should_panic(expected = "values of the array's shape that were not written")]
    fn missing_values_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let _ = write(&folder.path().join("a.npy"), &[3], &[1u8, 2]);
    }
}
