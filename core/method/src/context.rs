//! Contexts of construction and training.

use anyhow::{Result, bail};
use candle_core::{Device, Shape, Tensor};
use hashlab_data::{ByModality, Modality};
use hashlab_rng::{Stream, stream};

use crate::Draws;

/// Construction context: code length, feature lengths, labels, device and seed.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// Code length in bits.
    pub bits: usize,
    /// Length of a feature vector, by modality.
    pub dims: ByModality<usize>,
    /// Number of label classes.
    pub classes: usize,
    /// Number of training items, for methods with memory per item.
    pub items: usize,
    /// Multi-hot labels of the training items `(items, classes)`; absent unless the method is supervised.
    pub labels: Option<Tensor>,
    /// Device of the tensors.
    pub device: Device,
    /// The run's seed; of stacked runs, the seed of each.
    pub seeds: Vec<u64>,
}

impl BuildContext {
    /// A context for features of images of length `dim`, on the CPU, under seed 0, without classes: for examples and
    /// tests.
    pub fn of_images(bits: usize, dim: usize) -> Self {
        let dims = ByModality::one(Modality::Image, dim);
        Self { bits, dims, classes: 0, items: 0, labels: None, device: Device::Cpu, seeds: vec![0] }
    }

    /// The run's only modality.
    ///
    /// # Errors
    /// If the run has several; [`Needs`](crate::Needs) rules that out for methods of one.
    pub fn modality(&self) -> Result<Modality> {
        match self.dims.only() {
            Some((modality, _)) => Ok(modality),
            None => bail!("a method of one modality was built for {}", self.dims.len()),
        }
    }

    /// Length of a feature vector of the run's only modality.
    ///
    /// # Errors
    /// If the run has several modalities.
    pub fn dim(&self) -> Result<usize> {
        Ok(self.dims.get(self.modality()?).copied().unwrap_or_default())
    }

    /// Opens the random stream for `purpose`, e.g. `"itq/rotation"`. Methods whose runs are stacked use
    /// [`BuildContext::draws`].
    ///
    /// # Panics
    /// If there are several runs.
    pub fn stream(&self, purpose: &str) -> Stream {
        let [seed] = self.seeds[..] else { panic!("a stream of one run for {} runs", self.seeds.len()) };
        stream(seed, purpose, &[])
    }

    /// Opens the random draws for `purpose`, e.g. `"init/head.0.weight"`.
    pub fn draws(&self, purpose: &str) -> Draws {
        Draws::new(self.seeds.iter().map(|seed| stream(*seed, purpose, &[])).collect())
    }

    /// The shape of what has `shape` in one run: stacked runs have a first axis of runs.
    pub fn stacked(&self, shape: impl Into<Shape>) -> Shape {
        let shape = shape.into();
        match self.seeds.len() {
            1 => shape,
            runs => [&[runs], shape.dims()].concat().into(),
        }
    }
}

/// Position at the start or the end of an epoch.
#[derive(Clone, Debug)]
pub struct EpochContext {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Number of epochs.
    pub epochs: usize,
    /// Steps per epoch.
    pub steps: usize,
}

/// Position of a step in the training.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Number of epochs.
    pub epochs: usize,
    /// Step, counted from 0 over the whole training.
    pub step: usize,
    /// Number of steps of the whole training.
    pub steps: usize,
    /// The run's seed; of stacked runs, the seed of each.
    pub seeds: Vec<u64>,
}

impl Progress {
    /// Number of runs that take the step together.
    pub fn runs(&self) -> usize {
        self.seeds.len()
    }

    /// Opens this step's random draws for `purpose`, e.g. `"dropout"`; the same after a restart.
    pub fn draws(&self, purpose: &str) -> Draws {
        Draws::new(self.seeds.iter().map(|seed| stream(*seed, purpose, &[self.step as u64])).collect())
    }
}
