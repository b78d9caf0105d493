//! Softmax.

use candle_core::{D, Result, Tensor};

use super::exp::exp;
use super::sum;
use crate::accumulate::widen;

/// Replaces `x` by its softmax.
#[inline(always)]
pub(super) fn row(x: &mut [f32]) {
    let largest = x.iter().fold(f32::NEG_INFINITY, |largest, x| largest.max(*x));
    for x in &mut *x {
        *x = exp(*x - largest);
    }
    let inverse = 1.0 / sum(x.len(), |i| x[i]);
    for x in x {
        *x *= inverse;
    }
}

/// The softmax along the last axis in candle's own operations.
pub(super) fn plain(x: &Tensor) -> Result<Tensor> {
    let values = widen(x)?;
    let e = values.broadcast_sub(&values.max_keepdim(D::Minus1)?.detach())?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?.to_dtype(x.dtype())
}
