//! A fully connected layer that starts from PyTorch's default or from normal weights.

use anyhow::Result;
use candle_core::{Tensor, Var};

use super::Parameters;
use crate::BuildContext;

/// `y = x Wᵀ + b`, with W `(out, in)` and b `(out)`; of stacked runs W `(runs, out, in)` and b `(runs, out)`.
#[derive(Clone)]
pub struct Linear {
    weight: Var,
    bias: Var,
}

impl Linear {
    /// Adds `NAME.weight` and `NAME.bias`, both drawn from U(±1/√in), to the parameters.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(
        params: &mut Parameters,
        name: &str,
        (inputs, outputs): (usize, usize),
        cx: &BuildContext,
    ) -> Result<Self> {
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight = params.uniform(&format!("{name}.weight"), (outputs, inputs), bound, cx)?;
        let bias = params.uniform(&format!("{name}.bias"), outputs, bound, cx)?;
        Ok(Self { weight, bias })
    }

    /// Adds `NAME.weight`, drawn from N(0, `deviation`²), and `NAME.bias`, 0, to the parameters.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn normal(
        params: &mut Parameters,
        name: &str,
        (inputs, outputs): (usize, usize),
        deviation: f64,
        cx: &BuildContext,
    ) -> Result<Self> {
        let weight = params.normal(&format!("{name}.weight"), (outputs, inputs), deviation, cx)?;
        let bias = params.zeros(&format!("{name}.bias"), outputs, cx)?;
        Ok(Self { weight, bias })
    }

    /// A layer over variables that are part of the parameters already: a weight `(out, in)` and a bias `(out)`, of
    /// stacked runs both with a first axis of runs.
    pub fn of(weight: Var, bias: Var) -> Self {
        Self { weight, bias }
    }

    /// Applies the layer: `(n, in)` to `(n, out)`. Stacked runs map `(runs, n, in)`, or `(n, in)` if all have the same
    /// input, to `(runs, n, out)`.
    ///
    /// # Errors
    /// If `x` has another number of columns or runs.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        hashlab_kernels::linear(x, &self.weight, Some(&self.bias))
    }

    /// Applies the layer and then max(·, 0), in one pass.
    ///
    /// # Errors
    /// If `x` has another number of columns or runs.
    pub fn forward_relu(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        hashlab_kernels::linear_relu(x, &self.weight, Some(&self.bias))
    }
}
