//! Traits of a hashing method.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use candle_core::{Tensor, Var};
use hashlab_data::{Modality, RunFacts};
use hashlab_kernels::device::copy_values;
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Batch, BatchSpec, BuildContext, EncodeSpec, EpochContext, Features, Loss, MethodInfo, Progress, TrainSet};

/// Tensors by name, in the order of their names.
pub type State = BTreeMap<String, Tensor>;

/// A hashing method: maps items to codes of `bits` bits.
pub trait HashMethod: Send {
    /// Computes relaxed codes `h`, shape `(n, bits)`, f32, of `items` in their role as `modality`, in evaluation mode.
    /// The caller binarizes: `h >= 0` is bit 1.
    ///
    /// `items` holds the features of `modality` and, for a method that declares [`Needs::Fused`](crate::Needs), those
    /// of the other modalities.
    ///
    /// # Errors
    /// If the items' shape is not the one that the method was built for.
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor>;

    /// Constraints on encoding, if codes depend on them: items per call, roles, an incomplete last call.
    fn encode_spec(&self) -> EncodeSpec {
        EncodeSpec::default()
    }

    /// Further ways of encoding with the same trained state, each with a name of its own. They are evaluated once,
    /// beside [`HashMethod::encode`], which alone selects epochs and settings.
    fn other_encodings(&self) -> Vec<EncodeSpec> {
        Vec::new()
    }

    /// As [`HashMethod::encode`], in the way that [`HashMethod::other_encodings`] calls `name`.
    ///
    /// # Errors
    /// As [`HashMethod::encode`], and if the method has no encoding `name`.
    fn encode_otherwise(&self, name: &str, _items: &Features, _modality: Modality) -> Result<Tensor> {
        bail!("the method has no encoding `{name}`")
    }

    /// Every tensor needed to encode and to resume, by name.
    ///
    /// # Errors
    /// If a tensor cannot be read from its device.
    fn state(&self) -> Result<State>;

    /// Restores [`HashMethod::state`].
    ///
    /// # Errors
    /// On a missing, extra or misshapen tensor; the method is then unchanged.
    fn load_state(&mut self, state: &State) -> Result<()>;
}

/// A shallow method: fitted to all training items in one call. LSH, ITQ, SH, AGH.
pub trait Fitted: HashMethod {
    /// Fits the method to the training items.
    ///
    /// # Errors
    /// If the items do not determine a solution, e.g. fewer dimensions than bits.
    fn fit(&mut self, train: &TrainSet) -> Result<()>;
}

/// A deep method: trained by gradient steps. CIBHash, HashNet. The training loop does the backward pass, the optimizer
/// step and the logging.
pub trait Trained: HashMethod {
    /// Batch specification of a training step.
    fn batch_spec(&self) -> BatchSpec;

    /// Trainable variables, in groups with their own optimizer settings.
    fn param_groups(&self) -> Vec<ParamGroup>;

    /// Prepares an epoch: schedules, discrete updates. Runs without gradients, and again when a run resumes inside the
    /// epoch or leaves others that it was stacked with, so it must depend only on `at` and on values that training does
    /// not change. Codes must not depend on it: stacked runs are encoded by methods of their own.
    ///
    /// # Errors
    /// If the preparation fails; the run fails with it.
    fn begin_epoch(&mut self, _at: &EpochContext) -> Result<()> {
        Ok(())
    }

    /// The training-mode forward pass: dropout, batch statistics, all views.
    ///
    /// # Errors
    /// If the batch does not fit the method.
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss>;

    /// Ends an epoch: updates of memories, prototypes, discrete codes. Runs once per epoch, after its last step and
    /// before the validation; everything that it changes is part of [`HashMethod::state`].
    ///
    /// # Errors
    /// If the update fails; the run fails with it.
    fn end_epoch(&mut self, _at: &EpochContext) -> Result<()> {
        Ok(())
    }
}

/// A built method, shallow or deep as registered.
pub enum AnyMethod {
    /// A shallow method.
    Fitted(Box<dyn Fitted>),
    /// A deep method.
    Trained(Box<dyn Trained>),
}

impl AnyMethod {
    /// The interface that both kinds share.
    pub fn as_method(&self) -> &dyn HashMethod {
        match self {
            Self::Fitted(method) => method.as_ref(),
            Self::Trained(method) => method.as_ref(),
        }
    }

    /// The interface that both kinds share, mutable.
    pub fn as_method_mut(&mut self) -> &mut dyn HashMethod {
        match self {
            Self::Fitted(method) => method.as_mut(),
            Self::Trained(method) => method.as_mut(),
        }
    }
}

/// The static side of a method: facts, hyperparameters, construction. [`MethodEntry`](crate::MethodEntry) registers it.
pub trait Definition: HashMethod + Sized + 'static {
    /// Facts about the method.
    const INFO: MethodInfo;
    /// The text of the method's source file, `include_str!("NAME.rs")`, with `concat!` for several. Its digest is
    /// stored with every result, to distinguish results of different sources.
    const SOURCE: &'static str;
    /// Its hyperparameters; [`NoParams`](crate::NoParams) for none.
    type Params: Params;

    /// Builds the untrained method.
    ///
    /// # Errors
    /// If the hyperparameters do not fit the context, e.g. more bits than dimensions.
    fn build(params: Self::Params, cx: &BuildContext) -> Result<Self>;

    /// Validates the hyperparameters against the facts of a planned run, e.g. its code length. Violations name
    /// hyperparameters, `bits`, or dotted keys of other sections, e.g. `image.views`.
    fn check(_params: &Self::Params, _run: &RunFacts) -> Violations {
        Violations::none()
    }
}

/// A deep method whose runs of one shape can be trained together, stacked along a first axis of runs, where launches
/// and not arithmetic limit a step, as on a GPU.
///
/// A stacked method keeps every variable and buffer with a first axis of runs, gets batches and draws of all runs, and
/// returns one loss per run, which depends on no other run's part. The training minimizes their sum, whose gradient
/// with respect to a run's part is that of the run alone; so optimizer steps and clipping give each run the result that
/// it has alone, on the CPU bit for bit. Encoding is that of the runs alone: a run's part of [`HashMethod::state`] is the
/// state of its own method.
///
/// [`Parameters`](crate::nn::Parameters), layers, norms and losses of [`nn`](crate::nn) take both forms, so that a
/// method has one formulation: it counts axes from the last, and reads numbers that differ between runs as
/// [`PerRun`](crate::nn::PerRun).
pub trait Stackable: Definition + Trained {
    /// Hyperparameters that may differ between stacked runs: real numbers, or an `Option` of one, that the loss alone
    /// reads. The others determine shapes, views, rates of parameter groups or the computation, and are those of all.
    /// Conformance tests take the default, 0.6 and 1.7 times it; or none, 0.2 and 0.5.
    const VARIED: &'static [&'static str];

    /// Builds the untrained runs: `params` and the seeds of `cx` have an element for each. A single run has no axis of
    /// runs, and its loss is a scalar.
    ///
    /// # Errors
    /// As [`Definition::build`].
    fn build_stacked(params: Vec<Self::Params>, cx: &BuildContext) -> Result<Self>;
}

/// Variables with common optimizer settings. A setting that is `None` is the run's, from `[train]`.
#[derive(Clone, Default)]
pub struct ParamGroup {
    /// The variables by name.
    pub vars: Vec<(String, Var)>,
    /// Copies of the variables, in the same order, e.g. on other devices or in another type. The gradient of a variable
    /// is the sum of its own and of its copies', and they get its value after every step.
    pub copies: Vec<Vec<Var>>,
    /// Factor on the learning rate; `None` is 1.
    pub lr_scale: Option<f64>,
    /// Learning rate in place of the run's.
    pub learning_rate: Option<f64>,
    /// Weight decay in place of the run's.
    pub weight_decay: Option<f64>,
    /// Adam's β₁ and β₂ in place of the run's.
    pub betas: Option<[f64; 2]>,
    /// Schedule in place of the run's.
    pub schedule: Option<Schedule>,
}

impl ParamGroup {
    /// Variables with the settings of `[train]`.
    pub fn new(vars: Vec<(String, Var)>) -> Self {
        Self { vars, ..Self::default() }
    }

    /// Gives the copies the values of the variables.
    ///
    /// # Errors
    /// If a copy has another shape, or its device is out of memory.
    pub fn update_copies(&self) -> candle_core::Result<()> {
        self.copies.iter().try_for_each(|copies| copy_values(self.vars.iter().map(|(_, var)| var), copies.iter()))
    }
}

/// Schedule of the learning rate during a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The curve after the warm-up.
    pub kind: ScheduleKind,
    /// Whether the curve moves once per epoch or with every step.
    pub unit: Unit,
    /// Epochs at the start over which the rate rises linearly to its full value; the curve follows them.
    pub warmup_epochs: usize,
    /// Fraction of the full rate at the start of the warm-up.
    pub warmup_start: f64,
}

impl Schedule {
    /// The full rate throughout.
    pub const CONSTANT: Self =
        Self { kind: ScheduleKind::Constant, unit: Unit::Epoch, warmup_epochs: 0, warmup_start: 0.0 };
}

/// The curve of a learning rate.
#[derive(Clone, Debug, PartialEq)]
pub enum ScheduleKind {
    /// A constant rate.
    Constant,
    /// Times `factor` every `every` units.
    Step {
        /// Units between two multiplications.
        every: usize,
        /// The factor.
        factor: f64,
    },
    /// Times `factor` at each of these units.
    MultiStep {
        /// Units, ascending.
        milestones: Vec<usize>,
        /// The factor.
        factor: f64,
    },
    /// Half a cosine from 1 to `floor`, a fraction of the full rate, over the whole training.
    Cosine {
        /// The fraction at the end.
        floor: f64,
    },
}

/// Unit of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Passes over the training items.
    Epoch,
    /// Updates.
    Step,
}
