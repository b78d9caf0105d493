//! Losses on a GPU.

use candle_core::{CudaStorage, Layout, Result, Shape, Tensor};

use crate::gpu::launch::Element;
use crate::gpu::{Array, alloc, gpu, launch, run, tensor};

/// The first axes of a stack of matrices, and their product, the number of runs; then rows and columns.
fn sizes(dims: &[usize]) -> (Shape, usize, [usize; 2]) {
    let (runs, matrix) = dims.split_at(dims.len() - 2);
    (Shape::from(runs), runs.iter().product(), [matrix[0], matrix[1]])
}

/// The mean of the rows' losses: a block per row, then one that adds them up in order.
pub(super) fn nt_xent(storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
    let (x, device) = (Array::contiguous(storage, layout)?, &storage.device);
    let (shape, runs, [rows, _]) = sizes(layout.dims());
    let (_losses, losses) = alloc(device, Element::F32, runs * rows)?;
    let (loss, y) = alloc(device, Element::F32, runs)?;
    // SAFETY: each run has `rows` times `rows` similarities, a loss per row, and a mean.
    unsafe {
        run(device, &launch::nt_xent(x.address, losses.address, [runs, rows]))?;
        run(device, &launch::sum(losses.address, y.address, [runs, rows], 1.0 / rows as f32))?;
    }
    Ok((loss, shape))
}

pub(super) fn nt_xent_gradient(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (x, dy, device) = (x.contiguous()?, dy.contiguous()?, gpu(x)?);
    let (_, runs, [rows, _]) = sizes(x.dims());
    let (storage, dx) = alloc(device, Element::F32, x.elem_count())?;
    let addresses = [Array::of_tensor(&x)?.address, Array::of_tensor(&dy)?.address, dx.address];
    // SAFETY: of each run, `x` and its gradient have `rows` times `rows` elements, and `dy` has one.
    unsafe { run(device, &launch::nt_xent_gradient(addresses, [runs, rows]))? };
    Ok(tensor(storage, x.shape()))
}

/// The divergence: blocks add up parts, and one adds up those in order.
pub(super) fn bernoulli_kl(
    (p, pl): (&CudaStorage, &Layout),
    (q, ql): (&CudaStorage, &Layout),
) -> Result<(CudaStorage, Shape)> {
    let device = &p.device;
    let (shape, runs, [rows, bits]) = sizes(pl.dims());
    let len = rows * bits;
    let [p, q] = [Array::contiguous(p, pl)?, Array::contiguous(q, ql)?];
    let blocks = launch::divergence_blocks(len);
    let (_sums, sums) = alloc(device, Element::F32, runs * blocks)?;
    let (value, y) = alloc(device, Element::F32, runs)?;
    // SAFETY: of each run, `p` and `q` have `len` elements, and there is a sum per block.
    unsafe {
        run(device, &launch::bernoulli_kl([p.address, q.address, sums.address], [runs, len], 1.0 / rows as f32))?;
        run(device, &launch::sum(sums.address, y.address, [runs, blocks], 1.0))?;
    }
    Ok((value, shape))
}

/// The gradients of `p` and, if it has one, of `q`.
pub(super) fn bernoulli_kl_gradients(p: &Tensor, q: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let device = gpu(p)?;
    let (_, runs, [rows, bits]) = sizes(p.dims());
    let (len, scale) = (rows * bits, 1.0 / rows as f32);
    let inputs = [p.contiguous()?, q.contiguous()?, dy.contiguous()?];
    let (first, dp) = alloc(device, Element::F32, runs * len)?;
    let second = q.track_op().then(|| alloc(device, Element::F32, runs * len)).transpose()?;
    let [p, q, dy] = inputs.each_ref().map(|x| Array::of_tensor(x).map(|x| x.address));
    let addresses = [p?, q?, dy?, dp.address, second.as_ref().map_or(0, |(_, dq)| dq.address)];
    // SAFETY: of each run, both and their gradients have `len` elements, and `dy` has one.
    unsafe { run(device, &launch::bernoulli_kl_gradient(addresses, [runs, len], scale))? };
    let gradient = |storage| tensor(storage, inputs[0].shape());
    Ok((Some(gradient(first)), second.map(|(storage, _)| gradient(storage))))
}
