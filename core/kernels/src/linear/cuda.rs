//! Dense layers on a GPU.

use candle_core::{CudaStorage, Layout, Result, Shape, Tensor};

use super::Sizes;
use crate::activation::Activation;
use crate::backward::deposit_tensor;
use crate::gpu::gradients::{before, column_sums};
use crate::gpu::{Array, Product, alloc, launch, run};

/// The layer: a product of matrices, and one pass for bias and activation.
pub(super) fn forward(
    activation: Activation,
    (x, xl): (&CudaStorage, &Layout),
    (w, wl): (&CudaStorage, &Layout),
    bias: Option<(&CudaStorage, &Layout)>,
) -> Result<(CudaStorage, Shape)> {
    let Sizes { rows, features, out, .. } = Sizes::of(xl.dims(), wl.dims());
    let (input, weight) = (Array::contiguous(x, xl)?, Array::contiguous(w, wl)?);
    let bias = bias.map(|(b, layout)| Array::contiguous(b, layout)).transpose()?;
    let element = input.element;
    let (storage, y) = alloc(&x.device, element, rows * out)?;
    let product = Product {
        element,
        x: input.address,
        x_stride: features,
        w: weight.address,
        w_stride: features,
        y: y.address,
        rows,
        inner: features,
        out,
    };
    if rows > 0 {
        let addresses = [y.address, bias.map_or(0, |bias| bias.address), 0];
        // SAFETY: the sizes are those of the three tensors, and `linear` checked that they fit together.
        unsafe {
            product.run(&x.device)?;
            if bias.is_some() || activation != Activation::None {
                run(&x.device, &launch::finish(element, addresses, [rows, out], activation.limits()))?;
            }
        }
    }
    let mut shape = xl.dims().to_vec();
    shape[xl.dims().len() - 1] = out;
    Ok((storage, shape.into()))
}

/// The gradients of input, weight and bias.
pub(super) fn gradients(
    activation: Activation,
    [x, w]: [&Tensor; 2],
    b: Option<&Tensor>,
    y: &Tensor,
    dy: &Tensor,
) -> Result<[Option<Tensor>; 3]> {
    let Sizes { rows, features, out, .. } = Sizes::of(x.dims(), w.dims());
    let dy = before(activation, None, y, dy)?.reshape((rows, out))?;
    let dw = deposit_tensor(w, || dy.t()?.matmul(&x.detach().reshape((rows, features))?))?;
    let db = b.map(|b| deposit_tensor(b, || column_sums(&dy))).transpose()?.flatten();
    let dx = match x.track_op() {
        true => Some(dy.matmul(&w.detach())?.reshape(x.shape())?),
        false => None,
    };
    Ok([dx, dw, db])
}
