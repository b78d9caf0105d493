//! Encoders: networks that map images or texts to feature vectors, one file per network.
//!
//! [`ENCODERS`] lists their registrations, each an [`ImageEntry`] or a [`TextEntry`]. A registration opens a frozen
//! [`Encoder`], which is not differentiable, or a [`TrainableEncoder`] of the same architecture.
//!
//! CLIP, SigLIP and DINOv2 are built of this crate's own transformer layers rather than taken from the crate
//! candle-transformers. Its CLIP is as exact. Its DINOv2 takes one image at a time and gives other features than the
//! published network: positions are interpolated to the nearest instead of bicubically, GELU is approximated by tanh,
//! and norms have another ε. docs/performance.md has the measured differences, times and the cost of compiling it.
//!
//! Images are tensors `(n, h, w, 3)`, RGB, channels last, already normalized by [`Encoder::normalize`], at the
//! [`Place`] for which the network was built. Texts are tensors `(n, t)` of token ids in u32, padded with [`NO_TOKEN`],
//! on the CPU: a [`Tokenizer`] makes the ids, [`token_tensor`] the tensor. Features are at the network's place.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hashlab_encoders::ENCODERS;
//!
//! let filterbank = ENCODERS.iter().find(|encoder| encoder.name() == "filterbank").unwrap();
//! let encoder = filterbank.open(None, &Device::Cpu)?; // it needs no weights; other networks get `Weights::read`
//! let images = Tensor::rand(0f32, 1., (2, 32, 32, 3), &Device::Cpu)?;
//! assert_eq!(encoder.forward(&images)?.dims(), [2, filterbank.dim()]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use candle_core::{DType, Device, Tensor, Var};
use hashlab_rng::Stream;

pub mod alexnet;
pub mod bert;
pub mod clip;
pub mod convnet;
mod dense_head;
pub mod dinov2;
mod entry;
pub mod filterbank;
mod layers;
pub mod mobilenet_v2;
mod naming;
mod network;
mod patches;
mod published;
mod registry;
pub mod resnet;
pub mod siglip;
mod source;
pub mod squeezenet1_1;
mod text;
mod timm;
mod token_batch;
pub mod tokenizer;
mod towers;
mod transformer;
pub mod vgg16;
pub mod vit_b_16;
pub mod weights;

pub use bert::Bert;
pub use entry::{Cut, EncoderEntry, ImageEntry, Mode, OpenImage, Preprocess, Tail, TrainImage};
pub use hashlab_image::Filter;
pub use registry::{ENCODERS, find_image, find_text};
pub use text::{OpenText, Pooling, TextEntry, TrainText};
pub use token_batch::{NO_TOKEN, token_tensor};
pub use tokenizer::{TokenSource, Tokenized, Tokenizer};
pub use weights::{Weights, WeightsError};

/// A network that maps items of one modality to feature vectors.
pub trait Encoder: Send + Sync {
    /// Its registered name; a part of a network adds the name of its [`Cut`], as in `vgg16/fc6`.
    fn name(&self) -> &'static str;

    /// The length of a feature vector.
    fn dim(&self) -> usize;

    /// Mean and standard deviation of each color, which the caller applies to `x / 255`. Encoders of texts ignore it.
    fn normalize(&self) -> [[f32; 3]; 2] {
        [[0.0; 3], [1.0; 3]]
    }

    /// Maps normalized images `(n, h, w, 3)`, or texts `(n, t)`, to features `(n, dim)`.
    ///
    /// On a CPU, the features of an item do not depend on the others. Spreads over the rayon pool it is called from;
    /// inside [`hashlab_kernels::threads::serial`] it stays on its thread.
    ///
    /// # Errors
    /// If the tensor has another shape, the images are too small for the network, a text has no token or more than the
    /// network has positions, or an id is not in the vocabulary.
    fn forward(&self, items: &Tensor) -> candle_core::Result<Tensor>;
}

/// A network whose parameters can be trained.
///
/// Its [`Encoder::forward`] is the evaluation pass: current variables, running statistics, no dropout, no graph.
///
/// Another crate implements it with [`Var`]s and operations of candle or of [`hashlab_kernels`]. The features of an item
/// must not depend on the other items of its batch, to the last bit: [`FrozenConv`](hashlab_kernels::conv::FrozenConv)
/// and operations on each item by itself fulfil that, and a product over a batch may be summed in another order than
/// that over one item.
///
/// ```
/// use candle_core::{Device, Result, Tensor, Var};
/// use hashlab_encoders::{Draws, Encoder, EncoderEntry, EncoderError, ImageEntry, Preprocess, TrainableEncoder, Weights};
/// use hashlab_rng::stream;
///
/// /// A linear map of an image's mean color to eight features; its weight is `(8, 3)`.
/// struct MeanColor(Var);
///
/// impl MeanColor {
///     fn drawn(weights: Option<&Weights>, seed: u64, device: &Device) -> std::result::Result<Self, EncoderError> {
///         if weights.is_some() {
///             return Err(EncoderError::TakesNoWeights("mean_color"));
///         }
///         let mut draws = stream(seed, "init/weight", &[]);
///         let values: Vec<f32> = (0..8 * 3).map(|_| draws.normal() as f32).collect();
///         Ok(Self(Var::from_tensor(&Tensor::from_vec(values, (8, 3), device)?)?))
///     }
///
///     fn features(&self, images: &Tensor, weight: &Tensor) -> Result<Tensor> {
///         images.mean((1, 2))?.unsqueeze(1)?.broadcast_mul(weight)?.sum(2)
///     }
/// }
///
/// impl Encoder for MeanColor {
///     fn name(&self) -> &'static str {
///         "mean_color"
///     }
///
///     fn dim(&self) -> usize {
///         8
///     }
///
///     fn forward(&self, images: &Tensor) -> Result<Tensor> {
///         self.features(images, &self.0.as_detached_tensor())
///     }
/// }
///
/// impl TrainableEncoder for MeanColor {
///     fn forward_train(&self, images: &Tensor, _: Draws<'_>) -> Result<Tensor> {
///         self.features(images, &self.0)
///     }
///
///     fn vars(&self) -> Vec<(String, Var)> {
///         vec![("weight".to_owned(), self.0.clone())]
///     }
/// }
///
/// /// A program adds it to the list of encoders that it hands to hashlab.
/// const ENTRY: EncoderEntry = EncoderEntry::Image(ImageEntry {
///     name: "mean_color",
///     doc: "a linear map of the mean color: 8 features",
///     needs_weights: false,
///     dim: 8,
///     image_size: 32,
///     together: 32,
///     only_size: None,
///     normed: false,
///     normalize: [[0.5; 3], [0.25; 3]],
///     preprocess: Preprocess::SQUEEZED,
///     published: None,
///     open: |weights, seed, place| Ok(Box::new(MeanColor::drawn(weights, seed, place.device)?)),
///     train: Some(|weights, seed, _, place| Ok(Box::new(MeanColor::drawn(weights, seed, place.device)?))),
///     cut: None,
/// });
///
/// let frozen = ENTRY.open(None, &Device::Cpu)?;
/// let images = Tensor::rand(0f32, 1., (2, 32, 32, 3), &Device::Cpu)?;
/// assert_eq!(frozen.forward(&images)?.dims(), [2, 8]);
/// let train = ENTRY.image().and_then(|entry| entry.train).expect("it can be trained");
/// let trainable = train(None, 0, hashlab_encoders::Norm::Frozen, (&Device::Cpu).into())?;
/// let features = trainable.forward_train(&images, &mut |layer, _| panic!("`{layer}` has no dropout"))?;
/// assert!(features.backward()?.get(&trainable.vars()[0].1).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TrainableEncoder: Encoder {
    /// Maps items to `(n, dim)` in training mode, differentiably.
    ///
    /// Every dropout layer draws from the stream that `draws` opens for it, one number for each of its elements. These are
    /// in the order of the items, so that parts of a batch can continue each other's streams. Batch norms with [`Norm::Batch`]
    /// update their running statistics, once per call.
    ///
    /// # Errors
    /// As [`Encoder::forward`].
    fn forward_train(&self, items: &Tensor, draws: Draws<'_>) -> candle_core::Result<Tensor>;

    /// Returns the trainable parameters by name, in a fixed order. A training pass gives each of them a gradient.
    fn vars(&self) -> Vec<(String, Var)>;

    /// Returns the network's further state by name, in a fixed order: running statistics of batch norms and, with
    /// [`Norm::Frozen`], their constant weights and biases.
    fn buffers(&self) -> Vec<(String, Var)> {
        Vec::new()
    }
}

/// Opens the random stream of a dropout layer by the layer's name and the number of its draws; called once per layer and
/// pass.
pub type Draws<'a> = &'a mut dyn FnMut(&str, usize) -> Stream;

/// Device and type of a network's tensors.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The device.
    pub device: &'a Device,
    /// The type of weights, images, activations and features. The CPU has no fast kernels for another type than f32. A
    /// network that is trained in another type is a copy: its variables get the rounded values of f32 variables, and the
    /// optimizer keeps those.
    pub dtype: DType,
}

impl<'a> From<&'a Device> for Place<'a> {
    /// In f32.
    fn from(device: &'a Device) -> Self {
        Self { device, dtype: DType::F32 }
    }
}

/// Batch norms of a [`TrainableEncoder`] in training; networks without any ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Normalization by the statistics of the batch, as PyTorch's `BatchNorm2d` in training mode; weights and biases
    /// are trained.
    Batch,
    /// Normalization by the running statistics, with constant weights and biases, as torchvision's `FrozenBatchNorm2d`.
    Frozen,
}

/// Reason why an encoder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// A pretrained network was opened without weights.
    #[error("encoder `{0}` needs a weights file\nhelp: give the path of a safetensors file with its parameters")]
    NeedsWeights(&'static str),
    /// A network that starts from its seed was given weights.
    #[error("encoder `{0}` reads no weights file\nhelp: leave the path out; its parameters are drawn from the seed")]
    TakesNoWeights(&'static str),
    /// Training of a network that must stay frozen.
    #[error("encoder `{0}` cannot be trained")]
    Frozen(&'static str),
    /// The weights do not fit the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The weights are those of a network of another size.
    #[error("the weights are those of a network of {got} features, and `{name}` has {expected}")]
    Dim {
        /// The network.
        name: &'static str,
        /// The length of its features.
        expected: usize,
        /// The length of the features of the file's network.
        got: usize,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
