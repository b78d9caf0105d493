//! Convolutions with fixed weights.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::dense::Reuse;
use super::epilogue::Epilogue;
use super::geometry::Window;
use super::op::Conv;
use super::winograd::Filters;
use super::{Activation, dense, depthwise, winograd};
use crate::cpu;
use crate::transformer::{Gelu, gelu};

/// A convolution whose weights were packed once; it is not differentiable.
pub struct FrozenConv {
    conv: Conv,
    /// The shape of the weight in PyTorch's order.
    shape: [usize; 4],
    weights: Weights,
}

enum Weights {
    Dense(dense::Weights),
    Winograd(Filters),
    Depthwise(depthwise::Packed),
    #[cfg(feature = "cuda")]
    Gpu(super::cuda::Packed),
    /// Weight and bias, for types and devices without a kernel.
    Plain([Tensor; 2]),
}

impl FrozenConv {
    /// Packs a dense convolution; see [`super::conv2d`] for shapes.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn dense(weight: &Tensor, bias: &Tensor, window: Window, activation: Activation) -> Result<Self> {
        Self::new(weight, bias, Conv { depthwise: false, window, activation }, Reuse::Often)
    }

    /// Packs a dense layer over whole images, written as the convolution whose window is the image.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn whole(weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Self> {
        Self::new(weight, bias, Conv { depthwise: false, window: Window::dense(0), activation }, Reuse::Once)
    }

    /// Packs a depthwise convolution; see [`super::depthwise_conv2d`] for shapes.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn depthwise(weight: &Tensor, bias: &Tensor, window: Window, activation: Activation) -> Result<Self> {
        Self::new(weight, bias, Conv { depthwise: true, window, activation }, Reuse::Often)
    }

    fn new(weight: &Tensor, bias: &Tensor, conv: Conv, reuse: Reuse) -> Result<Self> {
        let (out, depth, kh, kw) = weight.dims4()?;
        // An image of one window, so that an error can only be one of the weights.
        conv.geometry(&[1, kh, kw, if conv.depthwise { out } else { depth }], weight.dims(), bias.dims())?;
        #[cfg(feature = "cuda")]
        if crate::gpu::takes(&[weight, bias]) {
            let weights = Weights::Gpu(super::cuda::Packed::new(conv.depthwise, weight, bias)?);
            return Ok(Self { conv, shape: [out, depth, kh, kw], weights });
        }
        let weights = if cpu::is_f32(&[weight, bias]) {
            cpu::with_elements(weight, |w| {
                cpu::with_elements(bias, |b| {
                    Ok(match conv.depthwise {
                        true => Weights::Depthwise(depthwise::Packed::new(w, b)),
                        false if Filters::pays([out, depth, kh, kw], conv.window) => {
                            Weights::Winograd(Filters::new(w, [out, depth], b))
                        }
                        false => Weights::Dense(dense::Weights::forward(w, [out, depth, kh * kw], b, reuse)),
                    })
                })
            })?
        } else {
            Weights::Plain([weight.detach(), bias.detach()])
        };
        Ok(Self { conv, shape: [out, depth, kh, kw], weights })
    }

    /// Convolves `x`, shape `(n, h, w, in)`.
    ///
    /// # Errors
    /// If the shape or the type does not fit the weight.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Plain([w, b]) => self.conv.plain(&x.detach(), w, b),
            _ => x.contiguous()?.apply_op1_no_bwd(self),
        }
    }

    /// Convolves `x` and adds `residual` before the activation, in one pass over memory.
    ///
    /// # Shapes
    /// `x` is `(n, h, w, in)`, `residual` and the result are `(n, h', w', out)`.
    ///
    /// # Errors
    /// If a shape or a type does not fit the weight, and for depthwise convolutions.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Plain([w, b]) => {
                let linear = Conv { activation: Activation::None, ..self.conv };
                self.conv.activation.plain((linear.plain(&x.detach(), w, b)? + residual.detach())?)
            }
            _ => x.contiguous()?.apply_op2_no_bwd(&residual.contiguous()?, self),
        }
    }

    /// Convolves `x` and applies a GELU, on a GPU in the same pass over memory.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_gelu(&self, x: &Tensor, form: Gelu) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if matches!(self.weights, Weights::Gpu(_)) && !self.conv.depthwise && self.conv.activation == Activation::None {
            return x.contiguous()?.apply_op1_no_bwd(&WithGelu(self, form));
        }
        gelu(&self.forward(x)?, form)
    }

    /// Convolves on the CPU; `residual` is as long as the result.
    fn packed(
        &self,
        (x, layout): (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let [out, ..] = self.shape;
        let g = self.conv.geometry(layout.dims(), &self.shape, &[out])?;
        let shape = [g.images, g.output.0, g.output.1, out];
        let residual = match residual {
            Some((_, layout)) if layout.dims() != shape => {
                bail!("residual of shape {:?} for a convolution whose result is {shape:?}", layout.dims())
            }
            Some((residual, layout)) => Some(cpu::elements(residual, layout)?),
            None => None,
        };
        let (x, limits) = (cpu::elements(x, layout)?, self.conv.activation.limits());
        let y = match (&self.weights, residual) {
            (Weights::Dense(packed), residual) => {
                dense::forward(&g, x, layout.dims()[3], packed, Epilogue { residual, limits })
            }
            (Weights::Winograd(filters), residual) => winograd::forward(&g, x, filters, Epilogue { residual, limits }),
            (Weights::Depthwise(packed), None) => depthwise::forward(&g, x, packed, limits),
            (Weights::Depthwise(_), Some(_)) => bail!("a depthwise convolution adds no residual"),
            _ => bail!("a CPU kernel met weights of another device or type"),
        };
        Ok((CpuStorage::F32(y), Shape::from_dims(&shape)))
    }
}

/// A storage and its layout.
#[cfg(feature = "cuda")]
type OnGpu<'a> = (&'a CudaStorage, &'a Layout);

#[cfg(feature = "cuda")]
impl FrozenConv {
    /// Convolves on a GPU; `residual` is as long as the result.
    fn packed_on_gpu(
        &self,
        (x, layout): OnGpu<'_>,
        residual: Option<OnGpu<'_>>,
        gelu: Option<Gelu>,
    ) -> Result<(CudaStorage, Shape)> {
        let Weights::Gpu(packed) = &self.weights else { bail!("a GPU's kernel met weights of another device") };
        let [out, ..] = self.shape;
        let g = self.conv.geometry(layout.dims(), &self.shape, &[out])?;
        let shape = [g.images, g.output.0, g.output.1, out];
        if residual.is_some_and(|(_, layout)| layout.dims() != shape) {
            bail!("a residual of another shape for a convolution whose result is {shape:?}");
        }
        let y = packed.convolve(&g, (x, layout), residual, (self.conv.activation.limits(), gelu))?;
        Ok((y, Shape::from_dims(&shape)))
    }
}

/// A convolution with a GELU behind it, on a GPU.
#[cfg(feature = "cuda")]
struct WithGelu<'a>(&'a FrozenConv, Gelu);

#[cfg(feature = "cuda")]
impl CustomOp1 for WithGelu<'_> {
    fn name(&self) -> &'static str {
        "frozen-conv2d-gelu"
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.0.packed_on_gpu((x, layout), None, Some(self.1))
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("a GPU's kernel met a tensor on the CPU")
    }
}

impl CustomOp1 for FrozenConv {
    fn name(&self) -> &'static str {
        "frozen-conv2d"
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.packed_on_gpu((x, layout), None, None)
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.packed((x, layout), None)
    }
}

impl CustomOp2 for FrozenConv {
    fn name(&self) -> &'static str {
        "frozen-conv2d-add"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, r: &CpuStorage, rl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.packed((x, xl), Some((r, rl)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, r: &CudaStorage, rl: &Layout) -> Result<(CudaStorage, Shape)> {
        self.packed_on_gpu((x, xl), Some((r, rl)), None)
    }
}
