//! The divergence of bit probabilities.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::ln::ln;
use crate::simd::vectorized;
use crate::transformer::sum;
use crate::{cpu, gpu};

/// Added to what a logarithm is taken of (zexuanqiu/CIBHash, commit 4c896ee).
const EPSILON: f64 = 1e-8;

/// Computes KL(p ‖ q) between vectors of independent Bernoulli variables: summed over bits, averaged over rows.
///
/// # Shapes
/// `p` and `q` are `(n, bits)` with probabilities; the result is a scalar.
///
/// # Errors
/// If the shapes differ.
pub fn bernoulli_kl(p: &Tensor, q: &Tensor) -> Result<Tensor> {
    if p.dims2()? != q.dims2()? || p.elem_count() == 0 {
        bail!("the divergence of probabilities {:?} from {:?}", p.dims(), q.dims());
    }
    if cpu::is_f32(&[p, q]) || gpu::is_f32(&[p, q]) {
        return p.contiguous()?.apply_op2(&q.contiguous()?, BernoulliKl);
    }
    let log = |x: &Tensor| (x + EPSILON)?.log();
    let complement = |x: &Tensor| x.affine(-1.0, 1.0);
    let (not_p, not_q) = (complement(p)?, complement(q)?);
    let ones = (p * (log(p)? - log(q)?)?)?;
    let zeros = (&not_p * (log(&not_p)? - log(&not_q)?)?)?;
    (ones + zeros)?.sum(1)?.mean_all()
}

struct BernoulliKl;

/// A probability and its complement, each with ε.
#[inline(always)]
fn pair(p: f32) -> [f32; 2] {
    [p + EPSILON as f32, 1.0 - p + EPSILON as f32]
}

impl BernoulliKl {
    /// Returns the gradients of `p` and, if it is `wanted`, of `q`, both times `scale`.
    fn gradients(p: &[f32], q: &[f32], scale: f32, wanted: bool) -> [Vec<f32>; 2] {
        let (mut first, mut second) = (vec![0.0; p.len()], vec![0.0; if wanted { q.len() } else { 0 }]);
        let (dp, dq) = (&mut first[..], &mut second[..]);
        vectorized!(|dp: &'a mut [f32], dq: &'a mut [f32], p: &'a [f32], q: &'a [f32], scale: f32| {
            for ((dp, p), q) in dp.iter_mut().zip(p).zip(q) {
                let ([p1, p0], [q1, q0]) = (pair(*p), pair(*q));
                *dp = scale * (ln(p1) - ln(q1) - ln(p0) + ln(q0) + p / p1 - (1.0 - p) / p0);
            }
            for ((dq, p), q) in dq.iter_mut().zip(p).zip(q) {
                let [q1, q0] = pair(*q);
                *dq = scale * ((1.0 - p) / q0 - p / q1);
            }
        });
        [first, second]
    }
}

impl CustomOp2 for BernoulliKl {
    fn name(&self) -> &'static str {
        "bernoulli-kl"
    }

    fn cpu_fwd(&self, p: &CpuStorage, pl: &Layout, q: &CpuStorage, ql: &Layout) -> Result<(CpuStorage, Shape)> {
        let (p, q) = (cpu::elements(p, pl)?, cpu::elements(q, ql)?);
        let mut terms = vec![0.0; p.len()];
        let to = &mut terms[..];
        vectorized!(|to: &'a mut [f32], p: &'a [f32], q: &'a [f32]| {
            for ((term, p), q) in to.iter_mut().zip(p).zip(q) {
                let ([p1, p0], [q1, q0]) = (pair(*p), pair(*q));
                *term = p * (ln(p1) - ln(q1)) + (1.0 - p) * (ln(p0) - ln(q0));
            }
        });
        let total = sum(terms.len(), |i| terms[i]);
        Ok((CpuStorage::F32(vec![total / pl.dims()[0] as f32]), Shape::from(())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, p: &CudaStorage, pl: &Layout, q: &CudaStorage, ql: &Layout) -> Result<(CudaStorage, Shape)> {
        super::cuda::bernoulli_kl((p, pl), (q, ql))
    }

    fn bwd(&self, p: &Tensor, q: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if p.device().is_cuda() {
            return super::cuda::bernoulli_kl_gradients(p, q, dy);
        }
        let scale = dy.to_scalar::<f32>()? / p.dim(0)? as f32;
        let wanted = q.track_op();
        let [dp, dq] = cpu::with_elements(p, |p| cpu::with_elements(q, |q| Ok(Self::gradients(p, q, scale, wanted))))?;
        Ok((Some(cpu::tensor(dp, p.shape())?), wanted.then(|| cpu::tensor(dq, q.shape())).transpose()?))
    }
}
