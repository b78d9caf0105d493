//! Training of gradient methods: steps, validation, checkpoints.

mod checkpoint;
mod fit;
mod optimizer;

pub use checkpoint::Checkpoint;
pub use fit::{Fit, Journal, Outcome, Step, TrainData, fit};
