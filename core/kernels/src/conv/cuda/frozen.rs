//! Convolution with fixed weights.

use candle_core::{CudaStorage, Result, Tensor, bail};

use super::{Dense, Last, OnGpu, rows_of, window};
use crate::conv::geometry::Geometry;
use crate::gpu::{Array, alloc, launch, run};
use crate::transformer::Gelu;

/// Weights in the order in which the kernels read them.
pub(in crate::conv) struct Packed {
    depthwise: bool,
    /// `(out, stride)`: for each tap the channels side by side, then zeros; or `(taps, c)`.
    weight: Tensor,
    bias: Tensor,
}

impl Packed {
    /// Packs weights in PyTorch's order.
    pub(in crate::conv) fn new(depthwise: bool, weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let (out, _, kh, kw) = weight.dims4()?;
        let weight = if depthwise { weight.reshape((out, kh * kw))?.t()?.contiguous()? } else { rows_of(weight)? };
        Ok(Self { depthwise, weight: weight.detach(), bias: bias.contiguous()?.detach() })
    }

    /// Convolves; `residual` has the shape of the result, and there is none where there is a GELU.
    pub(in crate::conv) fn convolve(
        &self,
        g: &Geometry,
        (x, layout): OnGpu<'_>,
        residual: Option<OnGpu<'_>>,
        (limits, gelu): ((f32, f32), Option<Gelu>),
    ) -> Result<CudaStorage> {
        let (device, out, channels) = (&x.device, self.bias.elem_count(), layout.dims()[3]);
        let (pixels, input) = (g.output_pixels(), Array::contiguous(x, layout)?);
        let [weight, bias] = [Array::of_tensor(&self.weight)?, Array::of_tensor(&self.bias)?];
        let residual = residual.map(|(r, layout)| Array::contiguous(r, layout)).transpose()?;
        if input.element != weight.element || residual.is_some_and(|r| r.element != weight.element) {
            bail!("a convolution of {:?} with weights of {:?}", input.element, weight.element);
        }
        if pixels * out >= 1 << 31 || layout.shape().elem_count() >= 1 << 31 {
            bail!("a batch of {} images is too large for a GPU's convolution", g.images);
        }
        let (storage, y) = alloc(device, input.element, pixels * out)?;
        if pixels == 0 {
            return Ok(storage);
        }
        match (self.depthwise, residual) {
            (true, Some(_)) => bail!("a depthwise convolution adds no residual"),
            (true, None) => {
                let addresses = [input.address, weight.address, bias.address, y.address];
                // SAFETY: `geometry` checked that input, weight and bias fit together, the result has a row per pixel.
                unsafe { run(device, &launch::depthwise(y.element, window(g, channels), addresses, pixels, limits))? };
            }
            (false, residual) => {
                let bias = bias.address;
                let last = match gelu {
                    Some(form) => Last::Gelu { bias, form },
                    None => Last::Add { bias, residual: residual.map_or(0, |residual| residual.address) },
                };
                let dense = Dense { g, channels, out, input, weight, stride: self.weight.dim(1)?, last, y };
                // SAFETY: likewise, and the residual has the shape of the result.
                unsafe { dense.run(device, limits)? };
            }
        }
        Ok(storage)
    }
}
