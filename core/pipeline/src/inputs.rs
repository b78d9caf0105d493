//! Inputs of methods: rows of features, or images if the encoder is trained with the method.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use hashlab_cache::FeatureFile;
use hashlab_data::{Labels, StoredFeatures};

/// The items of a data set in one modality, without augmentation.
pub trait Inputs: Sync {
    /// Number of items.
    fn len(&self) -> usize;
    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Number of items per encoding. Fixed, because a matrix product's rounding depends on its shape.
    fn chunk(&self) -> usize;
    /// Loads `items`; the first dimension is that of the items.
    ///
    /// # Errors
    /// If they cannot be read.
    fn load(&self, items: &[u32]) -> Result<Tensor>;
}

/// Rows of features: a file of the feature cache, or a view of the data set itself.
#[derive(Clone)]
pub enum FeatureRows<'a> {
    /// Computed by an encoder.
    Cached(FeatureFile),
    /// Some rows of such a file.
    Selected {
        /// The features.
        file: FeatureFile,
        /// The row of the file, for each row.
        rows: Vec<u32>,
    },
    /// Features of the data set.
    Stored {
        /// The features.
        features: &'a dyn StoredFeatures,
        /// View of the features.
        view: usize,
        /// The item of each row.
        items: Vec<u32>,
    },
}

impl FeatureRows<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Cached(file) => file.rows(),
            Self::Selected { rows, .. } => rows.len(),
            Self::Stored { items, .. } => items.len(),
        }
    }

    /// Length of a row.
    pub fn dim(&self) -> usize {
        match self {
            Self::Cached(file) | Self::Selected { file, .. } => file.dim(),
            Self::Stored { features, .. } => features.dim(),
        }
    }

    /// Reads `rows`, in their order, into `out`, shape `(rows.len(), dim)`, row-major.
    ///
    /// # Errors
    /// If a row is beyond the end, cannot be read, or holds a number that is not finite.
    pub fn read(&self, rows: &[u32], out: &mut [f32]) -> Result<()> {
        let chosen_of = |all: &[u32]| rows.iter().map(|&row| all[row as usize]).collect::<Vec<u32>>();
        match self {
            Self::Cached(file) => Ok(file.read_rows(rows, out)?),
            Self::Selected { file, rows } => Ok(file.read_rows(&chosen_of(rows), out)?),
            Self::Stored { features, view, items } => {
                let chosen = chosen_of(items);
                features.read(&chosen, *view, out)?;
                let odd = out.iter().position(|value| !value.is_finite());
                ensure!(
                    odd.is_none(),
                    "feature {} of item {} is not a finite number",
                    odd.unwrap_or_default() % features.dim(),
                    chosen[odd.unwrap_or_default() / features.dim()]
                );
                Ok(())
            }
        }
    }

    /// Reads rows as a tensor `(rows, dim)`.
    ///
    /// # Errors
    /// As [`FeatureRows::read`].
    pub fn gather(&self, rows: &[u32], device: &Device) -> Result<Tensor> {
        let mut values = vec![0f32; rows.len() * self.dim()];
        self.read(rows, &mut values)?;
        Ok(Tensor::from_vec(values, (rows.len(), self.dim()), device)?)
    }
}

/// Features of all items; row = item.
pub struct FeatureInputs<'a> {
    /// The rows.
    pub rows: &'a FeatureRows<'a>,
    /// Device of the tensors.
    pub device: &'a Device,
}

impl Inputs for FeatureInputs<'_> {
    fn len(&self) -> usize {
        self.rows.rows()
    }

    fn chunk(&self) -> usize {
        1024
    }

    fn load(&self, items: &[u32]) -> Result<Tensor> {
        self.rows.gather(items, self.device)
    }
}

/// Multi-hot labels `(items, classes)` of `items`.
///
/// # Errors
/// If the device is out of memory.
pub fn multi_hot(labels: &Labels, items: &[u32], device: &Device) -> Result<Tensor> {
    let classes = labels.classes();
    let mut values = vec![0f32; items.len() * classes];
    for (row, &item) in items.iter().enumerate() {
        for class in labels.classes_of(item as usize) {
            values[row * classes + class] = 1.0;
        }
    }
    Ok(Tensor::from_vec(values, (items.len(), classes), device)?)
}
