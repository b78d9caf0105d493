//! Matrix products of slices: on the processor's matrix unit where it has one, else through the `gemm` crate.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod amx;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "no_amx.rs"]
pub(crate) mod amx;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx_tiles;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod bf16_terms;

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

/// Largest number of values of a piece of [`Windows`].
pub(crate) const PIECE: usize = 32;

/// A left factor whose rows are pieced together, as a convolution's windows are.
pub(crate) trait Windows: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// Returns a piece of a row; a piece shorter than [`PIECE`] is followed by zeros. The right factor has that many
    /// rows for each piece.
    fn piece(&self, row: usize, piece: usize) -> &[f32];
}

/// Operation on a part of a row of the result once it is complete.
pub(crate) trait Finish: Sync {
    /// Changes the elements of `row` from `column` on. Must be `inline(always)`, to be compiled with the caller's
    /// instruction set.
    fn finish(&self, row: usize, column: usize, elements: &mut [f32]);
}

/// Returns `a·b`, row-major.
pub(crate) fn matmul(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    // SAFETY: without accumulation `gemm` writes every element and reads none.
    unsafe { filled(a.rows * b.cols, |out| product(out.as_mut_ptr().cast(), a, b, false)) }
}

/// Adds `a·b` to the row-major `out`.
pub(crate) fn matmul_add(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(out.len(), a.rows * b.cols, "the product has {} by {} elements", a.rows, b.cols);
    // SAFETY: `out` is initialized and has the size of the product.
    unsafe { product(out.as_mut_ptr(), a, b, true) }
}

/// # Safety
/// `out` must be valid for `a.rows · b.cols` elements, initialized if `accumulate`.
unsafe fn product(out: *mut f32, a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    assert_eq!(a.cols, b.rows, "inner sizes of a matrix product");
    if amx::pays([a.rows, b.cols, a.cols]) {
        // SAFETY: by this function's contract.
        return unsafe { amx::Packed::new(b).product(out, a, accumulate) };
    }
    // SAFETY: the same.
    unsafe { gemm_product(out, a, b, accumulate) }
}

/// # Safety
/// As [`product`].
unsafe fn gemm_product(out: *mut f32, a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    // SAFETY: `Matrix::row_major` checked both extents, and transposing keeps them; `out` is valid by this function's
    // contract.
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

#[cfg(test)]
mod tests {
    use hashlab_rng::stream;

    use super::*;

    /// A product in f64, and the sum of the magnitudes of its terms, which rounding errors are relative to.
    fn exact(a: Matrix<'_>, b: Matrix<'_>) -> Vec<(f64, f64)> {
        let at = |m: Matrix<'_>, row: usize, col: usize| f64::from(m.data[row * m.row_stride + col * m.col_stride]);
        let mut sums = Vec::with_capacity(a.rows * b.cols);
        for row in 0..a.rows {
            for col in 0..b.cols {
                let terms = (0..a.cols).map(|k| at(a, row, k) * at(b, k, col));
                sums.push(terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs())));
            }
        }
        sums
    }

    /// Errors relative to the magnitudes, in units of f32's last place.
    fn errors(got: &[f32], exact: &[(f64, f64)]) -> Vec<f64> {
        let error =
            |(got, (sum, size)): (&f32, &(f64, f64))| (f64::from(*got) - sum).abs() / (size * f64::from(f32::EPSILON));
        assert_eq!(got.len(), exact.len());
        got.iter().zip(exact).map(error).collect()
    }

    fn values(len: usize, key: u64) -> Vec<f32> {
        let mut rng = stream(key, "matmul-test", &[]);
        // Of many magnitudes, so that the low terms count.
        (0..len).map(|_| (rng.normal() * 2f64.powf(rng.normal() * 4.0)) as f32).collect()
    }

    fn shapes() -> impl Iterator<Item = [usize; 3]> {
        let mut rng = stream(0, "matmul-shapes", &[]);
        let edges = [[1, 1, 1], [32, 32, 32], [33, 31, 1], [64, 512, 192], [31, 545, 200], [97, 64, 385]];
        edges.into_iter().chain((0..20).map(move |_| [100, 100, 300].map(|most| 1 + rng.below(most) as usize)))
    }

    type Product = unsafe fn(*mut f32, Matrix<'_>, Matrix<'_>, bool);

    /// Every layout of both factors, written and added.
    fn check(product: Product) {
        let exact_enough = |got: &[f32], exact: &[(f64, f64)]| errors(got, exact).into_iter().all(|error| error < 16.0);
        for (key, [rows, cols, depth]) in shapes().enumerate() {
            let (left, right) = (values(rows * depth, 2 * key as u64), values(depth * cols, 2 * key as u64 + 1));
            for a in [Matrix::row_major(&left, rows, depth), Matrix::row_major(&left, depth, rows).t()] {
                for b in [Matrix::row_major(&right, depth, cols), Matrix::row_major(&right, cols, depth).t()] {
                    let exact = exact(a, b);
                    let mut out = vec![f32::NAN; rows * cols];
                    // SAFETY: `out` has the size of the product.
                    unsafe { product(out.as_mut_ptr(), a, b, false) };
                    assert!(exact_enough(&out, &exact), "{rows}×{depth}·{depth}×{cols}");
                    // SAFETY: the same.
                    unsafe { product(out.as_mut_ptr(), a, b, true) };
                    let twice: Vec<_> = exact.iter().map(|(sum, size)| (2.0 * sum, 2.0 * size)).collect();
                    assert!(exact_enough(&out, &twice), "{rows}×{depth}·{depth}×{cols}, added");
                }
            }
        }
    }

    #[test]
    fn products_equal_those_in_f64_within_rounding() {
        check(gemm_product);
        check(product);
    }

    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn the_matrix_unit_is_as_exact_as_f32_arithmetic() {
        unsafe fn on_the_unit(out: *mut f32, a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
            // SAFETY: the test's `out` has the size of the product.
            unsafe { amx::Packed::new(b).product(out, a, accumulate) }
        }
        if !amx::pays([PIECE, 2 * PIECE, PIECE]) {
            return;
        }
        check(on_the_unit);
        let (left, right) = (values(100 * 1000, 0), values(1000 * 100, 1));
        let (a, b) = (Matrix::row_major(&left, 100, 1000), Matrix::row_major(&right, 1000, 100));
        let exact = exact(a, b);
        let mean = |product: Product| {
            let mut out = vec![0.0; 100 * 100];
            // SAFETY: `out` has the size of the product.
            unsafe { product(out.as_mut_ptr(), a, b, false) };
            errors(&out, &exact).iter().sum::<f64>() / exact.len() as f64
        };
        let (unit, f32) = (mean(on_the_unit), mean(gemm_product));
        assert!(unit < f32, "mean error {unit} against {f32}");
    }

    #[test]
    fn products_are_the_same_bits_on_any_number_of_threads() {
        let (left, right) = (values(200 * 1500, 0), values(1500 * 130, 1));
        let (a, b) = (Matrix::row_major(&left, 200, 1500), Matrix::row_major(&right, 1500, 130));
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| matmul(a, b))
        };
        let one = on(1);
        assert_eq!(one, on(2));
        assert_eq!(one, on(5));
    }

    #[test]
    fn rows_are_the_same_bits_among_any_others_on_the_matrix_unit() {
        if !amx::pays([32, 130, 1500]) {
            return;
        }
        let (left, right) = (values(200 * 1500, 0), values(1500 * 130, 1));
        let b = Matrix::row_major(&right, 1500, 130);
        let all = matmul(Matrix::row_major(&left, 200, 1500), b);
        for rows in [10..43, 64..128, 151..200] {
            let part = Matrix::row_major(&left[rows.start * 1500..rows.end * 1500], rows.len(), 1500);
            assert_eq!(matmul(part, b), all[rows.start * 130..rows.end * 130]);
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let (mut left, right) = (values(64 * 64, 0), values(64 * 64, 1));
            left[70] = bad;
            let y = matmul(Matrix::row_major(&left, 64, 64), Matrix::row_major(&right, 64, 64));
            assert!(y[64..128].iter().all(|y| !y.is_finite()) && y[..64].iter().all(|y| y.is_finite()));
        }
    }
}
