//! VGG-16 (Simonyan and Zisserman, ICLR 2015; configuration D, without batch norm), frozen.
//!
//! The features are the second dense layer after its rectifier, 4096 numbers: torchvision's network up to
//! `classifier.4`.

use candle_core::Tensor;
use hashlab_kernels::conv::{Activation, FrozenConv, Padding, Window, max_pool2d};

use crate::fc7::{self, Fc7};
use crate::weights::{Reader, Weights, WeightsError};
use crate::{Backbone, BackboneError, Entry};

/// The network's registration.
pub const ENTRY: Entry = Entry {
    name: "vgg16",
    doc: "VGG-16, pretrained and frozen: the 4096 features of fc7",
    needs_weights: true,
    dim: fc7::DIM,
    image_size: 224,
    open: |weights, _| {
        let weights = weights.ok_or(BackboneError::NeedsWeights("vgg16"))?;
        Ok(Box::new(Vgg16::new(weights)?))
    },
    train: None,
};

/// Output channels of the 3×3 convolutions between poolings.
const STAGES: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// The network.
pub struct Vgg16 {
    stages: Vec<Vec<FrozenConv>>,
    head: Fc7,
    normalize: [[f32; 3]; 2],
}

impl Vgg16 {
    /// Builds the network; the header of `weights` chooses the normalisation.
    ///
    /// # Errors
    /// If a tensor is missing, misshapen or unknown.
    pub fn new(weights: &Weights) -> Result<Self, WeightsError> {
        let reader = Reader::new(weights, ENTRY.name);
        let (mut index, mut channels) = (0, 3);
        let mut stages = Vec::with_capacity(STAGES.len());
        for widths in STAGES {
            let mut stage = Vec::with_capacity(widths.len());
            for &out in widths {
                let [w, b] = reader.conv(&format!("features.{index}"), [out, channels, 3, 3])?;
                stage.push(FrozenConv::dense(&w, &b, Window::dense(1), Activation::Relu)?);
                (index, channels) = (index + 2, out); // torchvision counts the rectifier
            }
            index += 1; // and the pooling
            stages.push(stage);
        }
        let head = Fc7::new(&reader, ["classifier.0", "classifier.3"], channels, 7)?;
        reader.finish()?;
        Ok(Self { stages, head, normalize: weights.normalize()? })
    }
}

impl Backbone for Vgg16 {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn dim(&self) -> usize {
        fc7::DIM
    }

    fn normalize(&self) -> [[f32; 3]; 2] {
        self.normalize
    }

    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let halve = Window { stride: 2, padding: Padding::NONE };
        let mut x = images.clone();
        for stage in &self.stages {
            for conv in stage {
                x = conv.forward(&x)?;
            }
            x = max_pool2d(&x, 2, halve, false)?;
        }
        self.head.forward(&x)
    }
}
