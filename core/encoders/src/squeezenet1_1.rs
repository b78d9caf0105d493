//! SqueezeNet 1.1 (Iandola et al., arXiv 1602.07360), frozen.
//!
//! The features are the mean over all pixels of the last fire module's output (`fire9`, torchvision's `features.12`),
//! 512 numbers; the classifier's convolution, which maps to ImageNet's classes, is left out.

use candle_core::Tensor;
use hashlab_kernels::conv::{Activation, FrozenConv, Padding, Window, global_avg_pool, max_pool2d};

use crate::weights::{IMAGENET, Reader, Weights, WeightsError};
use crate::{Encoder, EncoderError, ImageEntry, Place, Preprocess};

/// The network's registration.
pub const ENTRY: ImageEntry = ImageEntry {
    name: "squeezenet1_1",
    doc: "SqueezeNet 1.1: 512 features",
    needs_weights: true,
    dim: DIM,
    image_size: 128,
    together: 2,
    only_size: None,
    normed: false,
    normalize: IMAGENET,
    preprocess: Preprocess::SQUEEZED,
    published: None,
    open: |weights, _, place| {
        let weights = weights.ok_or(EncoderError::NeedsWeights("squeezenet1_1"))?;
        Ok(Box::new(SqueezeNet::new(weights, place)?))
    },
    train: None,
    cut: None,
};

const DIM: usize = 512;

/// The windows of the stem and of every pooling.
const STRIDED: Window = Window { stride: 2, padding: Padding::NONE };

/// The fire modules between poolings: index in torchvision's `features`, input, squeezed and expanded channels.
const STAGES: [&[[usize; 4]]; 3] = [
    &[[3, 64, 16, 64], [4, 128, 16, 64]],
    &[[6, 128, 32, 128], [7, 256, 32, 128]],
    &[[9, 256, 48, 192], [10, 384, 48, 192], [11, 384, 64, 256], [12, 512, 64, 256]],
];

/// The network.
pub struct SqueezeNet {
    stem: FrozenConv,
    stages: Vec<Vec<Fire>>,
    normalize: [[f32; 3]; 2],
}

impl SqueezeNet {
    /// Builds the network at a place; the header of `weights` chooses the normalization.
    ///
    /// # Errors
    /// If a tensor is missing, misshapen or unknown.
    pub fn new(weights: &Weights, place: Place<'_>) -> Result<Self, WeightsError> {
        let reader = Reader::new(weights, ENTRY.name, place);
        let [w, b] = reader.conv("features.0", [64, 3, 3, 3])?;
        let stem = FrozenConv::dense(&w, &b, STRIDED, Activation::Relu)?;
        let stage = |fires: &[[usize; 4]]| fires.iter().map(|fire| Fire::new(&reader, *fire)).collect();
        let stages = STAGES.into_iter().map(stage).collect::<Result<_, _>>()?;
        Ok(Self { stem, stages, normalize: reader.finish(false, IMAGENET)? })
    }
}

impl Encoder for SqueezeNet {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn normalize(&self) -> [[f32; 3]; 2] {
        self.normalize
    }

    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = self.stem.forward(images)?;
        for stage in &self.stages {
            x = max_pool2d(&x, 3, STRIDED, true)?;
            for fire in stage {
                x = fire.forward(&x)?;
            }
        }
        global_avg_pool(&x)
    }
}

/// Squeezes the channels, then expands them by 1×1 and by 3×3 filters side by side.
struct Fire {
    squeeze: FrozenConv,
    points: FrozenConv,
    windows: FrozenConv,
}

impl Fire {
    fn new(reader: &Reader<'_>, [index, channels, squeezed, expanded]: [usize; 4]) -> Result<Self, WeightsError> {
        let conv = |part: &str, out: usize, channels: usize, size: usize| {
            let [w, b] = reader.conv(&format!("features.{index}.{part}"), [out, channels, size, size])?;
            Ok::<_, WeightsError>(FrozenConv::dense(&w, &b, Window::dense(size / 2), Activation::Relu)?)
        };
        Ok(Self {
            squeeze: conv("squeeze", squeezed, channels, 1)?,
            points: conv("expand1x1", expanded, squeezed, 1)?,
            windows: conv("expand3x3", expanded, squeezed, 3)?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.squeeze.forward(x)?;
        Tensor::cat(&[self.points.forward(&x)?, self.windows.forward(&x)?], 3)
    }
}
