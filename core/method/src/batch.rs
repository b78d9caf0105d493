//! Tensors that go into a method and come out of it.

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{D, Tensor};
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
    /// If the items lack that modality.
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
    /// Modality of the view.
    pub modality: Modality,
    /// Features `(b, dim)`, of stacked runs `(runs, b, dim)`.
    pub x: Tensor,
}

/// A training batch of `b` items, or of `b` items of each of the stacked runs. Where a step draws from several
/// samplers, each gives as many consecutive items.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Positions of the items among the training items, for methods with memory per item; of stacked runs those of the
    /// first run, then those of the next.
    pub items: Vec<u32>,
    /// The views, in the order of [`BatchSpec::views`](crate::BatchSpec).
    pub views: Vec<View>,
    /// Multi-hot labels `(b, classes)`, of stacked runs `(runs, b, classes)`; absent unless the method is supervised.
    pub labels: Option<Tensor>,
}

impl Batch {
    /// The features of all views of `modality` below each other, `(views · b, dim)`, of stacked runs
    /// `(runs, views · b, dim)`.
    ///
    /// # Errors
    /// If there is no such view.
    pub fn joined(&self, modality: Modality) -> Result<Tensor> {
        let views: Vec<&Tensor> =
            self.views.iter().filter(|view| view.modality == modality).map(|view| &view.x).collect();
        Ok(Tensor::cat(&views, D::Minus2)?)
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

/// A loss and its named parts: scalars, or one value per run `(runs,)` where runs are trained stacked
/// ([`Stackable`](crate::Stackable)).
#[derive(Clone, Debug)]
pub struct Loss {
    /// The value to minimize, `()` or `(runs,)`.
    pub total: Tensor,
    /// The parts, for the log; as the paper names them. Each is `()`, a value of all runs, or shaped as `total`.
    pub terms: Vec<(&'static str, Tensor)>,
}

impl Loss {
    /// Number of stacked runs: 1 for a scalar.
    ///
    /// # Errors
    /// If `total` or a term has another shape.
    pub fn runs(&self) -> Result<usize> {
        let runs = match *self.total.dims() {
            [] => 1,
            [runs] if runs > 0 => runs,
            _ => bail!("a loss of shape {:?} is neither a scalar nor one value per run", self.total.dims()),
        };
        for (name, term) in &self.terms {
            let fits = term.dims().is_empty() || *term.dims() == [runs];
            ensure!(fits, "the term `{name}` has shape {:?} beside the losses of {runs} runs", term.dims());
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn a_loss_is_a_scalar_or_one_value_per_run() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let runs =
            |total: &[usize], term: &[usize]| Loss { total: zeros(total), terms: vec![("kl", zeros(term))] }.runs();
        for (total, term, expected) in [(&[][..], &[][..], 1), (&[1], &[1], 1), (&[3], &[3], 3), (&[3], &[], 3)] {
            assert_eq!(runs(total, term).unwrap(), expected);
        }
        assert_eq!(
            runs(&[3], &[2]).unwrap_err().to_string(),
            "the term `kl` has shape [2] beside the losses of 3 runs"
        );
        for total in [&[0][..], &[2, 2]] {
            assert!(runs(total, &[]).is_err());
        }
    }
}
