//! Building blocks of methods: initialized layers, norms, seeded dropout, straight-through gradients, soft sorting,
//! memory per item, losses that several methods share.
//!
//! Runs of one shape may be computed together, stacked along a first axis of runs: all but [`attention`] and [`Memory`]
//! take such tensors and compute the same values as for each run alone, on the CPU bit for bit. [`PerRun`] holds
//! numbers that differ between the runs, [`sum_last`] and [`mean_last`] reduce to one number per run, and
//! [`Stackable`](crate::Stackable) describes a method that trains so.

mod linear;
mod memory;
mod norm;
mod pairs;
mod parameters;
mod per_run;
mod softsort;

pub use hashlab_kernels::linear;
pub use hashlab_kernels::loss::{bernoulli_kl, nt_xent};
pub use hashlab_kernels::transformer::attention;
pub use linear::Linear;
pub use memory::Memory;
pub use norm::{BatchNorm, LayerNorm, unit_rows};
pub use pairs::{pair_likelihood, shares_label, softplus};
pub use parameters::{Parameters, expect, expect_all};
pub use per_run::PerRun;
pub use softsort::soft_sort;

use candle_core::{D, Result, Tensor, bail};

use crate::Draws;

/// Passes gradients to `relaxed` as if `hard` were `relaxed` (Bengio et al. 2013): forward `hard`, backward identity.
///
/// # Errors
/// If the shapes differ.
pub fn straight_through(relaxed: &Tensor, hard: &Tensor) -> Result<Tensor> {
    // In this order the value is `hard` to the last bit: x − x is 0, where x + (hard − x) is rounded.
    (relaxed - relaxed.detach())? + hard.detach()
}

/// The sign with sign(0) = +1, as codes are packed; same shape, no gradient.
///
/// # Errors
/// If the tensor cannot be compared on its device.
pub fn sign(x: &Tensor) -> Result<Tensor> {
    x.detach().ge(0.0)?.to_dtype(x.dtype())?.affine(2.0, -1.0)
}

/// A value whose gradient towards `x` is `slope`, of the shape of `x`; both are constants. `value` is a scalar, or has
/// the first axes of `x`, e.g. that of runs.
///
/// # Errors
/// If the shapes do not fit together.
pub fn with_gradient(value: &Tensor, x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let axes = x.rank().saturating_sub(value.rank());
    let linear = sum_last(&(x * slope.detach())?, axes)?;
    value.detach() + (&linear - linear.detach())?
}

/// Zeroes each element with probability `p` and scales the others by `1 / (1 − p)`.
///
/// # Errors
/// If the first axis is not that of several runs that `draws` are of, or the mask cannot be moved to the tensor's
/// device.
pub fn dropout(x: &Tensor, p: f64, draws: &mut Draws) -> Result<Tensor> {
    let keep = (1.0 / (1.0 - p)) as f32;
    let mask = draws.tensor(x.shape(), x.device(), |rng| if rng.bernoulli(p) { 0.0 } else { keep })?;
    x * mask.to_dtype(x.dtype())?
}

/// The sum over the last `axes` axes, as of one run's tensor or of several stacked along a first axis: `()` or
/// `(runs,)`.
///
/// # Errors
/// If `x` has fewer axes.
pub fn sum_last(x: &Tensor, axes: usize) -> Result<Tensor> {
    flatten_last(x, axes)?.sum(D::Minus1)
}

/// The mean over the last `axes` axes, as of one run's tensor or of several stacked along a first axis: `()` or
/// `(runs,)`.
///
/// # Errors
/// If `x` has fewer axes.
pub fn mean_last(x: &Tensor, axes: usize) -> Result<Tensor> {
    flatten_last(x, axes)?.mean(D::Minus1)
}

/// Joins the last `axes` axes.
fn flatten_last(x: &Tensor, axes: usize) -> Result<Tensor> {
    match x.rank().checked_sub(axes) {
        Some(first) => x.flatten(first, D::Minus1),
        None => bail!("the last {axes} axes of a tensor of shape {:?}", x.dims()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn straight_through_is_hard_forward_and_identity_backward() {
        let x = Var::new(&[-0.3f32, 0.0, 7.3], &Device::Cpu).unwrap();
        let y = straight_through(&x, &sign(&x).unwrap()).unwrap();
        assert_eq!(y.to_vec1::<f32>().unwrap(), [-1.0, 1.0, 1.0]);
        let grads = (y * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&x).unwrap().to_vec1::<f32>().unwrap(), [3.0; 3]);
    }

    #[test]
    fn dropout_keeps_the_mean_and_follows_its_stream() {
        let x = Tensor::ones((100, 100), candle_core::DType::F32, &Device::Cpu).unwrap();
        let draw = |seed| dropout(&x, 0.4, &mut hashlab_rng::stream(seed, "dropout", &[]).into()).unwrap();
        let mean = draw(0).mean_all().unwrap().to_scalar::<f32>().unwrap();
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        let values = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(draw(0)), values(draw(0)));
        assert_ne!(values(draw(0)), values(draw(1)));
    }
}
