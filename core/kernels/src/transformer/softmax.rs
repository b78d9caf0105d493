//! Softmax.

use candle_core::{D, Result, Tensor};

use super::exp::exp;
use super::sum;
use crate::accumulate::widen;

/// Replaces `x` by its softmax.
#[inline(always)]
pub(super) fn row(x: &mut [f32]) {
    let largest = largest(x);
    for x in &mut *x {
        *x = exp(*x - largest);
    }
    let inverse = 1.0 / sum(x.len(), |i| x[i]);
    for x in x {
        *x *= inverse;
    }
}

/// The largest element that is a number, in a form that the compiler turns into vector code.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    const LANES: usize = 16;
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *x);
        }
    }
    let mut largest = f32::NEG_INFINITY;
    for x in lanes.iter().chain(rest) {
        largest = larger(largest, *x);
    }
    largest
}

/// The softmax along the last axis in candle's own operations.
pub(super) fn plain(x: &Tensor) -> Result<Tensor> {
    let values = widen(x)?;
    let e = values.broadcast_sub(&values.max_keepdim(D::Minus1)?.detach())?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?.to_dtype(x.dtype())
}
