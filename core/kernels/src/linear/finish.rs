//! Last pass of a dense layer over its product.

use std::mem::MaybeUninit;

use hashlab_simd::vectorized;

use crate::activation::clamp;
use crate::cpu;

/// Bias and activation, applied to the product.
pub(super) struct Finish<'a> {
    pub(super) bias: &'a [f32],
    pub(super) limits: (f32, f32),
}

impl Finish<'_> {
    #[inline(always)]
    fn apply(&self, y: f32, bias: f32) -> f32 {
        clamp(y + bias, self.limits)
    }

    /// Finishes a product `(rows, out)`.
    pub(super) fn in_place(&self, mut y: Vec<f32>) -> Vec<f32> {
        let (finish, rows) = (self, &mut y[..]);
        vectorized!(|finish: &'a Finish<'a>, rows: &'a mut [f32]| {
            for row in rows.chunks_exact_mut(finish.bias.len()) {
                for (y, b) in row.iter_mut().zip(finish.bias) {
                    *y = finish.apply(*y, *b);
                }
            }
        });
        y
    }

    /// Finishes a product `(out, rows)` and returns it as `(rows, out)`.
    pub(super) fn transposed(&self, product: &[f32], rows: usize) -> Vec<f32> {
        let out = self.bias.len();
        let finish = self;
        let write = |to: &mut [MaybeUninit<f32>]| {
            vectorized!(|finish: &'a Finish<'a>,
                         product: &'a [f32],
                         to: &'a mut [MaybeUninit<f32>],
                         rows: usize,
                         out: usize| {
                /// Columns that are written together: one cache line.
                const BLOCK: usize = 16;
                for start in (0..out).step_by(BLOCK) {
                    let columns = &product[start * rows..(start + BLOCK).min(out) * rows];
                    let bias = &finish.bias[start..];
                    for (row, y) in to.chunks_exact_mut(out).enumerate() {
                        for ((y, column), b) in y[start..].iter_mut().zip(columns.chunks_exact(rows)).zip(bias) {
                            y.write(finish.apply(column[row], *b));
                        }
                    }
                }
            });
        };
        assert_eq!(product.len(), rows * out, "a product to transpose");
        // SAFETY: every block of columns of every row is written, and blocks cover the columns.
        unsafe { cpu::filled(rows * out, write) }
    }
}
