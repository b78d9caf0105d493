//! MobileNetV2 (Sandler et al., CVPR 2018), width 1.0, frozen.
//!
//! The features are the mean over all pixels of the last convolution, 1280 numbers: torchvision's
//! `features`, then the average that precedes its classifier.

use candle_core::Tensor;
use hashlab_kernels::conv::{Activation, FrozenConv, Padding, Window, global_avg_pool};

use crate::weights::{Reader, Weights, WeightsError};
use crate::{Backbone, BackboneError, Entry, Place};

/// The network's registration.
pub const ENTRY: Entry = Entry {
    name: "mobilenet_v2",
    doc: "MobileNetV2 1.0: 1280 features",
    needs_weights: true,
    dim: DIM,
    image_size: 128,
    together: 2,
    only_size: None,
    normed: true,
    open: |weights, _, place| {
        let weights = weights.ok_or(BackboneError::NeedsWeights("mobilenet_v2"))?;
        Ok(Box::new(MobileNetV2::new(weights, place)?))
    },
    train: None,
    cut: None,
};

const DIM: usize = 1280;

/// Table 2 of the paper: expansion, channels, blocks, stride of the first block.
const STAGES: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

/// The network.
pub struct MobileNetV2 {
    stem: FrozenConv,
    blocks: Vec<Block>,
    head: FrozenConv,
    normalize: [[f32; 3]; 2],
}

impl MobileNetV2 {
    /// Builds the network at a place; the header of `weights` chooses normalisation and the padding of strided convolutions.
    ///
    /// # Errors
    /// If a tensor is missing, misshapen or unknown.
    pub fn new(weights: &Weights, place: Place<'_>) -> Result<Self, WeightsError> {
        let reader = Reader::new(weights, ENTRY.name, place);
        let strided = weights.padding()?;
        let window = |stride| Window { stride, padding: if stride == 1 { Padding::Symmetric(1) } else { strided } };
        let mut channels = 32;
        let [w, b] = reader.conv("features.0.0", [channels, 3, 3, 3])?;
        let stem = FrozenConv::dense(&w, &b, window(2), Activation::Relu6)?;
        let mut blocks = Vec::new();
        for [expansion, out, repeats, stride] in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { stride } else { 1 };
                let name = format!("features.{}.conv", blocks.len() + 1);
                blocks.push(Block::new(&reader, &name, [channels, channels * expansion, out], window(stride))?);
                channels = out;
            }
        }
        let [w, b] = reader.conv(&format!("features.{}.0", blocks.len() + 1), [DIM, channels, 1, 1])?;
        let head = FrozenConv::dense(&w, &b, Window::dense(0), Activation::Relu6)?;
        Ok(Self { stem, blocks, head, normalize: reader.finish(false)? })
    }
}

impl Backbone for MobileNetV2 {
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
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        global_avg_pool(&self.head.forward(&x)?)
    }
}

/// An inverted residual: expand, filter each channel, project back without activation.
struct Block {
    /// Absent in the first block, whose expansion is 1.
    expand: Option<FrozenConv>,
    filter: FrozenConv,
    project: FrozenConv,
    residual: bool,
}

impl Block {
    fn new(
        reader: &Reader<'_>,
        name: &str,
        [channels, hidden, out]: [usize; 3],
        window: Window,
    ) -> Result<Self, WeightsError> {
        let point = Window::dense(0);
        let (expand, filter, project) = if hidden == channels {
            (None, format!("{name}.0.0"), format!("{name}.1"))
        } else {
            let [w, b] = reader.conv(&format!("{name}.0.0"), [hidden, channels, 1, 1])?;
            let expand = FrozenConv::dense(&w, &b, point, Activation::Relu6)?;
            (Some(expand), format!("{name}.1.0"), format!("{name}.2"))
        };
        let [w, b] = reader.conv(&filter, [hidden, 1, 3, 3])?;
        let filter = FrozenConv::depthwise(&w, &b, window, Activation::Relu6)?;
        let [w, b] = reader.conv(&project, [out, hidden, 1, 1])?;
        let project = FrozenConv::dense(&w, &b, point, Activation::None)?;
        Ok(Self { expand, filter, project, residual: window.stride == 1 && channels == out })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let expanded = match &self.expand {
            Some(expand) => &expand.forward(x)?,
            None => x,
        };
        let y = self.project.forward(&self.filter.forward(expanded)?)?;
        if self.residual { x + y } else { Ok(y) }
    }
}
