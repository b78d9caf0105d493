//! Pooling.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;

use super::geometry::{Geometry, Window};
use super::rows::{Rows, by_pixels};
use crate::accumulate::widen;
use crate::{cpu, linear};

/// Pixels per chunk.
const CHUNK: usize = 64;

/// Takes the maximum over windows of `size` by `size` pixels; padding never is the maximum.
///
/// With `ceil`, a last window that is partly outside counts (PyTorch's `ceil_mode`).
///
/// # Shapes
/// `x` is `(n, h, w, c)`, the result `(n, h', w', c)`.
///
/// # Errors
/// If the window is larger than the padded image, or the padding more than half of the window.
pub fn max_pool2d(x: &Tensor, size: usize, window: Window, ceil: bool) -> Result<Tensor> {
    let pool = MaxPool { size, window, ceil };
    let _g = pool.geometry(x.dims())?;
    #[cfg(feature = "cuda")]
    if crate::gpu::takes_frozen(&[x]) {
        return super::cuda::max_pool(x, &_g);
    }
    if cpu::is_f32(&[x]) { x.contiguous()?.apply_op1(pool) } else { pool.plain(x) }
}

/// Takes the mean over all pixels.
///
/// # Shapes
/// `x` is `(n, h, w, c)`, the result `(n, c)`.
///
/// # Errors
/// If `x` has another rank.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    let (_, h, w, c) = x.dims4()?;
    if h * w * c == 0 {
        bail!("the mean over images of {h} by {w} pixels and {c} channels");
    }
    #[cfg(feature = "cuda")]
    if crate::gpu::takes_frozen(&[x]) {
        return super::cuda::mean_pixels(x);
    }
    if cpu::is_f32(&[x]) { x.contiguous()?.apply_op1(GlobalMean) } else { widen(x)?.mean((1, 2))?.to_dtype(x.dtype()) }
}

/// Takes means over windows that divide the image into `(h', w')` overlapping or touching cells.
///
/// Cell `i` of `m` along an axis of `size` pixels covers `⌊i·size/m⌋ .. ⌈(i+1)·size/m⌉` (PyTorch's
/// `AdaptiveAvgPool2d`), so images smaller than the grid are repeated.
///
/// # Shapes
/// `x` is `(n, h, w, c)`, the result `(n, h', w', c)`.
///
/// # Errors
/// If `x` has another rank or no element.
pub fn adaptive_avg_pool(x: &Tensor, (rows, cols): (usize, usize)) -> Result<Tensor> {
    let (_, h, w, _) = x.dims4()?;
    if (h, w) == (rows, cols) {
        return Ok(x.clone());
    }
    if x.elem_count() == 0 {
        bail!("the mean over images of shape {:?}", x.dims());
    }
    // A mean over a rectangle is a mean of means, so one small matrix product along each axis does it.
    let weights =
        |size, cells| Tensor::from_vec(cell_weights(size, cells), (cells, size), x.device())?.to_dtype(x.dtype());
    let (along_rows, along_columns) = (weights(w, cols)?, weights(h, rows)?);
    let pool = |x: &Tensor| {
        let x = linear(&x.permute((0, 3, 1, 2))?.contiguous()?, &along_rows, None)?; // (n, c, h, w')
        linear(&x.transpose(2, 3)?.contiguous()?, &along_columns, None)?.permute((0, 3, 2, 1))?.contiguous()
    };
    if !x.device().is_cpu() || x.track_op() {
        return pool(x);
    }
    // Image by image: a product of another number of rows may add up in another order, and an image's features must not
    // depend on its batch. Training, whose steps are those of batches, would add up a gradient per image.
    let images: Result<Vec<Tensor>> = (0..x.dim(0)?).map(|image| pool(&x.narrow(0, image, 1)?)).collect();
    Tensor::cat(&images?, 0)
}

/// The matrix `(cells, size)` that maps an axis to the means of its cells.
fn cell_weights(size: usize, cells: usize) -> Vec<f32> {
    let cell = |i: usize| {
        let covered = i * size / cells..((i + 1) * size).div_ceil(cells);
        (0..size).map(move |at| if covered.contains(&at) { 1.0 / covered.len() as f32 } else { 0.0 })
    };
    (0..cells).flat_map(cell).collect()
}

struct MaxPool {
    size: usize,
    window: Window,
    ceil: bool,
}

impl MaxPool {
    fn geometry(&self, x: &[usize]) -> Result<Geometry> {
        let &[images, h, w, channels] = x else {
            bail!("pooling of {x:?}: expected (n, h, w, c)");
        };
        if channels == 0 {
            bail!("pooling of {x:?}: images without channels");
        }
        let g = Geometry::new((images, h, w), (self.size, self.size), self.window, self.ceil)?;
        if [g.before.0, g.before.1, g.after.0, g.after.1].into_iter().any(|p| 2 * p > self.size) {
            bail!("pooling with padding {:?}: at most half of the {} pixels", self.window.padding, self.size);
        }
        Ok(g)
    }

    /// The formulation in candle's own operations: the maximum over shifted, strided views.
    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let g = self.geometry(x.dims())?;
        let needed = |out: usize| (out - 1) * g.stride + self.size;
        // Every window contains a pixel of the edge whose copies pad it, so padding never is the only maximum.
        let pad = |x: &Tensor, axis: usize, before: usize, size: usize, out: usize| {
            let after = needed(out).saturating_sub(before + size);
            x.pad_with_same(axis, before, after)?.narrow(axis, 0, needed(out))
        };
        let x = pad(x, 1, g.before.0, g.input.0, g.output.0)?;
        let x = pad(&x, 2, g.before.1, g.input.1, g.output.1)?;
        let views = g.views(&x)?;
        let (first, others) = views.split_first().expect("a window has a tap");
        others.iter().try_fold(first.clone(), |best, tap| best.maximum(tap))
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(layout.dims())?;
        let (x, channels) = (cpu::elements(x, layout)?, layout.dims()[3]);
        let fill = vec![f32::NEG_INFINITY; channels];
        let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let rows = Rows::gather(&g, x, &fill, range);
            let rows = &rows;
            vectorized!(|out: &'a mut [MaybeUninit<f32>], rows: &'a Rows<'a>| {
                for (pixel, out) in out.chunks_exact_mut(rows.channels()).enumerate() {
                    maximum(rows, pixel, out);
                }
            });
        };
        // SAFETY: `maximum` initializes every channel of every pixel of `out`.
        let y = unsafe { by_pixels(g.output_pixels(), channels, CHUNK, body) };
        Ok((CpuStorage::F32(y), (g.images, g.output.0, g.output.1, channels).into()))
    }

    /// Each output's gradient goes to the first pixel of its window that holds the maximum, as in PyTorch.
    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let g = self.geometry(x.dims())?;
        let channels = x.dim(3)?;
        let mut dx = vec![0.0; x.elem_count()];
        cpu::with_elements(x, |x| {
            cpu::with_elements(y, |y| {
                cpu::with_elements(dy, |dy| {
                    let (g, values, dx) = (&g, [x, y, dy], &mut dx[..]);
                    vectorized!(|g: &'a Geometry, channels: usize, values: [&'a [f32]; 3], dx: &'a mut [f32]| {
                        scatter_maxima(g, channels, values, dx)
                    });
                    Ok(())
                })
            })
        })?;
        Ok(Some(cpu::tensor(dx, x.shape())?))
    }
}

#[inline(always)]
fn maximum(rows: &Rows<'_>, pixel: usize, out: &mut [MaybeUninit<f32>]) {
    for (out, x) in out.iter_mut().zip(rows.get(0, pixel)) {
        out.write(*x);
    }
    for tap in 1..rows.taps() {
        for (out, x) in out.iter_mut().zip(rows.get(tap, pixel)) {
            // SAFETY: the first tap initialized every element.
            let best = unsafe { out.assume_init() };
            out.write(if *x > best { *x } else { best });
        }
    }
}

#[inline(always)]
fn scatter_maxima(g: &Geometry, channels: usize, [x, y, dy]: [&[f32]; 3], dx: &mut [f32]) {
    let (h, w) = g.output;
    let mut pending = vec![0.0; channels];
    for (pixel, (y, dy)) in y.chunks_exact(channels).zip(dy.chunks_exact(channels)).enumerate() {
        let (image, at) = (pixel / (h * w), (pixel / w % h, pixel % w));
        pending.copy_from_slice(dy);
        for tap in 0..g.taps() {
            let (ky, kx) = (tap / g.kernel.1, tap % g.kernel.1);
            let (Some(iy), Some(ix)) = (g.source(0, at.0, ky), g.source(1, at.1, kx)) else { continue };
            let input = ((image * g.input.0 + iy) * g.input.1 + ix) * channels;
            let (x, dx) = (&x[input..][..channels], &mut dx[input..][..channels]);
            for (((dx, x), y), pending) in dx.iter_mut().zip(x).zip(y).zip(&mut pending) {
                let (here, later) = if x == y { (*pending, 0.0) } else { (0.0, *pending) };
                *dx += here;
                *pending = later;
            }
        }
    }
}

struct GlobalMean;

impl CustomOp1 for GlobalMean {
    fn name(&self) -> &'static str {
        "global-avg-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, h, w, c) = layout.shape().dims4()?;
        let mut means = vec![0.0; n * c];
        let (to, x, pixels) = (&mut means[..], cpu::elements(x, layout)?, h * w);
        vectorized!(|to: &'a mut [f32], x: &'a [f32], pixels: usize, c: usize| {
            for (mean, image) in to.chunks_exact_mut(c).zip(x.chunks_exact(pixels * c)) {
                for pixel in image.chunks_exact(c) {
                    for (mean, x) in mean.iter_mut().zip(pixel) {
                        *mean += x;
                    }
                }
                for mean in mean {
                    *mean /= pixels as f32;
                }
            }
        });
        Ok((CpuStorage::F32(means), (n, c).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (n, h, w, c) = x.dims4()?;
        let dx = (dy / (h * w) as f64)?.reshape((n, 1, 1, c))?;
        Ok(Some(dx.broadcast_as((n, h, w, c))?.contiguous()?))
    }
}
