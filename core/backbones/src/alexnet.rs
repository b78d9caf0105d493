//! AlexNet (Krizhevsky, arXiv 1404.5997: the variant on one GPU), frozen.
//!
//! The features are the second dense layer after its rectifier, 4096 numbers: torchvision's network up to
//! `classifier.5`. The Caffe model that the hashing literature fine-tunes differs: it has normalisation and groups.

use candle_core::Tensor;
use hashlab_kernels::conv::{Activation, FrozenConv, Padding, Window, max_pool2d};

use crate::fc7::{self, Fc7};
use crate::weights::{Reader, Weights, WeightsError};
use crate::{Backbone, BackboneError, Entry};

/// The network's registration.
pub const ENTRY: Entry = Entry {
    name: "alexnet",
    doc: "AlexNet, pretrained and frozen: the 4096 features of fc7",
    needs_weights: true,
    dim: fc7::DIM,
    image_size: 224,
    open: |weights, _| {
        let weights = weights.ok_or(BackboneError::NeedsWeights("alexnet"))?;
        Ok(Box::new(AlexNet::new(weights)?))
    },
    train: None,
};

/// The convolutions: index in torchvision's `features`, output channels, size, stride, padding.
const CONVS: [[usize; 5]; 5] =
    [[0, 64, 11, 4, 2], [3, 192, 5, 1, 2], [6, 384, 3, 1, 1], [8, 256, 3, 1, 1], [10, 256, 3, 1, 1]];

/// The network.
pub struct AlexNet {
    convs: Vec<FrozenConv>,
    head: Fc7,
    normalize: [[f32; 3]; 2],
}

impl AlexNet {
    /// Builds the network; the header of `weights` chooses the normalisation.
    ///
    /// # Errors
    /// If a tensor is missing, misshapen or unknown.
    pub fn new(weights: &Weights) -> Result<Self, WeightsError> {
        let reader = Reader::new(weights, ENTRY.name);
        let mut channels = 3;
        let mut convs = Vec::with_capacity(CONVS.len());
        for [index, out, size, stride, padding] in CONVS {
            let [w, b] = reader.conv(&format!("features.{index}"), [out, channels, size, size])?;
            let window = Window { stride, padding: Padding::Symmetric(padding) };
            convs.push(FrozenConv::dense(&w, &b, window, Activation::Relu)?);
            channels = out;
        }
        let head = Fc7::new(&reader, ["classifier.1", "classifier.4"], channels, 6)?;
        reader.finish()?;
        Ok(Self { convs, head, normalize: weights.normalize()? })
    }
}

impl Backbone for AlexNet {
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
        for (layer, conv) in self.convs.iter().enumerate() {
            x = conv.forward(&x)?;
            if [0, 1, 4].contains(&layer) {
                x = max_pool2d(&x, 3, halve, false)?;
            }
        }
        self.head.forward(&x)
    }
}
