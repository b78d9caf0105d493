//! Products of parts of matrices, small enough for one thread.

use std::ops::Range;

/// A strided view of a matrix; strides are in elements.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    data: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Block<'a> {
    /// Views these columns of a row-major matrix, whose rows have `width` elements.
    pub(super) fn columns(data: &'a [f32], width: usize, columns: Range<usize>) -> Self {
        assert!(columns.end <= width && data.len().is_multiple_of(width), "columns of rows of {width}");
        let shape = [data.len() / width, columns.len()];
        Self { data: data.get(columns.start..).unwrap_or(&[]), shape, strides: [width, 1] }
    }

    /// Returns the transposed view.
    pub(super) fn t(self) -> Self {
        let ([rows, cols], [down, across]) = (self.shape, self.strides);
        Self { shape: [cols, rows], strides: [across, down], ..self }
    }
}

/// Writes `scale · a·b` to the first columns of `out`, whose rows begin `width` elements apart.
pub(super) fn product(out: &mut [f32], width: usize, scale: f32, a: Block<'_>, b: Block<'_>) {
    let ([rows, inner], [other, cols]) = (a.shape, b.shape);
    assert_eq!(inner, other, "inner sizes of a matrix product");
    if rows == 0 {
        return;
    }
    assert!(cols <= width && (rows - 1) * width + cols <= out.len(), "room for {rows} by {cols} elements");
    let ([a_down, a_across], [b_down, b_across]) = (a.strides, b.strides);
    // SAFETY: `Block::columns` keeps both views within their slices, and transposing does, too; the extent of the
    // result was checked. Without accumulation `gemm` does not read it.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            inner,
            out.as_mut_ptr(),
            1,
            width as isize,
            false,
            a.data.as_ptr(),
            a_across as isize,
            a_down as isize,
            b.data.as_ptr(),
            b_across as isize,
            b_down as isize,
            0.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
