//! A small convolutional network without pretrained weights, for images of about 32 pixels.
//!
//! Three blocks of a 3×3 convolution, a rectifier and 2×2 maximum pooling, with 32, 64 and 128 channels; the features
//! are the mean over all pixels. It can be trained, and it serves frozen, at its initialisation, as a backbone that
//! every machine has.

use candle_core::{Device, Tensor, Var};
use hashlab_kernels::conv::{Activation, Padding, Window, conv2d, global_avg_pool, max_pool2d};
use hashlab_rng::stream;

use crate::{Backbone, BackboneError, Draws, Entry, Trainable};

/// The network's registration.
pub const ENTRY: Entry = Entry {
    name: "convnet",
    doc: "three 3x3 convolutions, drawn from the seed and trainable: 128 features",
    needs_weights: false,
    dim: DIM,
    image_size: 32,
    open: |weights, seed| match weights {
        None => Ok(Box::new(ConvNet::new(seed)?)),
        Some(_) => Err(BackboneError::TakesNoWeights("convnet")),
    },
    train: Some(|weights, seed, _| match weights {
        None => Ok(Box::new(ConvNet::new(seed)?)),
        Some(_) => Err(BackboneError::TakesNoWeights("convnet")),
    }),
};

const CHANNELS: [usize; 4] = [3, 32, 64, DIM];
const DIM: usize = 128;

/// The network.
pub struct ConvNet {
    /// Weight and bias of each convolution.
    convs: Vec<[Var; 2]>,
}

impl ConvNet {
    /// Draws the parameters: weights as He et al. (ICCV 2015) for rectifiers, biases 0.
    ///
    /// # Errors
    /// Those of tensor creation.
    pub fn new(seed: u64) -> candle_core::Result<Self> {
        let conv = |(layer, pair): (usize, &[usize])| {
            let (channels, out) = (pair[0], pair[1]);
            let mut draws = stream(seed, &format!("init/{}", weight_name(layer)), &[]);
            let deviation = (2.0 / (9 * channels) as f64).sqrt();
            let weight: Vec<f32> = (0..out * channels * 9).map(|_| (deviation * draws.normal()) as f32).collect();
            Ok([
                Var::from_vec(weight, (out, channels, 3, 3), &Device::Cpu)?,
                Var::from_vec(vec![0f32; out], out, &Device::Cpu)?,
            ])
        };
        Ok(Self { convs: CHANNELS.windows(2).enumerate().map(conv).collect::<candle_core::Result<_>>()? })
    }

    /// Runs the network on the values that `of` takes from its variables.
    fn run(&self, images: &Tensor, of: fn(&Var) -> Tensor) -> candle_core::Result<Tensor> {
        let halve = Window { stride: 2, padding: Padding::NONE };
        let mut x = images.clone();
        for [weight, bias] in &self.convs {
            x = conv2d(&x, &of(weight), &of(bias), Window::dense(1), Activation::Relu)?;
            x = max_pool2d(&x, 2, halve, false)?;
        }
        global_avg_pool(&x)
    }
}

impl Backbone for ConvNet {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn dim(&self) -> usize {
        DIM
    }

    /// Centres natural images and gives them about unit variance, which the initialisation expects.
    fn normalize(&self) -> [[f32; 3]; 2] {
        [[0.5; 3], [0.25; 3]]
    }

    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.run(images, Var::as_detached_tensor)
    }
}

impl Trainable for ConvNet {
    fn forward_train(&self, images: &Tensor, _: Draws<'_>) -> candle_core::Result<Tensor> {
        self.run(images, |var| var.as_tensor().clone())
    }

    fn vars(&self) -> Vec<(String, Var)> {
        let named = |(layer, [weight, bias]): (usize, &[Var; 2])| {
            [(weight_name(layer), weight.clone()), (bias_name(layer), bias.clone())]
        };
        self.convs.iter().enumerate().flat_map(named).collect()
    }
}

fn weight_name(layer: usize) -> String {
    format!("conv{}.weight", layer + 1)
}

fn bias_name(layer: usize) -> String {
    format!("conv{}.bias", layer + 1)
}
