//! Accumulation in f32.

use candle_core::{DType, Result, Tensor};

/// Returns `x` in f32 if its type is f16 or bf16, in which a sum of its elements would lose small ones.
pub fn widen(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}

/// Adds `term`, which is broadcast, to `x`; the result has the type of `x`. The gradient of `term` is a sum over all that
/// it was added to, which candle computes in the type of the operands: f32 for f16 and bf16.
///
/// # Errors
/// If `term` cannot be broadcast to the shape of `x`.
pub fn broadcast_add(x: &Tensor, term: &Tensor) -> Result<Tensor> {
    widen(x)?.broadcast_add(&widen(term)?)?.to_dtype(x.dtype())
}

/// Selects rows of `table`; the gradient of a row is a sum over its selections, in f32 for f16 and bf16.
///
/// # Errors
/// If `rows` is no vector of indices.
pub fn select_rows(table: &Tensor, rows: &Tensor) -> Result<Tensor> {
    widen(table)?.index_select(rows, 0)?.to_dtype(table.dtype())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// In bf16, a sum of ones ends at 256.
    #[test]
    fn gradients_are_summed_in_f32() {
        const ROWS: usize = 5000;
        let ones = |shape: &[usize]| Tensor::ones(shape, DType::BF16, &Device::Cpu).unwrap();
        let term = Var::from_tensor(&ones(&[3])).unwrap();
        let gradient = |y: Tensor| {
            let sum = y.to_dtype(DType::F32).unwrap().sum_all().unwrap();
            let found = sum.backward().unwrap().get(&term).unwrap().clone();
            assert_eq!(found.dtype(), DType::BF16);
            found.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let added = broadcast_add(&ones(&[ROWS, 3]), &term).unwrap();
        assert_eq!(added.dtype(), DType::BF16);
        let rows = Tensor::zeros(ROWS, DType::U32, &Device::Cpu).unwrap();
        let selected = select_rows(&term.reshape((3, 1)).unwrap(), &rows).unwrap();
        let near = |found: f32| (found - ROWS as f32).abs() < 0.01 * ROWS as f32;
        assert!(gradient(added).into_iter().all(near));
        let [first, others @ ..] = &gradient(selected)[..] else { panic!("three rows") };
        assert!(near(*first) && others == [0.0, 0.0], "{first} {others:?}");
    }
}
