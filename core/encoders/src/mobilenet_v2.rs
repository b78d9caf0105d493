//! MobileNetV2 (Sandler et al., CVPR 2018), width 1.0.
//!
//! The features are the mean over all pixels of the last convolution, 1280 numbers: torchvision's
//! `features`, then the average that precedes its classifier.

use candle_core::{Result, Tensor};
use hashlab_kernels::conv::{Activation, Padding, Window, global_avg_pool};

use crate::layers::{Conv, Pass};
use crate::network::{Architecture, frozen, trainable};
use crate::source::{Init, Plan, Source};
use crate::weights::{IMAGENET, WeightsError};
use crate::{ImageEntry, Preprocess};

/// The network's registration.
pub const ENTRY: ImageEntry = ImageEntry {
    name: "mobilenet_v2",
    doc: "MobileNetV2 1.0: 1280 features",
    needs_weights: true,
    dim: DIM,
    image_size: 128,
    together: 2,
    only_size: None,
    normed: true,
    normalize: IMAGENET,
    preprocess: Preprocess::SQUEEZED,
    published: Some(crate::published::MOBILENET_V2),
    open: |weights, _, place| frozen("mobilenet_v2", (weights, place), MobileNetV2::new),
    train: Some(|weights, seed, norm, place| trainable("mobilenet_v2", (weights, seed, norm, place), MobileNetV2::new)),
    cut: None,
};

const DIM: usize = 1280;

/// Table 2 of the paper: expansion, channels, blocks, stride of the first block.
const STAGES: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

/// The layers.
struct MobileNetV2 {
    stem: Conv,
    blocks: Vec<Block>,
    head: Conv,
}

impl MobileNetV2 {
    /// Makes the network; the header of a weights file chooses the padding of strided convolutions.
    fn new(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        let strided = source.padding()?;
        let window = |stride| Window { stride, padding: if stride == 1 { Padding::Symmetric(1) } else { strided } };
        let mut channels = 32;
        let stem = source.normed_conv(&plan("features.0.0", [channels, 3, 3, 3], window(2), Activation::Relu6))?;
        let mut blocks = Vec::new();
        for [expansion, out, repeats, stride] in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { stride } else { 1 };
                let name = format!("features.{}.conv", blocks.len() + 1);
                blocks.push(Block::new(source, &name, [channels, channels * expansion, out], window(stride))?);
                channels = out;
            }
        }
        let name = format!("features.{}.0", blocks.len() + 1);
        let head = source.normed_conv(&plan(&name, [DIM, channels, 1, 1], Window::dense(0), Activation::Relu6))?;
        Ok(Self { stem, blocks, head })
    }
}

/// A convolution that starts like torchvision's.
fn plan(name: &str, shape: [usize; 4], window: Window, activation: Activation) -> Plan<'_> {
    Plan { name, shape, window, activation, init: Init::HeBackward }
}

impl Architecture for MobileNetV2 {
    fn dim(&self) -> usize {
        DIM
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let mut x = self.stem.forward(images, pass)?;
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        global_avg_pool(&self.head.forward(&x, pass)?)
    }
}

/// An inverted residual: expand, filter each channel, project back without activation.
struct Block {
    /// Absent in the first block, whose expansion is 1.
    expand: Option<Conv>,
    filter: Conv,
    project: Conv,
    residual: bool,
}

impl Block {
    fn new(
        source: &Source<'_>,
        name: &str,
        [channels, hidden, out]: [usize; 3],
        window: Window,
    ) -> std::result::Result<Self, WeightsError> {
        let point = Window::dense(0);
        let (expand, filter, project) = if hidden == channels {
            (None, format!("{name}.0.0"), format!("{name}.1"))
        } else {
            let expand = format!("{name}.0.0");
            let expand = source.normed_conv(&plan(&expand, [hidden, channels, 1, 1], point, Activation::Relu6))?;
            (Some(expand), format!("{name}.1.0"), format!("{name}.2"))
        };
        let filter = source.normed_depthwise_conv(&plan(&filter, [hidden, 1, 3, 3], window, Activation::Relu6))?;
        let project = source.normed_conv(&plan(&project, [out, hidden, 1, 1], point, Activation::None))?;
        Ok(Self { expand, filter, project, residual: window.stride == 1 && channels == out })
    }

    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let expanded = match &self.expand {
            Some(expand) => &expand.forward(x, pass)?,
            None => x,
        };
        let filtered = self.filter.forward(expanded, pass)?;
        match self.residual {
            true => self.project.forward_add(&filtered, x, pass),
            false => self.project.forward(&filtered, pass),
        }
    }
}
