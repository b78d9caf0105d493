//! The out-of-sample extension of the linear methods: `h = (x − μ)P`.

use anyhow::Result;
use candle_core::{DType, Tensor};
use faer::Mat;
use hashlab_method::nn::expect_all;
use hashlab_method::{BuildContext, State};

use crate::linalg::to_tensor;

/// A centered linear projection to relaxed codes.
pub(crate) struct Projection {
    /// `(1, dim)`.
    mean: Tensor,
    /// `(dim, bits)`.
    directions: Tensor,
}

impl Projection {
    /// Starts with zeros, to be replaced by [`Projection::set`] or [`Projection::load_state`].
    pub(crate) fn zeros(cx: &BuildContext) -> Result<Self> {
        let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &cx.device);
        Ok(Self { mean: zeros((1, cx.dim()?))?, directions: zeros((cx.dim()?, cx.bits))? })
    }

    /// Sets a fitted mean `(1, dim)` and directions `(dim, bits)`.
    pub(crate) fn set(&mut self, mean: &Mat<f64>, directions: &Mat<f64>) -> Result<()> {
        self.mean = to_tensor(mean, self.mean.device())?;
        self.directions = to_tensor(directions, self.directions.device())?;
        Ok(())
    }

    /// Projects items `(n, dim)` to relaxed codes `(n, bits)`.
    pub(crate) fn apply(&self, items: &Tensor) -> Result<Tensor> {
        Ok(items.broadcast_sub(&self.mean)?.matmul(&self.directions)?)
    }

    pub(crate) fn state(&self) -> State {
        State::from([("mean".into(), self.mean.clone()), ("directions".into(), self.directions.clone())])
    }

    pub(crate) fn load_state(&mut self, state: &State) -> Result<()> {
        let expected = [("mean", self.mean.shape()), ("directions", self.directions.shape())];
        [self.mean, self.directions] = expect_all(state, expected)?;
        Ok(())
    }
}
