//! A small convolutional network without pretrained weights, for images of about 32 pixels.
//!
//! Three blocks of a 3×3 convolution, a rectifier and 2×2 maximum pooling, with 32, 64 and 128 channels; the features
//! are the mean over all pixels. It can be trained, and frozen at its initialization it is an encoder that needs no
//! download.

use candle_core::{Result, Tensor};
use hashlab_kernels::conv::{Activation, Padding, Window, global_avg_pool, max_pool2d};

use crate::layers::{Conv, Pass};
use crate::network::{Architecture, drawn, trainable};
use crate::source::{Init, Plan, Source};
use crate::weights::{Weights, WeightsError};
use crate::{EncoderError, ImageEntry, Place, Preprocess};

/// The network's registration.
pub const ENTRY: ImageEntry = ImageEntry {
    name: "convnet",
    doc: "three 3x3 convolutions, drawn from the seed: 128 features",
    needs_weights: false,
    dim: DIM,
    image_size: 32,
    together: 32,
    only_size: None,
    normed: false,
    normalize: NORMALIZE,
    preprocess: Preprocess::SQUEEZED,
    published: None,
    open: |weights, seed, place| drawn("convnet", seed, without(weights, place)?, ConvNet::new),
    train: Some(|weights, seed, norm, place| {
        trainable("convnet", (None, seed, norm, without(weights, place)?), ConvNet::new)
    }),
    cut: None,
};

/// Normalization that centers natural images at about unit variance, which the initialization expects.
const NORMALIZE: [[f32; 3]; 2] = [[0.5; 3], [0.25; 3]];

const CHANNELS: [usize; 4] = [3, 32, 64, DIM];
const DIM: usize = 128;

/// Refuses weights.
fn without<'a>(weights: Option<&Weights>, place: Place<'a>) -> std::result::Result<Place<'a>, EncoderError> {
    match weights {
        None => Ok(place),
        Some(_) => Err(EncoderError::TakesNoWeights("convnet")),
    }
}

/// The layers.
struct ConvNet(Vec<Conv>);

impl ConvNet {
    fn new(source: &Source<'_>) -> std::result::Result<Self, WeightsError> {
        let conv = |(layer, pair): (usize, &[usize])| {
            source.conv(&Plan {
                name: &format!("conv{}", layer + 1),
                shape: [pair[1], pair[0], 3, 3],
                window: Window::dense(1),
                activation: Activation::Relu,
                init: Init::HeForward,
            })
        };
        Ok(Self(CHANNELS.windows(2).enumerate().map(conv).collect::<std::result::Result<_, _>>()?))
    }
}

impl Architecture for ConvNet {
    const NORMALIZE: [[f32; 3]; 2] = NORMALIZE;

    fn dim(&self) -> usize {
        DIM
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let halve = Window { stride: 2, padding: Padding::NONE };
        let mut x = images.clone();
        for conv in &self.0 {
            x = max_pool2d(&conv.forward(&x, pass)?, 2, halve, false)?;
        }
        global_avg_pool(&x)
    }
}
