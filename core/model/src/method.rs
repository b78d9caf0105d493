//! What a hashing method is: [`HashMethod`] to run it, [`Plugin`] to register it.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use hashlab_image::Transform;
use hashlab_rng::{Stream, stream};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Tensors by name, in the order of their names.
pub type State = BTreeMap<String, Tensor>;

/// A hashing method: maps items to codes of `bits` bits.
pub trait HashMethod: Send {
    /// How this method learns; selects the loop that drives it.
    fn learner(&mut self) -> Learner<'_>;
    /// Computes relaxed codes `h`, shape `(n, bits)`, f32, in evaluation mode. The caller binarises: `h >= 0` is bit 1.
    ///
    /// # Errors
    /// If the items' shape is not the one that the method was built for.
    fn encode(&self, items: &Items) -> Result<Tensor>;
    /// Every tensor needed to encode and to resume, by name.
    ///
    /// # Errors
    /// If a tensor cannot be read from its device.
    fn state(&self) -> Result<State>;
    /// Restores [`HashMethod::state`].
    ///
    /// # Errors
    /// On a missing, extra or misshapen tensor.
    fn load_state(&mut self, state: &State) -> Result<()>;
}

/// The two ways of learning.
pub enum Learner<'a> {
    /// Fits in one call, no gradients: LSH, ITQ.
    ClosedForm(&'a mut dyn ClosedForm),
    /// The runner owns epochs, optimiser and checkpoints: CIBHash.
    Gradient(&'a mut dyn Gradient),
}

/// A method that is fitted in one call.
pub trait ClosedForm {
    /// Fits the method to the training items.
    ///
    /// # Errors
    /// If the items do not determine a solution, e.g. fewer dimensions than bits.
    fn fit(&mut self, train: &TrainSet) -> Result<()>;
}

/// A method that is trained by gradient steps. The step itself (backward, optimiser, logging) is the runner's.
pub trait Gradient {
    /// Says what a step needs.
    fn demand(&self) -> Demand;
    /// The trainable variables and how fast each group learns.
    fn param_groups(&self) -> Vec<ParamGroup>;
    /// Prepares an epoch: schedules, discrete updates. Runs without gradients, and again when a run resumes inside
    /// the epoch, so it may depend on `at` and on nothing that training changes.
    ///
    /// # Errors
    /// Whatever stops the run.
    fn begin_epoch(&mut self, _at: &EpochContext) -> Result<()> {
        Ok(())
    }
    /// The training-mode forward pass: dropout, batch statistics, all views.
    ///
    /// # Errors
    /// If the batch does not fit the method.
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss>;
}

/// What a training step is fed with.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The transform of each view, given the side of the backbone's input in pixels. Views of one transform are
    /// independent draws of it.
    pub views: &'static [fn(usize) -> Transform],
    /// How many independently shuffled streams of the training items a step draws its batch from; usually 1.
    pub streams: usize,
}

/// Variables that share a learning rate.
#[derive(Clone)]
pub struct ParamGroup {
    /// The variables by name.
    pub vars: Vec<(String, Var)>,
    /// Factor on the run's learning rate.
    pub lr_scale: f64,
}

/// One training batch of `b` items. Where a step draws from several streams, each gives as many consecutive items.
pub struct Batch {
    /// Positions of the items among the training items, for methods with memory per item.
    pub items: Vec<u32>,
    /// One feature tensor `(b, dim)` per view.
    pub views: Vec<Tensor>,
    /// Multi-hot labels `(b, classes)`; absent unless the method declares [`Supervision::Labels`].
    pub labels: Option<Tensor>,
}

/// Items to encode.
pub struct Items {
    /// Image features `(n, dim)`.
    pub image: Tensor,
}

/// All training items at once, for closed-form methods.
pub struct TrainSet {
    /// Features `(n, dim)`, without augmentation.
    pub features: Tensor,
    /// Multi-hot labels `(n, classes)`; absent unless the method declares [`Supervision::Labels`].
    pub labels: Option<Tensor>,
}

/// A loss and its named parts, all scalars.
pub struct Loss {
    /// What is minimised.
    pub total: Tensor,
    /// The parts, for the log; as the paper names them.
    pub terms: Vec<(&'static str, Tensor)>,
}

/// Where training stands at the start of an epoch.
#[derive(Clone, Debug)]
pub struct EpochContext {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps per epoch.
    pub steps: usize,
}

/// Where training stands at a step.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Step, counted from 0 over the whole training.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The run's seed.
    pub seed: u64,
}

impl Progress {
    /// Opens this step's random stream for `purpose`, e.g. `"dropout"`; the same after a restart.
    pub fn stream(&self, purpose: &str) -> Stream {
        stream(self.seed, purpose, &[self.step as u64])
    }
}

/// The typed half of a method; [`crate::Entry::of`] erases it.
pub trait Plugin: HashMethod + Sized + 'static {
    /// What the method is.
    const INFO: Info;
    /// Its hyperparameters.
    type Params: Params;
    /// Builds the untrained method.
    ///
    /// # Errors
    /// If the hyperparameters do not fit the context, e.g. more bits than dimensions.
    fn build(params: Self::Params, cx: &BuildContext) -> Result<Self>;
}

/// Hyperparameters: `Default` holds the paper's values, doc comments their meaning and source.
pub trait Params: Default + Serialize + DeserializeOwned + JsonSchema {
    /// Checks what types cannot express.
    ///
    /// # Errors
    /// A sentence such as "`tau` must be positive".
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Names the keys that change nothing under these values, e.g. `momentum` where the optimiser has none. They are
    /// no part of a run's identity.
    fn idle(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Facts about a method.
#[derive(Clone, Debug)]
pub struct Info {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// Name as papers print it.
    pub title: &'static str,
    /// Paper: authors, title, venue and year.
    pub paper: &'static str,
    /// What it may learn from beside the images.
    pub supervision: Supervision,
    /// What it encodes.
    pub modalities: &'static [Modality],
    /// Whether it is trained by gradient steps.
    pub gradient: bool,
    /// Whether its fit depends on the run's seed; gradient methods draw their start from it.
    pub seeded: bool,
    /// Whether it learns from augmented views.
    pub augmented: bool,
    /// Raised whenever the method's results change, so that old runs are not taken for new ones.
    pub revision: u32,
}

/// What a method may learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervision {
    /// Images alone; the runner withholds labels.
    None,
    /// Images and class labels.
    Labels,
}

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// Pictures, as features of a backbone.
    Image,
}

/// What a method is built for.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// Code length in bits.
    pub bits: usize,
    /// Length of a feature vector.
    pub dim: usize,
    /// Number of label classes.
    pub classes: usize,
    /// Where tensors live.
    pub device: Device,
    /// The run's seed.
    pub seed: u64,
}

impl BuildContext {
    /// Opens the run's random stream for `purpose`, e.g. `"init/head.0.weight"`.
    pub fn stream(&self, purpose: &str) -> Stream {
        stream(self.seed, purpose, &[])
    }
}
