//! Losses on a GPU.

use candle_core::{CudaStorage, Layout, Result, Shape, Tensor};

use crate::gpu::launch::Element;
use crate::gpu::{Array, alloc, gpu, launch, run, tensor};

/// The mean of the rows' losses: a block per row, then one that adds them up in order.
pub(super) fn nt_xent(storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
    let (x, rows, device) = (Array::contiguous(storage, layout)?, layout.dims()[0], &storage.device);
    let (_losses, losses) = alloc(device, Element::F32, rows)?;
    let (loss, y) = alloc(device, Element::F32, 1)?;
    // SAFETY: there are `rows` times `rows` similarities and a loss per row.
    unsafe {
        run(device, &launch::nt_xent(x.address, losses.address, rows))?;
        run(device, &launch::sum(losses.address, y.address, rows, 1.0 / rows as f32))?;
    }
    Ok((loss, Shape::from(())))
}

pub(super) fn nt_xent_gradient(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (x, dy, rows, device) = (x.contiguous()?, dy.contiguous()?, x.dim(0)?, gpu(x)?);
    let (storage, dx) = alloc(device, Element::F32, rows * rows)?;
    let addresses = [Array::of_tensor(&x)?.address, Array::of_tensor(&dy)?.address, dx.address];
    // SAFETY: `x` and its gradient have `rows` times `rows` elements, `dy` has one.
    unsafe { run(device, &launch::nt_xent_gradient(addresses, rows))? };
    Ok(tensor(storage, x.shape()))
}

/// The divergence: blocks add up parts, and one adds up those in order.
pub(super) fn bernoulli_kl(
    (p, pl): (&CudaStorage, &Layout),
    (q, ql): (&CudaStorage, &Layout),
) -> Result<(CudaStorage, Shape)> {
    let (len, rows, device) = (pl.shape().elem_count(), pl.dims()[0], &p.device);
    let [p, q] = [Array::contiguous(p, pl)?, Array::contiguous(q, ql)?];
    let blocks = launch::divergence_blocks(len);
    let (_sums, sums) = alloc(device, Element::F32, blocks)?;
    let (value, y) = alloc(device, Element::F32, 1)?;
    // SAFETY: `p` and `q` have `len` elements, and there is a sum per block.
    unsafe {
        run(device, &launch::bernoulli_kl([p.address, q.address, sums.address], len, 1.0 / rows as f32))?;
        run(device, &launch::sum(sums.address, y.address, blocks, 1.0))?;
    }
    Ok((value, Shape::from(())))
}

/// The gradients of `p` and, if it has one, of `q`.
pub(super) fn bernoulli_kl_gradients(p: &Tensor, q: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let (len, scale, device) = (p.elem_count(), 1.0 / p.dim(0)? as f32, gpu(p)?);
    let inputs = [p.contiguous()?, q.contiguous()?, dy.contiguous()?];
    let (first, dp) = alloc(device, Element::F32, len)?;
    let second = q.track_op().then(|| alloc(device, Element::F32, len)).transpose()?;
    let [p, q, dy] = inputs.each_ref().map(|x| Array::of_tensor(x).map(|x| x.address));
    let addresses = [p?, q?, dy?, dp.address, second.as_ref().map_or(0, |(_, dq)| dq.address)];
    // SAFETY: both and their gradients have `len` elements, `dy` has one.
    unsafe { run(device, &launch::bernoulli_kl_gradient(addresses, len, scale))? };
    let gradient = |storage| tensor(storage, inputs[0].shape());
    Ok((Some(gradient(first)), second.map(|(storage, _)| gradient(storage))))
}
