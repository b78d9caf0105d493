//! From a run's configuration to its result: the method interface, the training loop and the pipeline around them.
//!
//! This crate knows no method and no data set by name: they come in as the entries of two registries.

pub mod config;
pub mod features;
pub mod inputs;
pub mod method;
pub mod nn;
pub mod registry;
pub mod run;
mod search;
mod stacked;
pub mod train;

pub use hashlab_image::Transform;
pub use method::{
    Batch, BuildContext, ClosedForm, Demand, EpochContext, Gradient, HashMethod, Info, Items, Learner, Loss, Modality,
    ParamGroup, Params, Plugin, Progress, State, Supervision, TrainSet,
};
pub use registry::Entry;
pub use stacked::Stacked;
