//! Registration of encoders.

use candle_core::Device;
use hashlab_hub::Published;
use hashlab_image::{Filter, Step, Transform};

use crate::{Encoder, EncoderError, Norm, Place, TextEntry, TrainableEncoder, Weights};

/// A registered encoder. Names are unique within a modality: `clip_vit_b_32` is an encoder of images and one of texts.
#[derive(Clone, Copy)]
pub enum EncoderEntry {
    /// Encodes images.
    Image(ImageEntry),
    /// Encodes texts.
    Text(TextEntry),
}

impl EncoderEntry {
    /// Snake-case name, as experiment files write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Image(entry) => entry.name,
            Self::Text(entry) => entry.name,
        }
    }

    /// Description, one line.
    pub fn doc(&self) -> &'static str {
        match self {
            Self::Image(entry) => entry.doc,
            Self::Text(entry) => entry.doc,
        }
    }

    /// The length of a feature vector.
    pub fn dim(&self) -> usize {
        match self {
            Self::Image(entry) => entry.dim,
            Self::Text(entry) => entry.dim,
        }
    }

    /// Whether it needs a weights file to be used frozen.
    pub fn needs_weights(&self) -> bool {
        match self {
            Self::Image(entry) => entry.needs_weights,
            Self::Text(entry) => entry.needs_weights,
        }
    }

    /// Whether it can be trained.
    pub fn is_trainable(&self) -> bool {
        match self {
            Self::Image(entry) => entry.train.is_some(),
            Self::Text(entry) => entry.train.is_some(),
        }
    }

    /// The registration of an encoder of images; `None` of texts.
    pub fn image(&self) -> Option<&ImageEntry> {
        match self {
            Self::Image(entry) => Some(entry),
            Self::Text(_) => None,
        }
    }

    /// The registration of an encoder of texts; `None` of images.
    pub fn text(&self) -> Option<&TextEntry> {
        match self {
            Self::Image(_) => None,
            Self::Text(entry) => Some(entry),
        }
    }

    /// Builds the frozen encoder on a device with the defaults of its registration.
    ///
    /// # Errors
    /// If it needs weights and there are none, or they are those of another network.
    pub fn open(&self, weights: Option<&Weights>, device: &Device) -> Result<Box<dyn Encoder>, EncoderError> {
        match self {
            Self::Image(entry) => (entry.open)(weights, 0, device.into()),
            Self::Text(entry) => entry.open(weights, entry.poolings[0], device.into()),
        }
    }
}

/// A registered encoder of images.
#[derive(Clone, Copy)]
pub struct ImageEntry {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// Description, one line.
    pub doc: &'static str,
    /// Whether `open` needs a weights file.
    pub needs_weights: bool,
    /// The length of a feature vector.
    pub dim: usize,
    /// A typical side length of images, in pixels, at which its speed is measured.
    pub image_size: usize,
    /// Best number of images of that size per pass on one thread, see [`Self::micro_batch`].
    pub together: usize,
    /// The only side length of images that the network supports, if there is just one.
    pub only_size: Option<usize>,
    /// Whether it has batch norms, so that a [`Norm`] makes a difference.
    pub normed: bool,
    /// Mean and standard deviation of each color that the network expects, unless its weights file gives others.
    pub normalize: [[f32; 3]; 2],
    /// Preprocessing of its authors.
    pub preprocess: Preprocess,
    /// Its public weights on the hub, which an experiment means that names none.
    pub published: Option<Published>,
    /// Builds the frozen network.
    pub open: OpenImage,
    /// Builds the trainable network, if there is one.
    pub train: Option<TrainImage>,
    /// The place where the network can be divided, if it can.
    pub cut: Option<Cut>,
}

/// Conversion of an image of any shape into a square one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// Filter of the resizing.
    pub filter: Filter,
    /// Side of the central square crop as a part of the shorter side, after resizing in proportion; `None`: both sides
    /// are resized to the square's, which changes the proportions.
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

impl ImageEntry {
    /// Number of images of `size` pixels a side per pass on one thread: few enough that activations stay in its cache,
    /// and enough that weights, which every pass reads anew, matter less.
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
    pub trunk: OpenImage,
    /// Builds the tail, which maps the trunk's features `(n, dim)` where a whole network takes images; it has no
    /// variables.
    pub tail: Tail,
}

/// Builds the tail of a network on a device, in f32, from a weights file.
pub type Tail = fn(Option<&Weights>, &Device) -> Result<Box<dyn TrainableEncoder>, EncoderError>;

/// Builds an encoder of images at a place from a weights file, or from a seed if it needs none.
pub type OpenImage = fn(Option<&Weights>, u64, Place<'_>) -> Result<Box<dyn Encoder>, EncoderError>;

/// Builds an encoder of images to be trained at a place, from a weights file or, without one, from draws under a seed.
pub type TrainImage = fn(Option<&Weights>, u64, Norm, Place<'_>) -> Result<Box<dyn TrainableEncoder>, EncoderError>;

/// Whether a network with pretrained weights is frozen or trained.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Frozen, at a place.
    Frozen(Place<'a>),
    /// Trained, at a place.
    Trained(Place<'a>),
}

impl<'a> Mode<'a> {
    /// Device and type of the tensors.
    pub(crate) fn place(self) -> Place<'a> {
        match self {
            Self::Frozen(place) | Self::Trained(place) => place,
        }
    }
}
