//! Training of gradient methods: steps, validation, checkpoints.

mod checkpoint;
mod fit;
mod journal;
mod optimizer;
mod pending;

pub use checkpoint::Checkpoint;
pub use fit::{Fit, Outcome, TrainData, fit};
pub use journal::{Journal, Step};
