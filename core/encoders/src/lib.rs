//! Backbones: networks that map images to feature vectors, one file per network.
//!
//! [`BACKBONES`] lists them. [`Entry::open`] builds a frozen [`Backbone`], through which nothing is differentiated;
//! [`Entry::train`] builds a [`Trainable`] one of the same architecture.
//!
//! [`TEXT_ENCODERS`] lists those that map texts, [`tokenizer`] makes tokens of them.
//!
//! Images are tensors `(n, h, w, 3)`, RGB, channels last, already normalised as [`Backbone::normalize`] says, at the
//! [`Place`] for which the network was built; features lie there, too.

use candle_core::{DType, Device, Tensor, Var};
use hashlab_rng::Stream;

pub mod alexnet;
pub mod bert;
pub mod clip;
pub mod convnet;
pub mod dinov2;
mod fc7;
pub mod filterbank;
mod layers;
pub mod mobilenet_v2;
mod network;
mod patches;
mod published;
pub mod resnet;
pub mod siglip;
mod source;
pub mod squeezenet1_1;
pub mod text;
mod texts;
mod timm;
pub mod tokenizer;
mod towers;
mod transformer;
pub mod vgg16;
pub mod vit_b_16;
pub mod weights;

pub use bert::Bert;
pub use hashlab_image::Filter;
use hashlab_image::{Step, Transform};
pub use text::{Pooling, TEXT_ENCODERS, TextEncoder, TextEntry, TrainableText, find_text};
pub use tokenizer::Tokenizer;
pub use weights::{Weights, WeightsError};

/// A network that maps images to feature vectors.
pub trait Backbone: Send + Sync {
    /// Its name in [`BACKBONES`]; a part of a network adds the name of its [`Cut`], as in `vgg16/fc6`.
    fn name(&self) -> &'static str;

    /// The length of a feature vector.
    fn dim(&self) -> usize;

    /// Mean and standard deviation of each color, which the caller applies to `x / 255`.
    fn normalize(&self) -> [[f32; 3]; 2];

    /// Maps normalized images `(n, h, w, 3)` to features `(n, dim)`.
    ///
    /// Spreads over the rayon pool it is called from; inside [`hashlab_kernels::threads::serial`] it stays on its thread.
    ///
    /// # Errors
    /// If the tensor has another shape or the images are too small for the network.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor>;
}

/// A network whose parameters can be trained.
///
/// Its [`Backbone::forward`] is the evaluation pass: the variables as they are now, running statistics, no dropout, and
/// no graph.
pub trait Trainable: Backbone {
    /// The training pass: maps `(n, h, w, 3)` to `(n, dim)` differentiably.
    ///
    /// Every dropout layer draws from the stream that `draws` opens for its name. Batch norms under [`Norm::Batch`] update
    /// their running statistics, once per call.
    ///
    /// # Errors
    /// If the tensor has another shape or the images are too small for the network.
    fn forward_train(&self, images: &Tensor, draws: Draws<'_>) -> candle_core::Result<Tensor>;

    /// Returns the trainable parameters by name, in a fixed order. A training pass gives each of them a gradient.
    fn vars(&self) -> Vec<(String, Var)>;

    /// Returns what belongs to the network's state beside its parameters, by name, in a fixed order: running statistics
    /// of batch norms and, under [`Norm::Frozen`], their constant weights and biases.
    fn buffers(&self) -> Vec<(String, Var)> {
        Vec::new()
    }
}

/// Opens the random stream of a dropout layer by the layer's name; called once per layer and pass.
pub type Draws<'a> = &'a mut dyn FnMut(&str) -> Stream;

/// Where a network's tensors live, and of which type they are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The device.
    pub device: &'a Device,
    /// The type of weights, images, activations and features. In another one than f32 a network is to be frozen, and the
    /// CPU has no fast kernels for it.
    pub dtype: DType,
}

impl<'a> From<&'a Device> for Place<'a> {
    /// In f32.
    fn from(device: &'a Device) -> Self {
        Self { device, dtype: DType::F32 }
    }
}

/// How the batch norms of a [`Trainable`] act in training; networks without any ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// By the statistics of the batch, as PyTorch's `BatchNorm2d` in training mode; weights and biases are trained.
    Batch,
    /// By the running statistics, with constant weights and biases, as torchvision's `FrozenBatchNorm2d`.
    Frozen,
}

/// Why a backbone cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// A pretrained network was opened without weights.
    #[error("encoder `{0}` needs a weights file\nhelp: give the path of a safetensors file with its parameters")]
    NeedsWeights(&'static str),
    /// A network that starts from its seed was given weights.
    #[error("encoder `{0}` reads no weights file\nhelp: leave the path out; its parameters are drawn from the seed")]
    TakesNoWeights(&'static str),
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
        /// That of the file's network.
        got: usize,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A registered backbone.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// One line: what it is.
    pub doc: &'static str,
    /// Whether `open` needs a weights file.
    pub needs_weights: bool,
    /// The length of a feature vector.
    pub dim: usize,
    /// A typical side length of images, in pixels, at which its speed is measured.
    pub image_size: usize,
    /// How many images of that size had best go through the network together on one thread, see [`Self::micro_batch`].
    pub together: usize,
    /// The side length that images must have, where the network works at one only.
    pub only_size: Option<usize>,
    /// Whether it has batch norms, so that a [`Norm`] makes a difference.
    pub normed: bool,
    /// Mean and standard deviation of each color that the network expects, unless its weights file states others.
    pub normalize: [[f32; 3]; 2],
    /// How its authors make images of its size.
    pub preprocess: Preprocess,
    /// Builds the frozen network.
    pub open: Open,
    /// Builds the trainable network, if there is one.
    pub train: Option<Train>,
    /// Where the network can be divided, if it can.
    pub cut: Option<Cut>,
}

/// How an image of any shape becomes a square one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// How it is resized.
    pub filter: Filter,
    /// The part of the shorter side that a square crop from the middle keeps, after resizing in proportion; absent where
    /// both sides are resized to the square's, whatever that does to the proportions.
    pub crop: Option<f64>,
}

impl Preprocess {
    /// Both sides are resized to the square's, bilinearly.
    pub const SQUEEZED: Self = Self { filter: Filter::Bilinear, crop: None };

    /// The transform to images of `size` pixels a side.
    pub fn transform(self, size: usize) -> Transform {
        let filter = self.filter;
        Transform::new([match self.crop {
            None => Step::Resize { size, filter },
            Some(kept) => Step::ResizeCrop { shorter: (size as f64 / kept).floor() as usize, size, filter },
        }])
    }
}

impl Entry {
    /// How many images of `size` pixels a side go through the network together on one thread: few enough that
    /// activations stay in its cache, and enough that weights, which every pass reads anew, matter less.
    ///
    /// Features do not depend on it.
    pub fn micro_batch(&self, size: usize) -> usize {
        (self.together * self.image_size.pow(2) / size.pow(2).max(1)).clamp(1, 32)
    }
}

/// A frozen network in two parts: features of the trunk can be stored, while the tail with its dropouts runs in every
/// step. The trunk's features through the tail's evaluation pass are the network's features.
#[derive(Clone, Copy)]
pub struct Cut {
    /// The trunk's last layer, as experiment files write it.
    pub name: &'static str,
    /// The length of the trunk's features.
    pub dim: usize,
    /// Builds the trunk.
    pub trunk: Open,
    /// Builds the tail, which maps the trunk's features `(n, dim)` where a whole network takes images; it has no
    /// variables.
    pub tail: Tail,
}

/// Builds the tail of a network on a device, in f32, from a weights file.
pub type Tail = fn(Option<&Weights>, &Device) -> Result<Box<dyn Trainable>, BackboneError>;

/// Builds a network at a place from a weights file, or from a seed where it needs none.
pub type Open = fn(Option<&Weights>, u64, Place<'_>) -> Result<Box<dyn Backbone>, BackboneError>;

/// Builds a network to be trained on a device, in f32, from a weights file or, without one, from draws under a seed.
pub type Train = fn(Option<&Weights>, u64, Norm, &Device) -> Result<Box<dyn Trainable>, BackboneError>;

/// Every backbone.
pub const BACKBONES: &[Entry] = &[
    convnet::ENTRY,
    filterbank::ENTRY,
    mobilenet_v2::ENTRY,
    squeezenet1_1::ENTRY,
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    resnet::RESNET101,
    vgg16::ENTRY,
    alexnet::ENTRY,
    vit_b_16::ENTRY,
    clip::VIT_B_32,
    clip::VIT_B_16,
    siglip::BASE_16,
    dinov2::S_14,
    dinov2::B_14,
];

/// Finds a backbone by name.
pub fn find(name: &str) -> Option<&'static Entry> {
    BACKBONES.iter().find(|entry| entry.name == name)
}
