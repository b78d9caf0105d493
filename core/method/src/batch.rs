//! Tensors that go into a method and come out of it.

use anyhow::{Context as _, Result};
use candle_core::Tensor;
use hashlab_data::{ByModality, Modality};

/// Features of items, `(n, dim)` for each modality.
#[derive(Clone, Debug, Default)]
pub struct Features(ByModality<Tensor>);

impl Features {
    /// Features of a single modality.
    pub fn one(modality: Modality, features: Tensor) -> Self {
        Self(ByModality::one(modality, features))
    }

    /// The features of `modality`.
    ///
    /// # Errors
    /// If the items have none.
    pub fn get(&self, modality: Modality) -> Result<&Tensor> {
        self.0.get(modality).with_context(|| format!("the items have no features of their {modality}"))
    }

    /// The features of the only modality.
    ///
    /// # Errors
    /// If the items have several.
    pub fn only(&self) -> Result<&Tensor> {
        Ok(self.0.only().with_context(|| format!("the items have features of {} modalities", self.0.len()))?.1)
    }

    /// Modalities and their features.
    pub fn iter(&self) -> impl Iterator<Item = (Modality, &Tensor)> {
        self.0.iter()
    }
}

impl From<ByModality<Tensor>> for Features {
    fn from(features: ByModality<Tensor>) -> Self {
        Self(features)
    }
}

/// A view of a batch's items.
#[derive(Clone, Debug)]
pub struct View {
    /// What is viewed.
    pub modality: Modality,
    /// Features `(b, dim)`.
    pub x: Tensor,
}

/// A training batch of `b` items. Where a step draws from several samplers, each gives as many consecutive items.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Positions of the items among the training items, for methods with memory per item.
    pub items: Vec<u32>,
    /// The views, in the order of [`BatchSpec::views`](crate::BatchSpec).
    pub views: Vec<View>,
    /// Multi-hot labels `(b, classes)`; absent unless the method is supervised.
    pub labels: Option<Tensor>,
}

impl Batch {
    /// The features of all views of `modality` below each other, `(views · b, dim)`.
    ///
    /// # Errors
    /// If there is no such view.
    pub fn stacked(&self, modality: Modality) -> Result<Tensor> {
        let views: Vec<&Tensor> =
            self.views.iter().filter(|view| view.modality == modality).map(|view| &view.x).collect();
        Ok(Tensor::cat(&views, 0)?)
    }
}

/// All training items at once, for shallow methods.
#[derive(Clone, Debug)]
pub struct TrainSet {
    /// Features without augmentation.
    pub features: Features,
    /// Multi-hot labels `(n, classes)`; absent unless the method is supervised.
    pub labels: Option<Tensor>,
}

impl TrainSet {
    /// Features of images `(n, dim)` without labels: for examples and tests.
    pub fn of_images(features: Tensor) -> Self {
        Self { features: Features::one(Modality::Image, features), labels: None }
    }
}

/// A loss and its named parts: scalars, or one value per run `(runs,)` where runs are trained stacked.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is minimized.
    pub total: Tensor,
    /// The parts, for the log; as the paper names them.
    pub terms: Vec<(&'static str, Tensor)>,
}
