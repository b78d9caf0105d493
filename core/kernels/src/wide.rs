//! Sums of many numbers that have few digits.

use candle_core::{DType, Result, Tensor};

/// Returns `x` in f32 if it is of half the width: a sum of its elements in its own type would lose small ones.
pub(crate) fn wide(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
