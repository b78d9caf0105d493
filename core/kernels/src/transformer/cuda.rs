//! Operations of a frozen transformer on a GPU.

use candle_core::{Result, Tensor};

use super::Gelu;
use crate::gpu::launch::Heads;
use crate::gpu::{Array, alloc, gpu, launch, run, tensor};

pub(super) fn layer_norm(x: &Tensor, [weight, bias]: [&Tensor; 2], eps: f64) -> Result<Tensor> {
    let (x, weight, bias, device) = (x.contiguous()?, weight.contiguous()?, bias.contiguous()?, gpu(x)?);
    let [from, w, b] = [Array::of_tensor(&x)?, Array::of_tensor(&weight)?, Array::of_tensor(&bias)?];
    let (len, all) = (weight.elem_count(), x.elem_count());
    let (storage, y) = alloc(device, from.element, all)?;
    if all > 0 {
        let addresses = [from.address, w.address, b.address, y.address];
        // SAFETY: rows of both have the length of weight and bias.
        unsafe { run(device, &launch::layer_norm(from.element, addresses, [all / len, len], eps as f32))? };
    }
    Ok(tensor(storage, x.shape()))
}

pub(super) fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    let (x, device) = (x.contiguous()?, gpu(x)?);
    let (from, len) = (Array::of_tensor(&x)?, x.elem_count());
    let cols = x.dims().last().copied().unwrap_or(1).max(1);
    let (storage, y) = alloc(device, from.element, len)?;
    // SAFETY: both have `len` elements.
    unsafe { run(device, &launch::gelu(from.element, [from.address, y.address, 0], [len / cols, cols], form))? };
    Ok(tensor(storage, x.shape()))
}

/// Attention within `n` sequences of `len` tokens, all `(n · len, dim)`.
pub(super) fn attention(qkv: [Tensor; 3], [n, len]: [usize; 2], heads: usize, scale: f32) -> Result<Tensor> {
    let dim = qkv[0].dim(1)?;
    let sizes = Heads { sequences: n, len, room: len.next_multiple_of(8), heads, width: dim / heads };
    let [q, k, v] = split(qkv, sizes)?;
    let weights = q.matmul(&k.t()?)?;
    softmax(&weights, len, scale)?;
    merge(&weights.matmul(&v)?, sizes)
}

/// Splits heads: three tensors `(n · heads, room, width)`.
fn split(qkv: [Tensor; 3], sizes: Heads) -> Result<[Tensor; 3]> {
    let by_rows = |x: Tensor| if x.stride()[1] == 1 { Ok(x) } else { x.contiguous() };
    let [q, k, v] = qkv.map(by_rows);
    let qkv = [q?, k?, v?];
    let device = gpu(&qkv[0])?;
    let [q, k, v] = qkv.each_ref().map(Array::rows_of_tensor);
    let [q, k, v] = [q?, k?, v?];
    let (storage, out) = alloc(device, q.element, 3 * sizes.elements())?;
    let addresses = [q.address, k.address, v.address, out.address];
    let strides = qkv.each_ref().map(|x| x.stride()[0]);
    // SAFETY: each has a row per token, and the result room for all.
    unsafe { run(device, &launch::split_heads(q.element, addresses, sizes, strides))? };
    let all = tensor(storage, (3, sizes.sequences * sizes.heads, sizes.room, sizes.width));
    Ok([all.get(0)?, all.get(1)?, all.get(2)?])
}

/// Replaces the first `len` elements of each row of `x`, which must not be shared, by their softmax, the others by 0.
fn softmax(x: &Tensor, len: usize, scale: f32) -> Result<()> {
    let (array, room) = (Array::of_tensor(x)?, x.dims()[2]);
    let rows = x.elem_count() / room;
    // SAFETY: `x` has `rows` rows of `room` elements.
    unsafe { run(gpu(x)?, &launch::softmax(array.element, array.address, [rows, len, room], scale)) }
}

fn merge(x: &Tensor, sizes: Heads) -> Result<Tensor> {
    let (device, from) = (gpu(x)?, Array::of_tensor(x)?);
    let (tokens, dim) = (sizes.sequences * sizes.len, sizes.heads * sizes.width);
    let (storage, y) = alloc(device, from.element, tokens * dim)?;
    // SAFETY: `x` has as many elements as `sizes` says, the result a row per token.
    unsafe { run(device, &launch::merge_heads(from.element, from.address, y.address, sizes))? };
    Ok(tensor(storage, (tokens, dim)))
}
