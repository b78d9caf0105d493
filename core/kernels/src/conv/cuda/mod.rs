//! Convolution and pooling on a GPU.
//!
//! A convolution is a product of matrices, pixels' windows side by side times the weights, followed by a pass that ends
//! it: bias or norm, residual, activation. Pixels are processed in parts small enough that the windows and the product
//! stay in the GPU's cache until they are read again. With cuDNN ([`crate::gpu::cudnn`]), it computes the sums of those
//! windows that are larger than a pixel.

mod frozen;
mod pool;
mod sum;
mod trained;

use candle_core::cuda::CudaDevice;
use candle_core::{CudaStorage, Layout, Result, Tensor};

pub(super) use self::frozen::Packed;
pub(super) use self::pool::{max_pool, mean_pixels};
pub(super) use self::sum::sum;
pub(super) use self::trained::{Then, convolve};
use super::geometry::Geometry;
use crate::gpu::cudnn::{self, Done, Pass, Problem};
use crate::gpu::launch::{Address, Element, Launch, Window};
use crate::gpu::{Array, Product, alloc, launch, run};
use crate::transformer::Gelu;

/// Rows of packed weights and of gathered windows begin at multiples of 16 bytes in either type.
const ALIGNED: usize = 8;

/// Bytes of windows per part: for 64 windows of 3 by 3 pixels to 512 channels and similar sizes, enough to occupy all
/// of an H100's multiprocessors with one product.
const WINDOWS: usize = 40 << 20;
/// Bytes of a product that is finished while it is in the cache, if it has so few terms that memory limits it.
const SUMS: usize = 32 << 20;
const FEW_TERMS: usize = 512;

/// A storage and its layout.
type OnGpu<'a> = (&'a CudaStorage, &'a Layout);

fn window(g: &Geometry, channels: usize) -> Window {
    Window {
        input: [g.input.0, g.input.1, channels],
        output: g.output.into(),
        kernel: g.kernel.into(),
        stride: g.stride,
        padding: g.before.into(),
    }
}

/// Whether the input already has the layout of windows side by side: single pixels, or whole images.
fn side_by_side(g: &Geometry) -> bool {
    let whole = g.output == (1, 1) && g.kernel == g.input;
    let single = g.kernel == (1, 1) && g.stride == 1;
    (whole || single) && [g.before.0, g.before.1, g.after.0, g.after.1] == [0; 4]
}

/// A weight `(out, in, kh, kw)` as rows `(out, stride)`: for each tap the channels side by side, then zeros.
fn rows_of(weight: &Tensor) -> Result<Tensor> {
    let rows = weight.detach().permute((0, 2, 3, 1))?.contiguous()?.reshape((weight.dim(0)?, ()))?;
    let len = rows.dim(1)?;
    match len.next_multiple_of(ALIGNED) - len {
        0 => Ok(rows),
        missing => rows.pad_with_zeros(1, 0, missing)?.contiguous(),
    }
}

/// Number of pixels per part, for windows of `stride` elements.
fn part(element: Element, pixels: usize, stride: usize) -> usize {
    (WINDOWS / (stride * element.bytes())).clamp(1, pixels.max(1))
}

/// The convolution as a problem of cuDNN, if that is to compute it: windows are larger than a pixel, channels lie in
/// whole packs, and the padding is the same on both sides or, where it is not, never read.
fn problem(pass: Pass, g: &Geometry, element: Element, [channels, out]: [usize; 2]) -> Option<Problem> {
    let covered = |axis: [usize; 4]| {
        let [size, padding, kernel, output] = axis;
        (size + 2 * padding).checked_sub(kernel).is_some_and(|free| free / g.stride + 1 == output)
    };
    let even = covered([g.input.0, g.before.0, g.kernel.0, g.output.0])
        && covered([g.input.1, g.before.1, g.kernel.1, g.output.1]);
    let packs = channels.is_multiple_of(8) && out.is_multiple_of(8);
    let taken = cudnn::wanted() && !side_by_side(g) && even && packs;
    taken.then(|| Problem::new(pass, element, g.images, window(g, channels), out))
}

/// A dense convolution.
struct Dense<'a> {
    g: &'a Geometry,
    channels: usize,
    out: usize,
    input: Array,
    /// `(out, stride)`: for each tap the channels side by side, then zeros.
    weight: Array,
    /// Elements from one row of the weight to the next.
    stride: usize,
    last: Last,
    y: Array,
}

/// What ends a convolution before the activation.
#[derive(Clone, Copy)]
enum Last {
    /// A bias per channel and a residual, 0 for none.
    Add { bias: Address, residual: Address },
    /// A bias per channel and a GELU in place of the activation.
    Gelu { bias: Address, form: Gelu },
    /// A norm as factors and summands per channel, in f32.
    Norm([Address; 2]),
}

impl Dense<'_> {
    /// Queues the convolution.
    ///
    /// # Safety
    /// The arrays must have the sizes that the geometry says.
    unsafe fn run(&self, device: &CudaDevice, limits: (f32, f32)) -> Result<()> {
        let pixels = self.g.output_pixels();
        // SAFETY: by this function's contract.
        let done = unsafe { self.by_cudnn(device, limits)? };
        match done {
            Done::Everything => Ok(()),
            // SAFETY: likewise.
            Done::Sums => unsafe { run(device, &self.end([0, pixels], limits)) },
            // SAFETY: likewise.
            Done::Nothing => unsafe { self.by_products(device, limits) },
        }
    }

    unsafe fn by_cudnn(&self, device: &CudaDevice, limits: (f32, f32)) -> Result<Done> {
        let problem = problem(Pass::Forward, self.g, self.y.element, [self.channels, self.out]);
        let Some(problem) = problem.filter(|_| self.stride == self.g.taps() * self.channels) else {
            return Ok(Done::Nothing);
        };
        let relu = limits == (0.0, f32::INFINITY);
        let fused = match self.last {
            Last::Add { bias, residual } if relu && bias != 0 => Some([bias, residual]),
            _ => None,
        };
        let addresses = [self.input.address, self.weight.address, self.y.address];
        // SAFETY: by the contract of `run`.
        unsafe { cudnn::convolve(device, &problem, addresses, fused) }
    }

    unsafe fn by_products(&self, device: &CudaDevice, limits: (f32, f32)) -> Result<()> {
        let (element, pixels) = (self.y.element, self.g.output_pixels());
        let len = self.g.taps() * self.channels;
        let direct = side_by_side(self.g);
        let rows = match direct {
            false => part(element, pixels, self.stride),
            true if len <= FEW_TERMS => (SUMS / (self.out * element.bytes())).clamp(1, pixels),
            true => pixels,
        };
        let columns = if direct { None } else { Some(alloc(device, element, rows * self.stride)?) };
        for first in (0..pixels).step_by(rows) {
            let rows = rows.min(pixels - first);
            let (x, inner, x_stride) = match &columns {
                Some((_, columns)) => (columns.address, self.stride, self.stride),
                None => (self.input.at(first * len), len, len),
            };
            let y = self.y.at(first * self.out);
            let (w, w_stride, out) = (self.weight.address, self.stride, self.out);
            // SAFETY: parts of input and result begin at the row `first` and have `rows` rows; `columns` has room for
            // the largest part. Sizes are those of the geometry, by the contract of `run`.
            unsafe {
                if let Some((_, columns)) = &columns {
                    let window = window(self.g, self.channels);
                    let addresses = [self.input.address, columns.address];
                    run(device, &launch::gather(element, window, addresses, [first, rows], self.stride))?;
                }
                Product { element, x, x_stride, w, w_stride, y, rows, inner, out }.run(device)?;
                run(device, &self.end([first, rows], limits))?;
            }
        }
        Ok(())
    }

    /// The last pass over `rows` pixels from `first` on.
    fn end(&self, [first, rows]: [usize; 2], limits: (f32, f32)) -> Launch {
        let (element, y) = (self.y.element, self.y.at(first * self.out));
        match self.last {
            Last::Gelu { bias, form } => launch::gelu(element, [y, y, bias], [rows, self.out], form),
            Last::Norm([scale, shift]) => launch::norm(element, [y, scale, shift], [rows, self.out], limits),
            Last::Add { bias, residual } => {
                let offset = (first * self.out * element.bytes()) as Address;
                let residual = if residual == 0 { 0 } else { residual + offset };
                launch::finish(element, [y, bias, residual], [rows, self.out], limits)
            }
        }
    }
}
