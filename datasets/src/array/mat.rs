//! Arrays from MATLAB's .mat files of version 5, which the cross-modal toolkits keep codes in.

use std::fs::File;
use std::path::Path;

use candle_core::{Device, Tensor};
use hashlab_data::DataError;
use matfile::{Array, MatFile, NumericData};

use super::{broken, chosen, damaged};

/// Reads the array of a name, or the only one. MATLAB has no lists, so that a single column or row is one here.
pub(super) fn read(file: &Path, name: Option<&str>) -> Result<Tensor, DataError> {
    let opened = File::open(file).map_err(|error| damaged(file, error.to_string()))?;
    let parsed = MatFile::parse(opened)
        .map_err(|_| damaged(file, "it is no MAT file of version 5; `save(…, '-v7')` writes one, '-v7.3' does not"))?;
    let names: Vec<String> = parsed.arrays().iter().map(|array| array.name().to_owned()).collect();
    let name = chosen(file, name, &names.iter().collect::<Vec<_>>())?;
    let array = parsed.find_by_name(&name).ok_or_else(|| damaged(file, format!("there is no array `{name}`")))?;
    let values = real(array).ok_or_else(|| damaged(file, format!("`{name}` is complex")))?;
    let shape = match *array.size().as_slice() {
        [rows, 1] | [1, rows] => vec![rows],
        _ => array.size().iter().rev().copied().collect(),
    };
    // Columns come first in the file.
    let transposed = |tensor: Tensor| if shape.len() == 2 { tensor.t()?.contiguous() } else { Ok(tensor) };
    Tensor::from_vec(values, shape.clone(), &Device::Cpu).and_then(transposed).map_err(broken(file))
}

/// The numbers of an array; none if they are complex.
fn real(array: &Array) -> Option<Vec<f64>> {
    macro_rules! numbers {
        ($($kind:ident)*) => {
            match array.data() {
                $(NumericData::$kind { real, imag: None } => Some(real.iter().map(|&value| value as f64).collect()),)*
                _ => None,
            }
        };
    }
    numbers!(Int8 UInt8 Int16 UInt16 Int32 UInt32 Int64 UInt64 Single Double)
}
