//! Convolution with gradients.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{Dense, Last, OnGpu, part, problem, rows_of, side_by_side, window};
use crate::activation::Activation;
use crate::backward::deposit_tensor;
use crate::conv::geometry::Geometry;
use crate::gpu::cudnn::{self, Done, Pass};
use crate::gpu::gradients::{before, column_sums};
use crate::gpu::launch::Element;
use crate::gpu::{Array, Product, TransposedProduct, alloc, gpu, launch, run, tensor};

/// What follows the sums of a convolution, before its activation.
pub(in crate::conv) enum Then<'a> {
    /// A bias per channel.
    Bias(&'a Tensor),
    /// A norm: mean, variance, weight and bias, constants of f32 per channel, and what is added to the variance.
    Norm([&'a Tensor; 4], f32),
}

/// Convolves `x`, `(n, h, w, in)`, with `w`, `(out, in, kh, kw)`.
pub(in crate::conv) fn convolve(
    x: &Tensor,
    w: &Tensor,
    then: Then<'_>,
    g: Geometry,
    activation: Activation,
) -> Result<Tensor> {
    let (x, w, rows) = (x.contiguous()?, w.contiguous()?, rows_of(w)?);
    match then {
        Then::Bias(b) => x.apply_op3(&w, &b.contiguous()?, Trained { g, activation, rows, norm: None }),
        Then::Norm(constants, eps) => {
            let norm = Some(factors(constants, eps)?);
            x.apply_op2(&w, Trained { g, activation, rows, norm })
        }
    }
}

/// A norm as factors and summands per channel.
fn factors(constants: [&Tensor; 4], eps: f32) -> Result<[Tensor; 2]> {
    let [mean, variance, weight, bias] = constants.map(|t| t.detach().contiguous());
    let constants = [mean?, variance?, weight?, bias?];
    let (device, channels) = (gpu(&constants[0])?, constants[0].elem_count());
    let mut addresses = [0; 4];
    for (address, constant) in addresses.iter_mut().zip(&constants) {
        *address = Array::of_tensor(constant)?.address;
    }
    let [(scale, to), (shift, and)] = [alloc(device, Element::F32, channels)?, alloc(device, Element::F32, channels)?];
    // SAFETY: all have an element per channel, of f32.
    unsafe { run(device, &launch::norm_factors(addresses, eps, [to.address, and.address], channels))? };
    Ok([tensor(scale, channels), tensor(shift, channels)])
}

/// The convolution as an operation of candle's graph.
struct Trained {
    g: Geometry,
    activation: Activation,
    /// The weight as the kernels read it, see [`rows_of`].
    rows: Tensor,
    /// Factors and summands of a norm.
    norm: Option<[Tensor; 2]>,
}

impl Trained {
    fn forward(&self, (x, xl): OnGpu<'_>, out: usize, b: Option<OnGpu<'_>>) -> Result<(CudaStorage, Shape)> {
        let (g, channels) = (&self.g, xl.dims()[3]);
        let (input, weight) = (Array::contiguous(x, xl)?, Array::of_tensor(&self.rows)?);
        let last = match (b, &self.norm) {
            (Some((b, layout)), _) => Last::Add { bias: Array::contiguous(b, layout)?.address, residual: 0 },
            (None, Some([scale, shift])) => {
                Last::Norm([Array::of_tensor(scale)?.address, Array::of_tensor(shift)?.address])
            }
            (None, None) => bail!("a convolution with neither a bias nor a norm"),
        };
        let (storage, y) = alloc(&x.device, input.element, g.output_pixels() * out)?;
        let dense = Dense { g, channels, out, input, weight, stride: self.rows.dim(1)?, last, y };
        // SAFETY: `Conv::geometry` checked that input, weight and bias fit together, and the norm's vectors have an
        // element per channel.
        unsafe { dense.run(&x.device, self.activation.limits())? };
        Ok((storage, (g.images, g.output.0, g.output.1, out).into()))
    }

    /// The gradients of input, weight and bias.
    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let scale = self.norm.as_ref().map(|[scale, _]| scale);
        let d = before(self.activation, scale, y, dy)?.reshape((self.g.output_pixels(), ()))?;
        let db = b.map(|b| deposit_tensor(b, || column_sums(&d))).transpose()?.flatten();
        let dw = deposit_tensor(w, || self.weight_gradient(&x.detach(), w, &d))?;
        let dx = if x.track_op() { Some(self.input_gradient(x, w, &d)?) } else { None };
        Ok([dx, dw, db])
    }

    /// The gradient of the weight, `dᵀ` times the windows side by side, whose sums are in f32.
    fn weight_gradient(&self, x: &Tensor, w: &Tensor, d: &Tensor) -> Result<Tensor> {
        let (g, (out, channels, kh, kw)) = (&self.g, w.dims4()?);
        let in_pytorchs_order =
            |rows: Tensor| rows.reshape((out, kh, kw, channels))?.permute((0, 3, 1, 2))?.contiguous();
        if let Some(dw) = by_cudnn(Pass::WeightGradient, g, [channels, out], [x, d], w.elem_count())? {
            return in_pytorchs_order(dw);
        }
        let (device, from, gradient) = (gpu(x)?, Array::of_tensor(x)?, Array::of_tensor(d)?);
        let (element, pixels, len) = (from.element, g.output_pixels(), g.taps() * channels);
        let direct = side_by_side(g);
        let stride = if direct { len } else { self.rows.dim(1)? };
        let rows = if direct { pixels } else { part(element, pixels, stride) };
        let columns = if direct { None } else { Some(alloc(device, element, rows * stride)?) };
        let (storage, sum) = alloc(device, Element::F32, out * stride)?;
        for first in (0..pixels).step_by(rows) {
            let rows = rows.min(pixels - first);
            let product = TransposedProduct {
                element,
                a: gradient.at(first * out),
                b: columns.as_ref().map_or(from.address, |(_, columns)| columns.address),
                sum: sum.address,
                rows,
                out,
                inner: stride,
                add: first > 0,
            };
            // SAFETY: the window is over images of the size of `x`; `columns` has room for the windows of the largest
            // part, `d` has a row per output pixel, and the sum one per output channel.
            unsafe {
                if let Some((_, columns)) = &columns {
                    let addresses = [from.address, columns.address];
                    run(device, &launch::gather(element, window(g, channels), addresses, [first, rows], stride))?;
                }
                product.run(device)?;
            }
        }
        let sum = tensor(storage, (out, stride)).to_dtype(w.dtype())?;
        in_pytorchs_order(sum.narrow(1, 0, len)?)
    }

    /// The gradient of the input: for each pixel, those rows of `d` side by side whose windows have the pixel, times the
    /// weights. Of a window that moves by several pixels, most of them are zeros.
    fn input_gradient(&self, x: &Tensor, w: &Tensor, d: &Tensor) -> Result<Tensor> {
        let (g, (out, channels, ..)) = (&self.g, w.dims4()?);
        let (pixels, device) = (g.input_pixels(), gpu(d)?);
        if let Some(dx) = by_cudnn(Pass::InputGradient, g, [channels, out], [&self.rows, d], pixels * channels)? {
            return dx.reshape(x.shape());
        }
        if side_by_side(g) {
            return d.matmul(&self.rows.narrow(1, 0, g.taps() * channels)?.contiguous()?)?.reshape(x.shape());
        }
        let len = g.taps() * out;
        let transposed = w.detach().permute((1, 2, 3, 0))?.contiguous()?; // (in, kh, kw, out)
        let (from, weight) = (Array::of_tensor(d)?, Array::of_tensor(&transposed)?);
        let element = from.element;
        let (storage, dx) = alloc(device, element, pixels * channels)?;
        let rows = part(element, pixels, len);
        let (_kept, columns) = alloc(device, element, rows * len)?;
        for first in (0..pixels).step_by(rows) {
            let rows = rows.min(pixels - first);
            let addresses = [from.address, columns.address];
            let spread = launch::spread(element, window(g, out), addresses, [first, rows], len);
            let product = Product {
                element,
                x: columns.address,
                x_stride: len,
                w: weight.address,
                w_stride: len,
                y: dx.at(first * channels),
                rows,
                inner: len,
                out: channels,
            };
            // SAFETY: `d` has a row per output pixel, `columns` has room for the largest part, the result a row per
            // input pixel.
            unsafe {
                run(device, &spread)?;
                product.run(device)?;
            }
        }
        Ok(tensor(storage, x.shape()))
    }
}

/// Lets cuDNN compute a gradient, of `len` elements, if it is to.
fn by_cudnn(pass: Pass, g: &Geometry, sizes: [usize; 2], factors: [&Tensor; 2], len: usize) -> Result<Option<Tensor>> {
    let [a, b] = [Array::of_tensor(factors[0])?, Array::of_tensor(factors[1])?];
    let Some(problem) = problem(pass, g, a.element, sizes) else { return Ok(None) };
    let device = gpu(factors[0])?;
    let (storage, result) = alloc(device, a.element, len)?;
    // SAFETY: the tensors have the sizes of the problem, which are those of a convolution's operands: channels come in
    // eights, so that rows of the weight have no zeros at their end.
    let done = unsafe { cudnn::convolve(device, &problem, [a.address, b.address, result.address], None)? };
    Ok(match done {
        Done::Nothing => None,
        Done::Sums | Done::Everything => Some(tensor(storage, len)),
    })
}

impl CustomOp2 for Trained {
    fn name(&self) -> &'static str {
        "conv2d-norm"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("a GPU's convolution on the CPU")
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, _: &CudaStorage, wl: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward((x, xl), wl.dims()[0], None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, _] = self.gradients(x, w, None, y, dy)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Trained {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("a GPU's convolution on the CPU")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        _: &CudaStorage,
        wl: &Layout,
        b: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, xl), wl.dims()[0], Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = self.gradients(x, w, Some(b), y, dy)?;
        Ok((dx, dw, db))
    }
}
