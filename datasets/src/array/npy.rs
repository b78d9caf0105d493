//! .npy files, whole or part by part: arrays may be larger than memory.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Error, Tensor};
use hashlab_data::DataError;

use super::{Raw, broken, file_of, readable};

/// An array in a .npy file.
pub struct NpyFile {
    file: File,
    /// Where its values start.
    start: u64,
    element: Element,
    shape: Vec<usize>,
}

/// Type of an array's values.
#[derive(Clone, Copy)]
enum Element {
    /// One that a tensor holds.
    Of(DType),
    /// int8, which becomes int16.
    SignedByte,
}

/// Reads a whole file.
pub(super) fn read(file: &Path) -> Result<Tensor, Error> {
    let mut array = NpyFile::of(file)?;
    let shape = array.shape.clone();
    array.values(0, shape)
}

impl NpyFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read as an array in C order, with the file's name.
    pub fn open(path: &str) -> Result<Self, DataError> {
        readable(file_of(path))?;
        Self::of(file_of(path)).map_err(broken(file_of(path)))
    }

    /// Number of rows: the first axis.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or_default()
    }

    /// The array's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads some rows.
    ///
    /// # Errors
    /// If the file ends before them; `path` names it.
    pub fn read(&mut self, path: &str, rows: Range<usize>) -> Result<Raw, DataError> {
        self.part(rows).map(Raw).map_err(broken(file_of(path)))
    }

    fn of(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path)?;
        let mut head = [0; 12];
        file.read_exact(&mut head)?;
        // Magic and version, then the length of the header in two bytes, or in four from version 2 on.
        let (start, length) = if head[6] == 1 { (10, &head[8..10]) } else { (12, &head[8..12]) };
        let length = length.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
        if !head.starts_with(b"\x93NUMPY") || length > 1 << 16 {
            return Err(Error::Npy("magic string mismatch".to_owned()));
        }
        let mut header = vec![0; length];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut header)?;
        let header = String::from_utf8_lossy(&header);
        if header.contains("'fortran_order': True") {
            return Err(Error::Npy("fortran order not supported".to_owned()));
        }
        let shape = between(&header, "(", ")").split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape = shape.map(|size| Ok(size.parse::<usize>()?)).collect::<Result<Vec<_>, Error>>()?;
        let element = Element::named(between(&header, "'descr': '", "'"))?;
        let start = start + length as u64;
        // Sizes that the file cannot fill would fill the memory; without values, their product must be a number, too.
        let bytes = shape.iter().try_fold(element.bytes(), |bytes, &size| bytes.checked_mul(size.max(1)));
        let bytes = bytes.map(|bytes| if shape.contains(&0) { 0 } else { bytes as u64 });
        let end = bytes.and_then(|bytes| start.checked_add(bytes));
        if end.is_none_or(|end| end > file.metadata().map_or(0, |metadata| metadata.len())) {
            return Err(Error::Npy(format!("an array of shape {shape:?} is more than the file holds")));
        }
        Ok(Self { file, start, element, shape })
    }

    fn part(&mut self, rows: Range<usize>) -> Result<Tensor, Error> {
        let row = self.shape.iter().skip(1).product::<usize>();
        let rows = rows.start.min(self.rows())..rows.end.min(self.rows());
        self.values(rows.start * row, [rows.len()].into_iter().chain(self.shape.iter().skip(1).copied()).collect())
    }

    /// Reads an array of this shape that begins with value number `first`.
    fn values(&mut self, first: usize, shape: Vec<usize>) -> Result<Tensor, Error> {
        let mut bytes = vec![0; shape.iter().product::<usize>() * self.element.bytes()];
        self.file.seek(SeekFrom::Start(self.start + (first * self.element.bytes()) as u64))?;
        self.file.read_exact(&mut bytes)?;
        match self.element {
            Element::Of(dtype) => Tensor::from_raw_buffer(&bytes, dtype, &shape, &Device::Cpu),
            Element::SignedByte => {
                let values: Vec<i16> = bytes.iter().map(|&byte| i16::from(byte.cast_signed())).collect();
                Tensor::from_vec(values, shape, &Device::Cpu)
            }
        }
    }
}

/// The text between two others; empty if they do not occur.
fn between<'t>(text: &'t str, before: &str, behind: &str) -> &'t str {
    let inner = text.split_once(before).and_then(|(_, rest)| rest.split_once(behind));
    inner.map_or("", |(inner, _)| inner)
}

impl Element {
    /// The type of numpy's name, little-endian.
    fn named(descr: &str) -> Result<Self, Error> {
        let descr = descr.trim_start_matches(['<', '|', '=']);
        Ok(Self::Of(match descr {
            "i1" => return Ok(Self::SignedByte),
            "f2" => DType::F16,
            "f4" => DType::F32,
            "f8" => DType::F64,
            "u1" | "b1" => DType::U8,
            "u4" => DType::U32,
            "i2" => DType::I16,
            "i4" => DType::I32,
            "i8" => DType::I64,
            _ => return Err(Error::Npy(format!("unrecognized descr {descr}"))),
        }))
    }

    fn bytes(self) -> usize {
        match self {
            Self::Of(dtype) => dtype.size_in_bytes(),
            Self::SignedByte => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn sizes_that_fill_the_memory_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let array = |shape: &str| {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((header.len() as u16).to_le_bytes());
            bytes.extend(header.bytes());
            bytes.extend([0; 24]);
            fs::write(&path, bytes).unwrap();
            crate::array::read(path.to_str().unwrap()).map(|raw| raw.shape().to_vec())
        };
        assert_eq!(array("(2, 3)").unwrap(), [2, 3]);
        assert_eq!(array("()").unwrap(), [0; 0]);
        assert_eq!(array("(0, 3)").unwrap(), [0, 3]);
        for shape in ["(1000000000, 3)", "(4294967296, 4294967296)", "(0, 4294967296, 4294967296)", "(7,)"] {
            let refused = array(shape).unwrap_err().to_string();
            assert!(refused.contains("more than the file holds"), "{refused}");
            assert!(NpyFile::open(path.to_str().unwrap()).is_err());
        }
    }
}
