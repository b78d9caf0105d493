//! Matrix products of slices, through the `gemm` crate.

use crate::cpu::filled;
use crate::threads;

/// A strided view of a matrix; strides are in elements.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Views `data` as a row-major matrix of `cols` columns.
    pub(crate) fn row_major(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a matrix of {rows} by {cols} elements");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Returns the transposed view.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            data: self.data,
        }
    }
}

/// Returns `a·b`, row-major.
pub(crate) fn matmul(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    // SAFETY: without accumulation `gemm` writes every element and reads none.
    unsafe { filled(a.rows * b.cols, |out| product(out.as_mut_ptr().cast(), a, b, false)) }
}

/// Adds `a·b` to the row-major `out`.
pub(crate) fn matmul_add(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(out.len(), a.rows * b.cols, "the product has {} by {} elements", a.rows, b.cols);
    // SAFETY: `out` is initialised and has the size of the product.
    unsafe { product(out.as_mut_ptr(), a, b, true) }
}

/// # Safety
/// `out` must be valid for `a.rows · b.cols` elements, initialised if `accumulate`.
unsafe fn product(out: *mut f32, a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    assert_eq!(a.cols, b.rows, "inner sizes of a matrix product");
    // SAFETY: `Matrix::row_major` checked both extents, and transposing keeps them; `out` is the caller's promise.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out,
            1,
            b.cols as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            threads::parallelism(),
        );
    }
}
