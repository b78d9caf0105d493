//! Batch and encoding specifications of a method.

use std::fmt;
use std::sync::Arc;

use hashlab_data::Modality;
use hashlab_image::Transform;

/// Views and samplers of a training batch.
#[derive(Clone, Debug)]
pub struct BatchSpec {
    /// The views of each item. Views of equal transforms are independent draws.
    pub views: Vec<ViewSpec>,
    /// Number of independently shuffled passes over the training items from which a step draws; usually 1.
    pub samplers: usize,
}

impl BatchSpec {
    /// The given views of the items of one sampler.
    pub fn new(views: impl IntoIterator<Item = ViewSpec>) -> Self {
        Self { views: views.into_iter().collect(), samplers: 1 }
    }
}

/// A view of an item. It may depend on the method's hyperparameters, e.g. on a strength of augmentation.
#[derive(Clone)]
pub enum ViewSpec {
    /// The image, transformed.
    Image(ImageView),
    /// The text: one of the item's captions.
    Text,
}

/// Makes the transform of an image, given the side of the encoder's input in pixels.
type ImageView = Arc<dyn Fn(usize) -> Transform + Send + Sync>;

impl ViewSpec {
    /// The image under the transform that `make` returns for a side of the encoder's input in pixels.
    pub fn image(make: impl Fn(usize) -> Transform + Send + Sync + 'static) -> Self {
        Self::Image(Arc::new(make))
    }

    /// The item without augmentation; of a text, one of its captions.
    pub fn plain(modality: Modality) -> Self {
        match modality {
            Modality::Text => Self::Text,
            _ => Self::image(Transform::resize),
        }
    }

    /// The image under a random transform, or one of the text's captions.
    pub fn augmented(modality: Modality, make: impl Fn(usize) -> Transform + Send + Sync + 'static) -> Self {
        match modality {
            Modality::Text => Self::Text,
            _ => Self::image(make),
        }
    }

    /// Modality of the view.
    pub fn modality(&self) -> Modality {
        match self {
            Self::Image(_) => Modality::Image,
            Self::Text => Modality::Text,
        }
    }
}

impl fmt::Debug for ViewSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(make) => write!(f, "Image({})", make(224)),
            Self::Text => f.write_str("Text"),
        }
    }
}

/// Constraints on encoding for codes that depend on the other items of a call, as in methods whose items attend to each
/// other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeSpec {
    /// Name of this way of encoding, for a method that has several; tables write it behind the method's label.
    pub name: Option<&'static str>,
    /// Items per call of `encode`; `None`: any number.
    pub batch_size: Option<usize>,
    /// Whether queries and database are encoded separately, each in the split's order.
    pub by_role: bool,
    /// Whether items of an incomplete last call get no code, and are left out of the evaluation.
    pub drop_last: bool,
}
