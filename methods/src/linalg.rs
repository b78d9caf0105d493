//! Conversions between tensors and the linear algebra of shallow methods, which runs in f64 on the CPU.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use faer::{Mat, Side};
use hashlab_method::{BuildContext, RunFacts, Violations};

/// Copies a tensor `(n, d)` into a matrix.
pub(crate) fn to_matrix(tensor: &Tensor) -> Result<Mat<f64>> {
    let (n, d) = tensor.dims2()?;
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(Mat::from_fn(n, d, |i, j| values[i * d + j]))
}

/// Copies a matrix into an f32 tensor.
pub(crate) fn to_tensor(matrix: &Mat<f64>, device: &Device) -> Result<Tensor> {
    let (n, d) = (matrix.nrows(), matrix.ncols());
    let values: Vec<f32> = (0..n * d).map(|i| matrix[(i / d, i % d)] as f32).collect();
    Ok(Tensor::from_vec(values, (n, d), device)?)
}

/// The mean over rows `(1, d)` and the rows without it.
pub(crate) fn center(x: &Mat<f64>) -> (Mat<f64>, Mat<f64>) {
    let n = x.nrows() as f64;
    let mean = Mat::from_fn(1, x.ncols(), |_, j| x.col(j).iter().sum::<f64>() / n);
    let centered = Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] - mean[(0, j)]);
    (mean, centered)
}

/// Whether a method that takes every bit from a principal direction of its own can make `cx.bits` bits.
///
/// # Errors
/// If there are fewer feature dimensions than bits.
pub(crate) fn check_dimensions(cx: &BuildContext) -> Result<()> {
    let (bits, dim) = (cx.bits, cx.dim()?);
    ensure!(bits <= dim, "{bits} bits need at least {bits} feature dimensions, there are {dim}");
    Ok(())
}

/// Violations at planning time for the errors of [`check_dimensions`] and [`check_items`].
pub(crate) fn check_facts(run: &RunFacts) -> Violations {
    let Some((_, &dim)) = run.dims.only() else { return check_train_items(run) };
    let bits = run.bits;
    let message = format!("{bits} bits need at least {bits} feature dimensions, there are {dim}");
    check_train_items(run).require(bits <= dim, ["bits"], message)
}

/// Violations at planning time for the errors of [`check_items`].
pub(crate) fn check_train_items(run: &RunFacts) -> Violations {
    match run.train_items.map(|items| check_items(items, run.bits)) {
        Some(Err(error)) => {
            Violations::one(["bits"], format!("{error}\nhelp: ask for fewer bits, or train on more items"))
        }
        _ => Violations::none(),
    }
}

/// Whether `items` training items have a principal direction for every bit: centered, they span at most one dimension
/// less than their number.
///
/// # Errors
/// If there are not more items than bits.
pub(crate) fn check_items(items: usize, bits: usize) -> Result<()> {
    ensure!(items > bits, "{bits} bits need more than {bits} training items, there are {items}");
    Ok(())
}

/// The `k` leading principal directions `(d, k)` of centered rows `(n, d)`, by falling variance.
///
/// # Errors
/// If the eigendecomposition fails.
///
/// # Panics
/// If there are fewer dimensions than `k`.
pub(crate) fn principal_directions(centered: &Mat<f64>, k: usize) -> Result<Mat<f64>> {
    let d = centered.ncols();
    assert!(k <= d, "{k} directions in {d} dimensions");
    let covariance = centered.transpose() * centered;
    let eigen = covariance.self_adjoint_eigen(Side::Lower).ok().context("the covariance has no eigendecomposition")?;
    // Ascending eigenvalues: the leading directions stand last.
    Ok(Mat::from_fn(d, k, |i, j| eigen.U()[(i, d - 1 - j)]))
}
