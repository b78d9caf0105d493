//! Normalization: of rows to unit length, of rows to zero mean and unit variance, of columns over a batch.

use anyhow::Result;
use candle_core::{D, Tensor, Var};
use hashlab_kernels::conv::{Activation, Moments, batch_norm, fixed_norm};
use hashlab_kernels::transformer::layer_norm;

use super::Parameters;
use crate::BuildContext;

/// PyTorch's constant of layer and batch norms, added to the variance.
const EPS: f64 = 1e-5;

/// Divides each row of `(…, d)` by its Euclidean length, or by 1e-12 if that is less, as
/// `torch.nn.functional.normalize`.
///
/// # Errors
/// If `x` is a scalar.
pub fn unit_rows(x: &Tensor) -> candle_core::Result<Tensor> {
    const SQUARED: f64 = 1e-24;
    x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.maximum(SQUARED)?.sqrt()?)
}

/// Layer normalization (Ba et al., arXiv 1607.06450) with a weight and a bias per column, as `torch.nn.LayerNorm`.
#[derive(Clone)]
pub struct LayerNorm {
    weight: Var,
    bias: Var,
}

impl LayerNorm {
    /// Adds `NAME.weight` `(dim)`, 1, and `NAME.bias` `(dim)`, 0, to the parameters.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(params: &mut Parameters, name: &str, dim: usize, cx: &BuildContext) -> Result<Self> {
        let weight = params.ones(&format!("{name}.weight"), dim, cx)?;
        Ok(Self { weight, bias: params.zeros(&format!("{name}.bias"), dim, cx)? })
    }

    /// Normalizes each row of `(n, dim)`, of stacked runs `(runs, n, dim)`.
    ///
    /// # Errors
    /// If `x` has another number of columns or runs.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        layer_norm(x, [&self.weight, &self.bias], EPS)
    }
}

/// Batch normalization (Ioffe and Szegedy, ICML 2015) of columns, with running moments for evaluation, as
/// `torch.nn.BatchNorm1d`.
#[derive(Clone)]
pub struct BatchNorm {
    weight: Var,
    bias: Var,
    mean: Var,
    variance: Var,
}

impl BatchNorm {
    /// Share of a batch's moments in the running ones, PyTorch's default.
    const MOMENTUM: f64 = 0.1;

    /// Adds `NAME.weight`, 1, and `NAME.bias`, 0, to the parameters, and the buffers `NAME.running_mean`, 0, and
    /// `NAME.running_var`, 1; all `(dim)`, of stacked runs `(runs, dim)`.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(params: &mut Parameters, name: &str, dim: usize, cx: &BuildContext) -> Result<Self> {
        Ok(Self {
            weight: params.ones(&format!("{name}.weight"), dim, cx)?,
            bias: params.zeros(&format!("{name}.bias"), dim, cx)?,
            mean: params.buffer(&format!("{name}.running_mean"), dim, 0.0, cx)?,
            variance: params.buffer(&format!("{name}.running_var"), dim, 1.0, cx)?,
        })
    }

    /// Normalizes each column of `(n, dim)` by the running moments.
    ///
    /// # Errors
    /// If `x` has another number of columns.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let moments = Moments { mean: self.mean.as_detached_tensor(), variance: self.variance.as_detached_tensor() };
        fixed_norm(x, &moments, [&self.weight, &self.bias], EPS, Activation::None)
    }

    /// Normalizes each column of `(n, dim)`, of stacked runs `(runs, n, dim)`, by its own moments, and moves the
    /// running ones towards them.
    ///
    /// # Errors
    /// If `x` has another number of columns or runs, or only one row.
    pub fn forward_train(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let n = x.dim(D::Minus2)? as f64;
        let (weight, bias) = (self.weight.flatten_all()?, self.bias.flatten_all()?);
        // Runs beside each other: a column's moments depend on no other column.
        let (y, moments) = match x.rank() {
            2 => batch_norm(x, [&weight, &bias], EPS, Activation::None)?,
            _ => {
                let beside = x.transpose(0, 1)?.contiguous()?;
                let (y, moments) = batch_norm(&beside.flatten(1, 2)?, [&weight, &bias], EPS, Activation::None)?;
                (y.reshape(beside.shape())?.transpose(0, 1)?.contiguous()?, moments)
            }
        };
        let blend = |running: &Var, now: Tensor| {
            let now = now.reshape(running.shape())?;
            running.set(&((running.as_detached_tensor() * (1.0 - Self::MOMENTUM))? + (now * Self::MOMENTUM)?)?)
        };
        blend(&self.mean, moments.mean)?;
        blend(&self.variance, (moments.variance * (n / (n - 1.0)))?)?; // the unbiased estimate
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn rows_have_unit_length_and_a_zero_row_stays_with_a_finite_gradient() {
        let x = Var::new(&[[3f32, 4.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let unit = unit_rows(&x).unwrap();
        assert_eq!(unit.to_vec2::<f32>().unwrap(), [[0.6, 0.8], [0.0, 0.0]]);
        let grads = unit.sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&x).unwrap().to_vec2::<f32>().unwrap().concat().iter().all(|g| g.is_finite()));
    }

    #[test]
    fn a_batch_norm_learns_the_moments_that_it_evaluates_with() {
        let cx = BuildContext::of_images(4, 2);
        let mut params = Parameters::default();
        let norm = BatchNorm::new(&mut params, "bn", 2, &cx).unwrap();
        let x = Tensor::new(&[[1f32, -2.0], [3.0, 2.0], [5.0, 6.0]], &Device::Cpu).unwrap();
        for _ in 0..200 {
            norm.forward_train(&x).unwrap();
        }
        let state = params.state().unwrap();
        let near = |name: &str, expected: [f32; 2]| {
            let found = state[name].to_vec1::<f32>().unwrap();
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{name}: {found:?}");
        };
        near("bn.running_mean", [3.0, 2.0]);
        near("bn.running_var", [4.0, 16.0]);
        let evaluated = norm.forward(&x).unwrap().to_vec2::<f32>().unwrap();
        assert!((evaluated[0][0] + 1.0).abs() < 1e-3 && (evaluated[2][1] - 1.0).abs() < 1e-3, "{evaluated:?}");
        assert_eq!(params.vars().len(), 2, "running moments are not trained");
    }
}
