//! Convolution with gradients.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{Dense, Last, OnGpu, part, problem, side_by_side, window};
use crate::accumulate::widen;
use crate::activation::Activation;
use crate::conv::geometry::Geometry;
use crate::gpu::cudnn::{self, Done, Pass};
use crate::gpu::gradients::{before, column_sums};
use crate::gpu::launch::Norm;
use crate::gpu::{Array, Product, alloc, gpu, launch, run, tensor};

/// What follows the sums of a convolution, before its activation.
pub(in crate::conv) enum Then {
    /// A bias per channel.
    Bias(Tensor),
    /// A norm: mean, variance, weight and bias, constants of f32 per channel, and what is added to the variance.
    Norm([Tensor; 4], f32),
}

/// Convolves `x`, `(n, h, w, in)`, with `w`, `(out, in, kh, kw)`.
pub(in crate::conv) fn convolve(
    x: &Tensor,
    w: &Tensor,
    then: Then,
    g: Geometry,
    activation: Activation,
) -> Result<Tensor> {
    let (x, w) = (x.contiguous()?, w.permute((0, 2, 3, 1))?.contiguous()?);
    let len = g.output_pixels() * w.dim(0)?;
    if len == 0 || len >= 1 << 31 {
        bail!("a batch of {} images is too small or too large for a GPU's convolution", g.images);
    }
    match then {
        Then::Bias(b) => x.apply_op3(&w, &b.contiguous()?, Trained { g, activation, norm: None }),
        Then::Norm(constants, eps) => {
            let constants = constants.map(|t| t.detach().contiguous());
            let [mean, variance, weight, bias] = constants;
            let constants = [mean?, variance?, weight?, bias?];
            x.apply_op2(&w, Trained { g, activation, norm: Some((constants, eps)) })
        }
    }
}

/// The convolution as an operation of candle's graph; its weight is `(out, kh, kw, in)`.
struct Trained {
    g: Geometry,
    activation: Activation,
    norm: Option<([Tensor; 4], f32)>,
}

impl Trained {
    fn norm(&self) -> Result<Norm> {
        let Some((constants, eps)) = &self.norm else { return Ok(Norm::default()) };
        let mut addresses = [0; 4];
        for (address, constant) in addresses.iter_mut().zip(constants) {
            *address = Array::of_tensor(constant)?.address;
        }
        Ok(Norm { addresses, eps: *eps })
    }

    fn forward(&self, (x, xl): OnGpu<'_>, (w, wl): OnGpu<'_>, b: Option<OnGpu<'_>>) -> Result<(CudaStorage, Shape)> {
        let (g, out, channels) = (&self.g, wl.dims()[0], xl.dims()[3]);
        let (input, weight) = (Array::contiguous(x, xl)?, Array::contiguous(w, wl)?);
        let last = match b {
            Some((b, layout)) => Last::Add { bias: Array::contiguous(b, layout)?.address, residual: 0 },
            None => Last::Norm(self.norm()?),
        };
        let (storage, y) = alloc(&x.device, input.element, g.output_pixels() * out)?;
        let dense = Dense { g, channels, out, input, weight, stride: g.taps() * channels, last, y };
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
        let d = before(self.activation, self.norm()?, y, dy)?;
        let flat = d.reshape((self.g.output_pixels(), ()))?;
        let db = b.filter(|b| b.track_op()).map(|_| column_sums(&flat)).transpose()?;
        let dw = if w.track_op() { Some(weight_gradient(&self.g, x, w, &flat)?) } else { None };
        let dx = if x.track_op() { Some(input_gradient(&self.g, x, w, &flat)?) } else { None };
        Ok([dx, dw, db])
    }
}

/// Lets cuDNN compute a gradient, of `len` elements, if it is to.
fn by_cudnn(pass: Pass, g: &Geometry, sizes: [usize; 2], factors: [&Tensor; 2], len: usize) -> Result<Option<Tensor>> {
    let [a, b] = [Array::of_tensor(factors[0])?, Array::of_tensor(factors[1])?];
    let Some(problem) = problem(pass, g, a.element, sizes) else { return Ok(None) };
    let device = gpu(factors[0])?;
    let (storage, result) = alloc(device, a.element, len)?;
    // SAFETY: the tensors have the sizes of the problem, which are those of a convolution's operands.
    let done = unsafe { cudnn::convolve(device, &problem, [a.address, b.address, result.address], None)? };
    Ok(match done {
        Done::Nothing => None,
        Done::Sums | Done::Everything => Some(tensor(storage, len)),
    })
}

/// The gradient of the weight, `dᵀ` times the windows side by side; sums of the parts are in f32.
fn weight_gradient(g: &Geometry, x: &Tensor, w: &Tensor, d: &Tensor) -> Result<Tensor> {
    let (x, w) = (x.detach(), w.detach());
    let (out, _, _, channels) = w.dims4()?;
    if let Some(dw) = by_cudnn(Pass::WeightGradient, g, [channels, out], [&x, d], w.elem_count())? {
        return dw.reshape(w.shape());
    }
    let (pixels, len) = (g.output_pixels(), g.taps() * channels);
    if side_by_side(g) {
        return d.t()?.matmul(&x.reshape((pixels, len))?)?.reshape(w.shape());
    }
    let (device, from) = (gpu(&x)?, Array::of_tensor(&x)?);
    let rows = part(from.element, pixels, len);
    let mut sum: Option<Tensor> = None;
    for first in (0..pixels).step_by(rows) {
        let rows = rows.min(pixels - first);
        let (storage, columns) = alloc(device, from.element, rows * len)?;
        let window = window(g, channels);
        // SAFETY: the window is over images of the size of `x`, and there is room for the windows of `rows` pixels.
        unsafe {
            run(device, &launch::gather(from.element, window, [from.address, columns.address], [first, rows], len))?;
        }
        let term = widen(&d.narrow(0, first, rows)?.t()?.matmul(&tensor(storage, (rows, len)))?)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.expect("an image has pixels").to_dtype(w.dtype())?.reshape(w.shape())
}

/// The gradient of the input: for each pixel, those rows of `d` side by side whose windows have the pixel, times the
/// weights.
fn input_gradient(g: &Geometry, x: &Tensor, w: &Tensor, d: &Tensor) -> Result<Tensor> {
    let w = w.detach();
    let (out, _, _, channels) = w.dims4()?;
    let (pixels, device) = (g.input_pixels(), gpu(d)?);
    if let Some(dx) = by_cudnn(Pass::InputGradient, g, [channels, out], [&w, d], pixels * channels)? {
        return dx.reshape(x.shape());
    }
    if side_by_side(g) {
        return d.matmul(&w.reshape((out, g.taps() * channels))?)?.reshape(x.shape());
    }
    let len = g.taps() * out;
    let transposed = w.permute((3, 1, 2, 0))?.contiguous()?; // (in, kh, kw, out)
    let (from, weight) = (Array::of_tensor(d)?, Array::of_tensor(&transposed)?);
    let element = from.element;
    let (storage, dx) = alloc(device, element, pixels * channels)?;
    let rows = part(element, pixels, len);
    let (_kept, columns) = alloc(device, element, rows * len)?;
    for first in (0..pixels).step_by(rows) {
        let rows = rows.min(pixels - first);
        let spread = launch::spread(element, window(g, out), [from.address, columns.address], [first, rows], len);
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
        // SAFETY: `d` has a row per output pixel, `columns` has room for the largest part, the result a row per input
        // pixel.
        unsafe {
            run(device, &spread)?;
            product.run(device)?;
        }
    }
    Ok(tensor(storage, x.shape()))
}

impl CustomOp2 for Trained {
    fn name(&self) -> &'static str {
        "conv2d-norm"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("a GPU's convolution on the CPU")
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, w: &CudaStorage, wl: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward((x, xl), (w, wl), None)
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
        w: &CudaStorage,
        wl: &Layout,
        b: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, xl), (w, wl), Some((b, bl)))
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
