//! VGG-16 (Simonyan and Zisserman, ICLR 2015; configuration D, without batch norm).
//!
//! The features are the second dense layer after its rectifier, 4096 numbers: torchvision's network up to
//! `classifier.4`, in training up to the dropout `classifier.5`. The first dropout follows `fc6`, so the network can be
//! divided there.

use candle_core::{Result, Tensor};
use hashlab_kernels::conv::{Activation, Padding, Window, adaptive_avg_pool, max_pool2d};

use crate::dense_head::{self, Step};
use crate::layers::{Conv, Pass};
use crate::network::{Architecture, frozen, tail, trainable};
use crate::source::{Init, Plan, Source};
use crate::weights::{IMAGENET, WeightsError};
use crate::{Cut, ImageEntry, Preprocess};

/// The network's registration.
pub const ENTRY: ImageEntry = ImageEntry {
    name: "vgg16",
    doc: "VGG-16: the 4096 features of fc7",
    needs_weights: true,
    dim: dense_head::DIM,
    image_size: 224,
    together: 8,
    only_size: None,
    normed: false,
    normalize: IMAGENET,
    preprocess: Preprocess::SQUEEZED,
    published: Some(crate::published::VGG16),
    open: |weights, _, place| frozen("vgg16", (weights, place), Vgg16::new),
    train: Some(|weights, seed, norm, place| trainable("vgg16", (weights, seed, norm, place), Vgg16::new)),
    cut: Some(Cut {
        name: "fc6",
        dim: dense_head::DIM,
        trunk: |weights, _, place| frozen("vgg16/fc6", (weights, place), Vgg16::trunk),
        tail: |weights, device| tail("vgg16/fc6", (weights, device.into()), VggTail::new),
    }),
};

/// Output channels of the 3×3 convolutions between poolings.
const STAGES: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// Rows and columns of the image that the dense layers see.
const SIDE: usize = 7;

/// The layers.
struct Vgg16 {
    stages: Vec<Vec<Conv>>,
    head: Vec<Step>,
}

impl Vgg16 {
    fn new(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        let Self { stages, mut head } = Self::trunk(source)?;
        head.extend(tail_steps(source)?);
        Ok(Self { stages, head })
    }

    /// Makes the layers up to `fc6`.
    fn trunk(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        let (mut index, mut channels) = (0, 3);
        let mut stages = Vec::with_capacity(STAGES.len());
        for widths in STAGES {
            let mut stage = Vec::with_capacity(widths.len());
            for &out in widths {
                stage.push(source.conv(&Plan {
                    name: &format!("features.{index}"),
                    shape: [out, channels, 3, 3],
                    window: Window::dense(1),
                    activation: Activation::Relu,
                    init: Init::HeBackward,
                })?);
                (index, channels) = (index + 2, out); // torchvision counts the rectifier
            }
            index += 1; // and the pooling
            stages.push(stage);
        }
        Ok(Self { stages, head: vec![dense(source, "classifier.0", [SIDE, SIDE, channels])?] })
    }
}

/// Makes the layers after `fc6`.
fn tail_steps(source: &Source<'_>) -> std::result::Result<[Step; 3], WeightsError> {
    let fc7 = dense(source, "classifier.3", [1, 1, dense_head::DIM])?;
    Ok([Step::Dropout("classifier.2"), fc7, Step::Dropout("classifier.5")])
}

fn dense(source: &Source<'_>, name: &str, image: [usize; 3]) -> std::result::Result<Step, WeightsError> {
    source.dense(name, dense_head::DIM, image, Init::Normal(0.01)).map(Step::Dense)
}

impl Architecture for Vgg16 {
    fn dim(&self) -> usize {
        dense_head::DIM
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let halve = Window { stride: 2, padding: Padding::NONE };
        let mut x = images.clone();
        for stage in &self.stages {
            for conv in stage {
                x = conv.forward(&x, pass)?;
            }
            x = max_pool2d(&x, 2, halve, false)?;
        }
        dense_head::run(&self.head, adaptive_avg_pool(&x, (SIDE, SIDE))?, pass)
    }
}

/// The layers after `fc6` alone.
struct VggTail([Step; 3]);

impl VggTail {
    fn new(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        tail_steps(source).map(Self)
    }
}

impl Architecture for VggTail {
    fn dim(&self) -> usize {
        dense_head::DIM
    }

    fn run(&self, features: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (n, dim) = features.dims2()?;
        dense_head::run(&self.0, features.reshape((n, 1, 1, dim))?, pass)
    }
}
