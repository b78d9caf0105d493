//! Accumulation in f32.

use candle_core::{DType, Result, Tensor};

/// Returns `x` in f32 if its type is f16 or bf16, in which a sum of its elements would lose small ones.
pub(crate) fn widen(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
