//! Convolutions with fixed weights.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::geometry::Window;
use super::op::Conv;
use super::{Activation, dense, depthwise};
use crate::cpu;

/// A convolution whose weights were packed once; nothing is differentiated through it.
pub struct FrozenConv {
    conv: Conv,
    weight: Tensor,
    bias: Tensor,
    /// Absent where the kernels do not apply.
    packed: Option<Packed>,
}

enum Packed {
    Dense(dense::Packed),
    Depthwise(depthwise::Packed),
}

impl FrozenConv {
    /// Packs a dense convolution; see [`super::conv2d`] for shapes.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn dense(weight: &Tensor, bias: &Tensor, window: Window, activation: Activation) -> Result<Self> {
        Self::new(weight, bias, Conv { depthwise: false, window, activation })
    }

    /// Packs a depthwise convolution; see [`super::depthwise_conv2d`] for shapes.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn depthwise(weight: &Tensor, bias: &Tensor, window: Window, activation: Activation) -> Result<Self> {
        Self::new(weight, bias, Conv { depthwise: true, window, activation })
    }

    fn new(weight: &Tensor, bias: &Tensor, conv: Conv) -> Result<Self> {
        let (out, depth, kh, kw) = weight.dims4()?;
        // An image of one window: whatever is wrong now is wrong with the weights.
        conv.geometry(&[1, kh, kw, if conv.depthwise { out } else { depth }], weight.dims(), bias.dims())?;
        let packed = cpu::is_f32(&[weight, bias]).then(|| {
            cpu::with_elements(weight, |w| {
                cpu::with_elements(bias, |b| {
                    Ok(if conv.depthwise {
                        Packed::Depthwise(depthwise::Packed::new(w, b))
                    } else {
                        Packed::Dense(dense::Packed::forward(w, [out, depth, kh * kw], b))
                    })
                })
            })
        });
        Ok(Self { conv, weight: weight.detach(), bias: bias.detach(), packed: packed.transpose()? })
    }

    /// Convolves `x`, shape `(n, h, w, in)`.
    ///
    /// # Errors
    /// If the shape does not fit the weight.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.packed.is_some() && cpu::is_f32(&[x]) {
            x.contiguous()?.apply_op1_no_bwd(self)
        } else {
            self.conv.plain(&x.detach(), &self.weight, &self.bias)
        }
    }
}

impl CustomOp1 for FrozenConv {
    fn name(&self) -> &'static str {
        "frozen-conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = self.conv.geometry(layout.dims(), self.weight.dims(), self.bias.dims())?;
        let (x, limits) = (cpu::elements(x, layout)?, self.conv.activation.limits());
        let (y, out) = match self.packed.as_ref().expect("`forward` comes here with packed weights only") {
            Packed::Dense(packed) => (dense::forward(&g, x, layout.dims()[3], packed, limits), packed.out()),
            Packed::Depthwise(packed) => (depthwise::forward(&g, x, packed, limits), layout.dims()[3]),
        };
        Ok((CpuStorage::F32(y), (g.images, g.output.0, g.output.1, out).into()))
    }
}
