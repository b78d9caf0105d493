//! The two dense layers that AlexNet and VGG share, `fc6` and `fc7` in Caffe's names.

use candle_core::Tensor;
use hashlab_kernels::conv::{Activation, FrozenConv, Window, adaptive_avg_pool};

use crate::weights::{Reader, WeightsError};

/// The length of a feature vector: what `fc7` puts out.
pub(crate) const DIM: usize = 4096;

/// Averages images to a square grid, then applies both layers, each followed by a rectifier.
///
/// Dropout, which torchvision has beside them, is the identity outside of training.
pub(crate) struct Fc7 {
    /// Rows and columns of the grid.
    side: usize,
    /// The first layer as one window over the whole grid: PyTorch flattens `(channels, side, side)`, so the weight's rows
    /// have the order of a convolution's weight.
    fc6: FrozenConv,
    fc7: FrozenConv,
}

impl Fc7 {
    /// Reads the layers called `names` for images of `channels` channels.
    pub(crate) fn new(
        reader: &Reader<'_>,
        names: [&str; 2],
        channels: usize,
        side: usize,
    ) -> Result<Self, WeightsError> {
        let dense = |name: &str, channels: usize, side: usize| {
            let [w, b] = reader.dense(name, [DIM, channels * side * side])?;
            let w = w.reshape((DIM, channels, side, side))?;
            Ok::<_, WeightsError>(FrozenConv::dense(&w, &b, Window::dense(0), Activation::Relu)?)
        };
        Ok(Self { side, fc6: dense(names[0], channels, side)?, fc7: dense(names[1], DIM, 1)? })
    }

    /// Maps `(n, h, w, channels)` to `(n, DIM)`.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let grid = adaptive_avg_pool(x, (self.side, self.side))?;
        self.fc7.forward(&self.fc6.forward(&grid)?)?.flatten_from(1)
    }
}
