//! Sums of images.

use std::mem::MaybeUninit;
use std::ops::Range;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;

use super::rows::by_pixels;
use crate::activation::{Activation, clamp};
use crate::{cpu, gpu};

/// Elements per chunk.
const CHUNK: usize = 1 << 14;

/// Computes `activation(a + b)`, the end of a residual block, in one pass.
///
/// # Errors
/// If the shapes differ.
pub fn add(a: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    if a.dims() != b.dims() {
        bail!("the sum of tensors of shapes {:?} and {:?}", a.dims(), b.dims());
    }
    if cpu::is_f32(&[a, b]) || gpu::takes(&[a, b]) {
        a.contiguous()?.apply_op2(&b.contiguous()?, Sum(activation))
    } else {
        activation.plain((a + b)?)
    }
}

struct Sum(Activation);

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, a: &CpuStorage, al: &Layout, b: &CpuStorage, bl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (cpu::elements(a, al)?, cpu::elements(b, bl)?);
        let limits = self.0.limits();
        let body = |range: Range<usize>, out: &mut [MaybeUninit<f32>]| {
            let (a, b) = (&a[range.clone()], &b[range]);
            vectorized!(|out: &'a mut [MaybeUninit<f32>], a: &'a [f32], b: &'a [f32], limits: (f32, f32)| {
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    out.write(clamp(a + b, limits));
                }
            });
        };
        // SAFETY: `out`, `range` and hence the terms are equally long.
        let y = unsafe { by_pixels(a.len(), 1, CHUNK, body) };
        Ok((CpuStorage::F32(y), al.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, a: &CudaStorage, al: &Layout, b: &CudaStorage, bl: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((super::cuda::sum((a, al), (b, bl), self.0)?, al.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if dy.device().is_cuda() {
            let gradient = gpu::gradients::before(self.0, None, y, dy)?;
            return Ok((Some(gradient.clone()), Some(gradient)));
        }
        let gradient = self.0.gradient(y, dy)?;
        Ok((Some(gradient.clone()), Some(gradient)))
    }
}
