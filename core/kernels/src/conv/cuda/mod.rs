//! Convolution and pooling on a GPU, with fixed weights.
//!
//! A convolution is a product of matrices, pixels' windows side by side times the weights, followed by a pass that adds
//! bias and residual and clamps. Pixels are processed in parts small enough that the windows and the product stay in
//! the GPU's cache until they are read again.

use candle_core::{CudaStorage, Layout, Result, Tensor, bail};

use super::geometry::Geometry;
use crate::gpu::launch::{Element, Window};
use crate::gpu::{Array, Product, alloc, gpu, launch, run, tensor};

/// Bytes of windows per part: for 64 windows of 3 by 3 pixels to 512 channels and similar sizes, enough to occupy all
/// of an H100's multiprocessors with one product.
const WINDOWS: usize = 40 << 20;
/// Bytes of a product that is finished while it is in the cache, if it has so few terms that memory limits it.
const SUMS: usize = 32 << 20;
const FEW_TERMS: usize = 512;
/// Rows of a product begin at multiples of 16 bytes in either type.
const ALIGNED: usize = 8;

/// Weights in the order in which the kernels read them.
pub(super) struct Packed {
    depthwise: bool,
    /// `(out, stride)`: for each tap the channels side by side, then zeros; or `(taps, c)`.
    weight: Tensor,
    bias: Tensor,
}

/// A storage and its layout.
type OnGpu<'a> = (&'a CudaStorage, &'a Layout);

impl Packed {
    /// Packs weights in PyTorch's order.
    pub(super) fn new(depthwise: bool, weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let (out, _, kh, kw) = weight.dims4()?;
        let weight = if depthwise {
            weight.reshape((out, kh * kw))?.t()?.contiguous()?
        } else {
            let rows = weight.permute((0, 2, 3, 1))?.contiguous()?.reshape((out, ()))?;
            let len = rows.dim(1)?;
            rows.pad_with_zeros(1, 0, len.next_multiple_of(ALIGNED) - len)?.contiguous()?
        };
        Ok(Self { depthwise, weight: weight.detach(), bias: bias.contiguous()?.detach() })
    }

    /// Convolves; `residual` has the shape of the result.
    pub(super) fn convolve(
        &self,
        g: &Geometry,
        (x, layout): OnGpu<'_>,
        residual: Option<OnGpu<'_>>,
        limits: (f32, f32),
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
                let dense = Dense { g, channels, out, input, weight, stride: self.weight.dim(1)?, bias, residual, y };
                dense.run(device, limits)?;
            }
        }
        Ok(storage)
    }
}

fn window(g: &Geometry, channels: usize) -> Window {
    Window {
        input: [g.input.0, g.input.1, channels],
        output: g.output.into(),
        kernel: g.kernel.into(),
        stride: g.stride,
        padding: g.before.into(),
    }
}

/// A dense convolution.
struct Dense<'a> {
    g: &'a Geometry,
    channels: usize,
    out: usize,
    input: Array,
    weight: Array,
    /// Elements from one row of the weight to the next.
    stride: usize,
    bias: Array,
    residual: Option<Array>,
    y: Array,
}

impl Dense<'_> {
    /// Whether the input already has the layout of windows side by side: single pixels, or whole images.
    fn side_by_side(&self) -> bool {
        let whole = self.g.output == (1, 1) && self.g.kernel == self.g.input;
        let single = self.g.kernel == (1, 1) && self.g.stride == 1;
        let padding = [self.g.before.0, self.g.before.1, self.g.after.0, self.g.after.1];
        (whole || single) && padding == [0; 4]
    }

    fn run(&self, device: &candle_core::CudaDevice, limits: (f32, f32)) -> Result<()> {
        let (element, pixels) = (self.y.element, self.g.output_pixels());
        let len = self.g.taps() * self.channels;
        let direct = self.side_by_side();
        let rows = part(element, direct, pixels, [len, self.stride, self.out]);
        let columns = if direct { None } else { Some(alloc(device, element, rows * self.stride)?) };
        for first in (0..pixels).step_by(rows) {
            let rows = rows.min(pixels - first);
            let (x, inner, x_stride) = match &columns {
                Some((_, columns)) => (columns.address, self.stride, self.stride),
                None => (self.input.at(first * len), len, len),
            };
            let y = self.y.at(first * self.out);
            let (w, w_stride, out) = (self.weight.address, self.stride, self.out);
            let residual = self.residual.map_or(0, |residual| residual.at(first * out));
            // SAFETY: parts of input, residual and result begin at the row `first` and have `rows` rows; `columns` has
            // room for the largest part. Sizes are those of the tensors, which `geometry` checked.
            unsafe {
                if let Some((_, columns)) = &columns {
                    let window = window(self.g, self.channels);
                    let addresses = [self.input.address, columns.address];
                    run(device, &launch::gather(element, window, addresses, [first, rows], self.stride))?;
                }
                Product { element, x, x_stride, w, w_stride, y, rows, inner, out }.run(device)?;
                run(device, &launch::finish(element, [y, self.bias.address, residual], [rows, out], limits))?;
            }
        }
        Ok(())
    }
}

/// Number of pixels per part.
fn part(element: Element, direct: bool, pixels: usize, [len, stride, out]: [usize; 3]) -> usize {
    let rows = match direct {
        false => WINDOWS / (stride * element.bytes()),
        true if len <= FEW_TERMS => SUMS / (out * element.bytes()),
        true => pixels,
    };
    rows.clamp(1, pixels)
}

pub(super) fn max_pool(x: &Tensor, g: &Geometry) -> Result<Tensor> {
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

pub(super) fn mean_pixels(x: &Tensor) -> Result<Tensor> {
    let (x, device, (n, h, w, c)) = (x.contiguous()?, gpu(x)?, x.dims4()?);
    let from = Array::of_tensor(&x)?;
    let (storage, y) = alloc(device, from.element, n * c)?;
    if n > 0 {
        // SAFETY: `x` has `n` images of `h · w` pixels, the result a row per image.
        unsafe { run(device, &launch::mean_pixels(from.element, [from.address, y.address], [n, h * w, c]))? };
    }
    Ok(tensor(storage, (n, c)))
}
