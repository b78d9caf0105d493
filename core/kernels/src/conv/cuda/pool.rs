//! Pooling without gradients.

use candle_core::{Result, Tensor};

use super::window;
use crate::conv::geometry::Geometry;
use crate::gpu::{Array, alloc, gpu, launch, run, tensor};

pub(in crate::conv) fn max_pool(x: &Tensor, g: &Geometry) -> Result<Tensor> {
    let (x, device, channels, pixels) = (x.contiguous()?, gpu(x)?, x.dim(3)?, g.output_pixels());
    let from = Array::of_tensor(&x)?;
    let (storage, y) = alloc(device, from.element, pixels * channels)?;
    if pixels > 0 {
        let addresses = [from.address, y.address];
        // SAFETY: the window is over images of the size of `x`, the result has a row per pixel.
        unsafe { run(device, &launch::max_pool(from.element, window(g, channels), addresses, pixels))? };
    }
    Ok(tensor(storage, (g.images, g.output.0, g.output.1, channels)))
}

pub(in crate::conv) fn mean_pixels(x: &Tensor) -> Result<Tensor> {
    let (x, device, (n, h, w, c)) = (x.contiguous()?, gpu(x)?, x.dims4()?);
    let from = Array::of_tensor(&x)?;
    let (storage, y) = alloc(device, from.element, n * c)?;
    if n > 0 {
        // SAFETY: `x` has `n` images of `h · w` pixels, the result a row per image.
        unsafe { run(device, &launch::mean_pixels(from.element, [from.address, y.address], [n, h * w, c]))? };
    }
    Ok(tensor(storage, (n, c)))
}
