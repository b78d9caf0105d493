//! AlexNet (Krizhevsky, arXiv 1404.5997: the variant on one GPU).
//!
//! The features are the second dense layer after its rectifier, 4096 numbers: torchvision's network up to
//! `classifier.5`, with dropout before both dense layers. The Caffe model that the hashing literature fine-tunes
//! differs: it has normalization and groups, and its dropouts follow the dense layers.

use candle_core::{Result, Tensor};
use hashlab_kernels::conv::{Activation, Padding, Window, adaptive_avg_pool, max_pool2d};

use crate::dense_head::{self, Step};
use crate::layers::{Conv, Pass};
use crate::network::{Architecture, frozen, trainable};
use crate::source::{Init, Plan, Source};
use crate::weights::{IMAGENET, WeightsError};
use crate::{ImageEntry, Preprocess};

/// The network's registration.
pub const ENTRY: ImageEntry = ImageEntry {
    name: "alexnet",
    doc: "AlexNet: the 4096 features of fc7",
    needs_weights: true,
    dim: dense_head::DIM,
    image_size: 224,
    together: 8,
    only_size: None,
    normed: false,
    normalize: IMAGENET,
    preprocess: Preprocess::SQUEEZED,
    published: None,
    open: |weights, _, place| frozen("alexnet", (weights, place), AlexNet::new),
    train: Some(|weights, seed, norm, place| trainable("alexnet", (weights, seed, norm, place), AlexNet::new)),
    cut: None,
};

/// The convolutions: index in torchvision's `features`, output channels, size, stride, padding.
const CONVS: [[usize; 5]; 5] =
    [[0, 64, 11, 4, 2], [3, 192, 5, 1, 2], [6, 384, 3, 1, 1], [8, 256, 3, 1, 1], [10, 256, 3, 1, 1]];

/// Rows and columns of the image that the dense layers see.
const SIDE: usize = 6;

/// The layers.
struct AlexNet {
    convs: Vec<Conv>,
    head: Vec<Step>,
}

impl AlexNet {
    fn new(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        let mut channels = 3;
        let mut convs = Vec::with_capacity(CONVS.len());
        for [index, out, size, stride, padding] in CONVS {
            convs.push(source.conv(&Plan {
                name: &format!("features.{index}"),
                shape: [out, channels, size, size],
                window: Window { stride, padding: Padding::Symmetric(padding) },
                activation: Activation::Relu,
                init: Init::Default,
            })?);
            channels = out;
        }
        let dense = |name, image| source.dense(name, dense_head::DIM, image, Init::Default).map(Step::Dense);
        let head = vec![
            Step::Dropout("classifier.0"),
            dense("classifier.1", [SIDE, SIDE, channels])?,
            Step::Dropout("classifier.3"),
            dense("classifier.4", [1, 1, dense_head::DIM])?,
        ];
        Ok(Self { convs, head })
    }
}

impl Architecture for AlexNet {
    fn dim(&self) -> usize {
        dense_head::DIM
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let halve = Window { stride: 2, padding: Padding::NONE };
        let mut x = images.clone();
        for (layer, conv) in self.convs.iter().enumerate() {
            x = conv.forward(&x, pass)?;
            if [0, 1, 4].contains(&layer) {
                x = max_pool2d(&x, 3, halve, false)?;
            }
        }
        dense_head::run(&self.head, adaptive_avg_pool(&x, (SIDE, SIDE))?, pass)
    }
}
