//! What a running process tells the one that started it: one JSON line on standard output per event.

use serde::{Deserialize, Serialize};

/// News of a run or of a shared stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stage started or moved on, e.g. `features`, 1200 of 50000 images.
    Stage {
        /// Name of the stage.
        name: String,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What the units are, e.g. `images`.
        unit: String,
    },
    /// An epoch ended.
    Epoch {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Mean training loss over the epoch.
        loss: f64,
        /// Seconds that the run still needs, estimated.
        left: f64,
    },
    /// The validation queries were searched.
    Validation {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Headline mAP, a fraction.
        map: f64,
    },
}
