//! The contrastive loss of two views.

use std::mem::MaybeUninit;
use std::ops::Range;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;

use super::ln::ln;
use crate::conv::by_pixels;
use crate::transformer::{exp, sum};
use crate::{cpu, gpu};

/// Computes NT-Xent (Chen et al., ICML 2020, eq. 1, summed as in Algorithm 1): the mean over all rows of −log softmax
/// of the row's partner, among all columns but the row itself.
///
/// # Shapes
/// `similarity` is `(2n, 2n)`, already divided by the temperature: n items in one view, then the same n in another, so
/// that row i's partner is i ± n. The result is a scalar. Of stacked runs, `(runs, 2n, 2n)`, it is `(runs,)`; on the
/// CPU with the bits of each run alone.
///
/// # Errors
/// If `similarity` is not such a matrix or stack of matrices.
pub fn nt_xent(similarity: &Tensor) -> Result<Tensor> {
    let dims = similarity.dims();
    let rows = match *dims {
        [rows, columns] | [_, rows, columns] if rows == columns && rows % 2 == 0 => rows,
        _ => 0,
    };
    if rows == 0 || similarity.elem_count() == 0 {
        bail!("the contrastive loss of two views needs as many items in each, got similarities {dims:?}");
    }
    if cpu::is_f32(&[similarity]) || gpu::is_f32(&[similarity]) {
        return similarity.contiguous()?.apply_op1(NtXent);
    }
    let (dtype, device) = (similarity.dtype(), similarity.device());
    let at = |matches: &dyn Fn(usize, usize) -> bool, value: f32| {
        let cells = (0..rows * rows).map(|i| if matches(i / rows, i % rows) { value } else { 0.0 });
        Tensor::from_iter(cells, device)?.reshape((rows, rows))?.to_dtype(dtype)
    };
    let partners = at(&|row, column| partner(row, rows) == column, 1.0)?;
    let itself = at(&|row, column| row == column, -1e9)?; // leaves the row itself out of the denominator
    let positive = similarity.broadcast_mul(&partners)?.sum(D::Minus1)?;
    let denominator = similarity.broadcast_add(&itself)?.log_sum_exp(D::Minus1)?;
    (denominator - positive)?.mean(D::Minus1)
}

/// The other view of the item in `row`.
fn partner(row: usize, rows: usize) -> usize {
    (row + rows / 2) % rows
}

/// Number of runs, and of rows of each, of a matrix or a stack of matrices.
fn sizes(dims: &[usize]) -> (usize, usize) {
    (dims[..dims.len() - 2].iter().product(), dims[dims.len() - 1])
}

struct NtXent;

/// Rows that a thread takes together.
const CHUNK: usize = 64;

/// Writes exp(`x` − the maximum of `x` without `x[row]`), 0 at `row`, and returns that maximum and the sum.
#[inline(always)]
fn exponentials(x: &[f32], row: usize, out: &mut [MaybeUninit<f32>]) -> (f32, f32) {
    let (before, after) = (&x[..row], &x[row + 1..]);
    let largest = before.iter().chain(after).fold(f32::NEG_INFINITY, |largest, x| largest.max(*x));
    for (out, x) in out.iter_mut().zip(x) {
        out.write(exp(x - largest));
    }
    out[row].write(0.0);
    // SAFETY: the loop above initialized every element.
    (largest, sum(x.len(), |i| unsafe { out[i].assume_init() }))
}

impl CustomOp1 for NtXent {
    fn name(&self) -> &'static str {
        "nt-xent"
    }

    /// The rows of all runs are one sequence: a row's loss depends on the row alone.
    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (runs, rows)) = (cpu::elements(storage, layout)?, sizes(layout.dims()));
        let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let e = &mut vec![MaybeUninit::uninit(); rows][..];
            vectorized!(|out: &'a mut [MaybeUninit<f32>],
                         range: Range<usize>,
                         x: &'a [f32],
                         e: &'a mut [MaybeUninit<f32>]| {
                let rows = e.len();
                for (index, out) in range.zip(out) {
                    let (x, row) = (&x[index * rows..][..rows], index % rows);
                    let (largest, sum) = exponentials(x, row, e);
                    out.write(largest + ln(sum) - x[partner(row, rows)]);
                }
            });
        };
        // SAFETY: `range` is as long as `out`.
        let losses = unsafe { by_pixels(runs * rows, 1, CHUNK, body) };
        let means = losses.chunks_exact(rows).map(|losses| sum(rows, |i| losses[i]) / rows as f32).collect();
        Ok((CpuStorage::F32(means), Shape::from(&layout.dims()[..layout.dims().len() - 2])))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        super::cuda::nt_xent(storage, layout)
    }

    /// The gradient of a row is the softmax minus 1 at the partner, over the number of rows.
    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return super::cuda::nt_xent_gradient(x, dy).map(Some);
        }
        let (runs, rows) = sizes(x.dims());
        let scales: Vec<f32> = dy.flatten_all()?.to_vec1::<f32>()?.into_iter().map(|dy| dy / rows as f32).collect();
        let dx = cpu::with_elements(x, |x| {
            let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
                let scales = &scales[..];
                vectorized!(|out: &'a mut [MaybeUninit<f32>], range: Range<usize>, x: &'a [f32], scales: &'a [f32]| {
                    let rows = out.len() / range.len();
                    for (index, out) in range.zip(out.chunks_exact_mut(rows)) {
                        let (row, scale) = (index % rows, scales[index / rows]);
                        let (_, sum) = exponentials(&x[index * rows..][..rows], row, out);
                        let share = scale / sum;
                        for out in &mut *out {
                            // SAFETY: `exponentials` initialized every element.
                            let e = unsafe { out.assume_init() };
                            out.write(e * share);
                        }
                        let out = &mut out[partner(row, rows)];
                        // SAFETY: as above.
                        out.write(unsafe { out.assume_init() } - scale);
                    }
                });
            };
            // SAFETY: `range` has as many rows as `out`.
            Ok(unsafe { by_pixels(runs * rows, rows, CHUNK, body) })
        })?;
        Ok(Some(cpu::tensor(dx, x.shape())?))
    }
}
