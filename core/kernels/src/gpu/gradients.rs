//! Steps of a layer's backward pass on a GPU.

use candle_core::{DType, Result, Tensor};

use super::launch::{self, Element};
use super::{Array, alloc, gpu, run, tensor};
use crate::activation::Activation;

/// The gradient before an activation whose value is `y`, of the shape of `y`. With the scale of a norm per channel, in
/// f32, the gradient before the norm that the activation follows; the channels are the last axis.
pub(crate) fn before(activation: Activation, scale: Option<&Tensor>, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let dy = dy.contiguous()?;
    if activation == Activation::None && scale.is_none() {
        return Ok(dy);
    }
    let y = y.contiguous()?;
    let (device, from, to) = (gpu(&dy)?, Array::of_tensor(&y)?, Array::of_tensor(&dy)?);
    let scale = scale.map(Array::of_tensor).transpose()?.map_or(0, |scale| scale.address);
    let cols = dy.dims().last().copied().unwrap_or(1).max(1);
    let (storage, dx) = alloc(device, to.element, dy.elem_count())?;
    let addresses = [from.address, to.address, dx.address, scale];
    let launch = launch::before(to.element, addresses, [dy.elem_count() / cols, cols], activation.limits());
    // SAFETY: all three have the same number of elements, and the scale one per channel.
    unsafe { run(device, &launch)? };
    Ok(tensor(storage, dy.shape()))
}

/// Sums of the columns of a matrix, which are taken in f32, in the matrix's type.
pub(crate) fn column_sums(x: &Tensor) -> Result<Tensor> {
    let (x, (rows, cols), device) = (x.contiguous()?, x.dims2()?, gpu(x)?);
    let (from, parts) = (Array::of_tensor(&x)?, launch::column_parts(rows));
    let (storage, sums) = alloc(device, Element::F32, cols)?;
    if parts == 1 {
        // SAFETY: the sizes are those of `x`, and there is a sum per column.
        unsafe { run(device, &launch::column_sums(from.element, from.address, sums.address, [rows, cols], 1))? };
    } else {
        let (_kept, partial) = alloc(device, Element::F32, parts * cols)?;
        let first = launch::column_sums(from.element, from.address, partial.address, [rows, cols], parts);
        let second = launch::column_sums(Element::F32, partial.address, sums.address, [parts, cols], 1);
        // SAFETY: as above, and there are as many partial sums per column as parts.
        unsafe {
            run(device, &first)?;
            run(device, &second)?;
        }
    }
    let sums = tensor(storage, cols);
    if x.dtype() == DType::F32 { Ok(sums) } else { sums.to_dtype(x.dtype()) }
}
