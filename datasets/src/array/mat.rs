//! Arrays from MATLAB's .mat files, which the cross-modal toolkits keep codes in.

use std::path::Path;

use candle_core::{Device, Tensor};
use hashlab_data::DataError;

use super::{chosen, damaged};
use crate::own::mat::{Array, names, read as read_variable};

/// Reads the array of a name, or the only one. MATLAB has no lists, so that a single column or row is one here.
pub(super) fn read(file: &Path, name: Option<&str>) -> Result<Tensor, DataError> {
    let known = names(file)?;
    let name = chosen(file, name, &known)?;
    let Array::Numbers([rows, columns], values) = read_variable(file, &[&name])? else {
        return Err(damaged(file, format!("`{name}` holds no numbers")));
    };
    // Columns come first in the file.
    let tensor = match (rows, columns) {
        (items, 1) | (1, items) => Tensor::from_vec(values, items, &Device::Cpu),
        _ => Tensor::from_vec(values, (columns, rows), &Device::Cpu).and_then(|array| array.t()?.contiguous()),
    };
    tensor.map_err(|error| damaged(file, error.to_string()))
}
