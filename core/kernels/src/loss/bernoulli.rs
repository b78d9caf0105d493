//! The divergence of bit probabilities.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;

use super::ln::ln;
use crate::transformer::sum;
use crate::{cpu, gpu};

/// Added to the argument of a logarithm (zexuanqiu/CIBHash, commit 4c896ee).
const EPSILON: f64 = 1e-8;

/// Computes KL(p ‖ q) between vectors of independent Bernoulli variables: summed over bits, averaged over rows.
///
/// # Shapes
/// `p` and `q` are `(n, bits)` with probabilities; the result is a scalar. Of stacked runs, `(runs, n, bits)`, it is
/// `(runs,)`; on the CPU with the bits of each run alone.
///
/// # Errors
/// If the shapes differ or have another rank.
pub fn bernoulli_kl(p: &Tensor, q: &Tensor) -> Result<Tensor> {
    if p.dims() != q.dims() || !(2..=3).contains(&p.rank()) || p.elem_count() == 0 {
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
    (ones + zeros)?.sum(D::Minus1)?.mean(D::Minus1)
}

struct BernoulliKl;

/// A probability and its complement, each with ε.
#[inline(always)]
fn pair(p: f32) -> [f32; 2] {
    [p + EPSILON as f32, 1.0 - p + EPSILON as f32]
}

impl BernoulliKl {
    /// Returns the gradients of `p` and, if it is `wanted`, of `q`, those of each run times its scale.
    fn gradients(p: &[f32], q: &[f32], scales: &[f32], wanted: bool) -> [Vec<f32>; 2] {
        let len = p.len() / scales.len();
        let (mut first, mut second) = (vec![0.0; p.len()], vec![0.0; if wanted { q.len() } else { 0 }]);
        let runs = || p.chunks_exact(len).zip(q.chunks_exact(len)).zip(scales);
        for (dp, ((p, q), &scale)) in first.chunks_exact_mut(len).zip(runs()) {
            vectorized!(|dp: &'a mut [f32], p: &'a [f32], q: &'a [f32], scale: f32| {
                for ((dp, p), q) in dp.iter_mut().zip(p).zip(q) {
                    let ([p1, p0], [q1, q0]) = (pair(*p), pair(*q));
                    *dp = scale * (ln(p1) - ln(q1) - ln(p0) + ln(q0) + p / p1 - (1.0 - p) / p0);
                }
            });
        }
        for (dq, ((p, q), &scale)) in second.chunks_exact_mut(len).zip(runs()) {
            vectorized!(|dq: &'a mut [f32], p: &'a [f32], q: &'a [f32], scale: f32| {
                for ((dq, p), q) in dq.iter_mut().zip(p).zip(q) {
                    let [q1, q0] = pair(*q);
                    *dq = scale * ((1.0 - p) / q0 - p / q1);
                }
            });
        }
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
        let [runs @ .., n, bits] = pl.dims() else { unreachable!("`bernoulli_kl` checked the shape") };
        let of_runs = terms.chunks_exact(n * bits).map(|terms| sum(terms.len(), |i| terms[i]) / *n as f32);
        Ok((CpuStorage::F32(of_runs.collect()), Shape::from(runs)))
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
        let (n, wanted) = (p.dim(D::Minus2)? as f32, q.track_op());
        let scales: Vec<f32> = dy.flatten_all()?.to_vec1::<f32>()?.into_iter().map(|dy| dy / n).collect();
        let [dp, dq] =
            cpu::with_elements(p, |p| cpu::with_elements(q, |q| Ok(Self::gradients(p, q, &scales, wanted))))?;
        Ok((Some(cpu::tensor(dp, p.shape())?), wanted.then(|| cpu::tensor(dq, q.shape())).transpose()?))
    }
}
