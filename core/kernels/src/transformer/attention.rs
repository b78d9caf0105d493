//! Self-attention within sequences of tokens.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;
use rayon::prelude::*;

use super::block::{Block, product};
use super::{softmax, sum};
use crate::{cpu, threads};

/// Computes scaled dot-product attention (Vaswani et al., NeurIPS 2017, equation 1) within sequences of tokens.
///
/// Sequences are stored one after the other, so that they may differ in length without padding. `lengths` are their
/// numbers of tokens. A head has its share of the columns.
///
/// # Shapes
/// Queries, keys and values are `(tokens, dim)`, and so is the result.
///
/// # Errors
/// If shapes differ, `lengths` does not add up to `tokens`, or `heads` does not divide `dim`.
pub fn attention(inputs: [&Tensor; 3], lengths: &[usize], heads: usize) -> Result<Tensor> {
    attend(inputs, lengths, heads, false)
}

/// Computes the same, with each token attending to itself and earlier ones only.
///
/// # Errors
/// As [`attention`].
pub fn causal_attention(inputs: [&Tensor; 3], lengths: &[usize], heads: usize) -> Result<Tensor> {
    attend(inputs, lengths, heads, true)
}

fn attend([q, k, v]: [&Tensor; 3], lengths: &[usize], heads: usize, causal: bool) -> Result<Tensor> {
    let (tokens, dim) = q.dims2()?;
    if k.dims() != q.dims() || v.dims() != q.dims() {
        bail!("attention of queries {:?}, keys {:?} and values {:?}", q.dims(), k.dims(), v.dims());
    }
    if lengths.iter().sum::<usize>() != tokens || heads == 0 || dim == 0 || !dim.is_multiple_of(heads) {
        bail!("attention with {heads} heads within sequences of {lengths:?} tokens over {:?}", q.dims());
    }
    let op = Attention { lengths: lengths.into(), heads, dim, causal };
    #[cfg(feature = "cuda")]
    if !causal && crate::gpu::takes_frozen(&[q, k, v]) {
        return op.by_sequences([q, k, v], |qkv, sizes| super::cuda::attention(qkv, sizes, heads, op.scale()));
    }
    match cpu::is_f32(&[q, k, v]) {
        true => q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op),
        false => op.plain([q, k, v]),
    }
}

struct Attention {
    lengths: Vec<usize>,
    heads: usize,
    dim: usize,
    /// Whether a token attends to itself and earlier ones only.
    causal: bool,
}

impl Attention {
    fn scale(&self) -> f32 {
        (self.heads as f32 / self.dim as f32).sqrt()
    }

    /// The formulation in candle's own operations.
    fn plain(&self, tensors: [&Tensor; 3]) -> Result<Tensor> {
        self.by_sequences(tensors, |tensors, [n, len]| {
            let split = |x: &Tensor| {
                let x = x.reshape((n, len, self.heads, self.dim / self.heads))?;
                x.transpose(1, 2)?.contiguous()
            };
            let [q, k, v] = [split(&tensors[0])?, split(&tensors[1])?, split(&tensors[2])?];
            let mut products = (q.matmul(&k.t()?)? * f64::from(self.scale()))?;
            if self.causal {
                products = products.broadcast_add(&causal_mask(len, &products)?)?;
            }
            let weights = softmax::plain(&products)?;
            weights.matmul(&v)?.transpose(1, 2)?.reshape((n * len, self.dim))
        })
    }

    /// Calls `f` with parts of all tensors, each of so many sequences of so many tokens, and joins the results.
    /// Neighbors of the same length go together: each operation is a call to a GPU.
    fn by_sequences(
        &self,
        tensors: [&Tensor; 3],
        f: impl Fn([Tensor; 3], [usize; 2]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (mut start, mut parts) = (0, Vec::new());
        for alike in self.lengths.chunk_by(|a, b| a == b).filter(|alike| alike[0] > 0) {
            let (n, len) = (alike.len(), alike[0]);
            let part = |x: &Tensor| x.narrow(0, start, n * len);
            parts.push(f([part(tensors[0])?, part(tensors[1])?, part(tensors[2])?], [n, len])?);
            start += n * len;
        }
        match parts.len() {
            0 => tensors[0].zeros_like(),
            1 => Ok(parts.remove(0)),
            _ => Tensor::cat(&parts, 0),
        }
    }

    /// Calls `f` with each sequence's part of all inputs and outputs, on as many threads as are available.
    fn each<const I: usize, const O: usize>(
        &self,
        mut inputs: [&[f32]; I],
        mut outputs: [&mut [f32]; O],
        f: impl Fn([&[f32]; I], [&mut [f32]; O]) + Sync,
    ) {
        const WHOLE: &str = "lengths add up to the tokens";
        let next = |len: &usize| {
            let end = len * self.dim;
            (
                inputs.each_mut().map(|x| x.split_off(..end).expect(WHOLE)),
                outputs.each_mut().map(|x| x.split_off_mut(..end).expect(WHOLE)),
            )
        };
        let sequences: Vec<_> = self.lengths.iter().filter(|len| **len > 0).map(next).collect();
        match threads::available() {
            1 => sequences.into_iter().for_each(|(inputs, outputs)| f(inputs, outputs)),
            _ => sequences.into_par_iter().for_each(|(inputs, outputs)| f(inputs, outputs)),
        }
    }

    /// Returns the columns of `head` of a sequence.
    fn columns<'a>(&self, x: &'a [f32], head: usize) -> Block<'a> {
        Block::columns(x, self.dim, head * self.dim / self.heads..(head + 1) * self.dim / self.heads)
    }

    /// Writes a product to the columns of `head` of a sequence.
    fn put(&self, out: &mut [f32], head: usize, a: Block<'_>, b: Block<'_>) {
        product(&mut out[head * self.dim / self.heads..], self.dim, 1.0, a, b);
    }

    /// Writes the attention weights of each pair of tokens of a sequence.
    fn weights(&self, q: &[f32], k: &[f32], head: usize, out: &mut [f32]) {
        let len = q.len() / self.dim;
        product(out, len, self.scale(), self.columns(q, head), self.columns(k, head).t());
        if self.causal {
            vectorized!(|out: &'a mut [f32], len: usize| {
                for (token, row) in out.chunks_exact_mut(len).enumerate() {
                    let (seen, behind) = row.split_at_mut(token + 1);
                    softmax::row(seen);
                    behind.fill(0.0);
                }
            });
        } else {
            vectorized!(|out: &'a mut [f32], len: usize| {
                for row in out.chunks_exact_mut(len) {
                    softmax::row(row);
                }
            });
        }
    }

    fn forward(&self, [q, k, v]: [&[f32]; 3], out: &mut [f32]) {
        let len = q.len() / self.dim;
        let mut weights = vec![0.0; len * len];
        for head in 0..self.heads {
            self.weights(q, k, head, &mut weights);
            self.put(out, head, Block::columns(&weights, len, 0..len), self.columns(v, head));
        }
    }

    /// With P the weights and dP = dy·vᵀ: dS = P ∘ (dP − Σ P∘dP), dq = scale·dS·k, dk = scale·dSᵀ·q, dv = Pᵀ·dy.
    fn backward(&self, [q, k, v, dy]: [&[f32]; 4], [dq, dk, dv]: [&mut [f32]; 3]) {
        let len = q.len() / self.dim;
        let (mut weights, mut inner) = (vec![0.0; len * len], vec![0.0; len * len]);
        for head in 0..self.heads {
            self.weights(q, k, head, &mut weights);
            let dy = self.columns(dy, head);
            product(&mut inner, len, 1.0, dy, self.columns(v, head).t());
            let (to, from, scale) = (&mut inner[..], &weights[..], self.scale());
            vectorized!(|to: &'a mut [f32], from: &'a [f32], scale: f32, len: usize| {
                for (inner, weights) in to.chunks_exact_mut(len).zip(from.chunks_exact(len)) {
                    let mean = sum(len, |i| weights[i] * inner[i]);
                    for (d, weight) in inner.iter_mut().zip(weights) {
                        *d = scale * weight * (*d - mean);
                    }
                }
            });
            let [weights, inner] = [&weights, &inner].map(|x| Block::columns(x, len, 0..len));
            self.put(dq, head, inner, self.columns(k, head));
            self.put(dk, head, inner.t(), self.columns(q, head));
            self.put(dv, head, weights.t(), dy);
        }
    }
}

/// Returns the mask that excludes later tokens from a softmax, `(len, len)`, with the type and device of `like`.
fn causal_mask(len: usize, like: &Tensor) -> Result<Tensor> {
    let behind = |i: usize| if i % len > i / len { f32::NEG_INFINITY } else { 0.0 };
    Tensor::from_iter((0..len * len).map(behind), like.device())?.reshape((len, len))?.to_dtype(like.dtype())
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let inputs = [cpu::elements(q, ql)?, cpu::elements(k, kl)?, cpu::elements(v, vl)?];
        let mut y = vec![0.0; inputs[0].len()];
        self.each(inputs, [&mut y], |inputs, [y]| self.forward(inputs, y));
        Ok((CpuStorage::F32(y), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; q.elem_count()]);
        with_all([q, k, v, dy], |inputs| {
            self.each(inputs, [&mut dq, &mut dk, &mut dv], |inputs, outputs| self.backward(inputs, outputs));
            Ok(())
        })?;
        let gradient = |elements| cpu::tensor(elements, q.shape()).map(Some);
        Ok((gradient(dq)?, gradient(dk)?, gradient(dv)?))
    }
}

/// Calls `f` with the elements of all four tensors.
fn with_all(t: [&Tensor; 4], f: impl FnOnce([&[f32]; 4]) -> Result<()>) -> Result<()> {
    use cpu::with_elements as with;
    with(t[0], |a| with(t[1], |b| with(t[2], |c| with(t[3], |d| f([a, b, c, d])))))
}
