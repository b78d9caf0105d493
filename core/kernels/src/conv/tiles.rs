//! The kernel of dense convolutions on the processor's matrix unit.

use std::mem::MaybeUninit;

use super::epilogue::Epilogue;
use super::rows::Rows;
use crate::activation::clamp;
use crate::matmul::amx::{self, Packed};
use crate::matmul::{Finish, Matrix, PIECE, Windows};

/// Pixels whose windows are packed together.
pub(super) const CHUNK: usize = 192;

/// Weights for the unit: for each tap, for each input channel, padded to whole pieces, those of the output channels.
pub(super) struct Tiles {
    factor: Packed,
    bias: Vec<f32>,
    /// Taps, channels and output channels.
    shape: [usize; 3],
}

impl Tiles {
    /// Returns whether convolutions of many pixels are faster on the unit.
    pub(super) fn pay(channels: usize, out: usize) -> bool {
        amx::pays([CHUNK, out, channels])
    }

    /// Packs `taps` matrices of `channels` by `out`, given element by element as `weight(tap, channel, out)`.
    pub(super) fn new(
        [taps, channels, out]: [usize; 3],
        bias: &[f32],
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let padded = channels.next_multiple_of(PIECE);
        let mut factor = vec![0.0; taps * padded * out];
        for (tap, matrix) in factor.chunks_exact_mut(padded * out).enumerate() {
            for (channel, row) in matrix.chunks_exact_mut(out).take(channels).enumerate() {
                row.iter_mut().enumerate().for_each(|(o, w)| *w = weight(tap, channel, o));
            }
        }
        let factor = Packed::new(Matrix::row_major(&factor, taps * padded, out));
        Self { factor, bias: bias.to_vec(), shape: [taps, channels, out] }
    }

    /// Output channels.
    pub(super) fn out(&self) -> usize {
        self.shape[2]
    }

    /// Computes all output channels of the pixels that `rows` lists.
    pub(super) fn product(&self, rows: &Rows<'_>, epilogue: Epilogue<'_>, out: &mut [MaybeUninit<f32>]) {
        assert_eq!([rows.taps(), rows.channels()], self.shape[..2], "the window the weights were packed for");
        self.factor.windows(out, rows, &Finisher { bias: &self.bias, epilogue, width: self.out() });
    }
}

impl Windows for Rows<'_> {
    fn rows(&self) -> usize {
        self.pixels()
    }

    #[inline(always)]
    fn piece(&self, row: usize, piece: usize) -> &[f32] {
        let pieces = self.channels().div_ceil(PIECE);
        let tap = self.get(piece / pieces, row);
        let start = piece % pieces * PIECE;
        &tap[start..tap.len().min(start + PIECE)]
    }
}

/// Bias and epilogue, applied to the product.
struct Finisher<'a> {
    bias: &'a [f32],
    epilogue: Epilogue<'a>,
    width: usize,
}

impl Finish for Finisher<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, elements: &mut [f32]) {
        let limits = self.epilogue.limits;
        // The gradient of an input has no bias.
        for (y, b) in elements.iter_mut().zip(self.bias.get(column..).unwrap_or(&[])) {
            *y += b;
        }
        if let Some(residual) = self.epilogue.residual {
            for (y, r) in elements.iter_mut().zip(&residual[row * self.width + column..]) {
                *y += r;
            }
        }
        elements.iter_mut().for_each(|y| *y = clamp(*y, limits));
    }
}
