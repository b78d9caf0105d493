//! Sums of images.

use candle_core::{CudaStorage, Result};

use super::OnGpu;
use crate::activation::Activation;
use crate::gpu::{Array, alloc, launch, run};

/// Computes `activation(a + b)` of tensors of one shape.
pub(in crate::conv) fn sum((a, al): OnGpu<'_>, (b, bl): OnGpu<'_>, activation: Activation) -> Result<CudaStorage> {
    let (device, from, with) = (&a.device, Array::contiguous(a, al)?, Array::contiguous(b, bl)?);
    let (len, cols) = (al.shape().elem_count(), al.dims().last().copied().unwrap_or(1).max(1));
    let (storage, y) = alloc(device, from.element, len)?;
    let addresses = [from.address, with.address, y.address];
    // SAFETY: all three have `len` elements.
    unsafe { run(device, &launch::add(from.element, addresses, [len / cols, cols], activation.limits()))? };
    Ok(storage)
}
