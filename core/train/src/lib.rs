//! Training of deep methods: steps, validation, selection, checkpoints.
//!
//! [`fit()`] trains a [`Trained`](hashlab_method::Trained) method on batches from [`TrainData`] by the settings of
//! [`TrainConfig`]. It reports to a [`TrainObserver`], which keeps checkpoints; a training that resumes from a
//! [`Checkpoint`] ends with the same bits as one without a stop. [`fit_stacked`] trains several runs of one shape in
//! lock-step.
//!
//! ```
//! use hashlab_settings::Schema;
//! use hashlab_train::TrainConfig;
//!
//! let schema = Schema::of::<TrainConfig>();
//! let settings = serde_json::json!({ "epochs": 10, "schedule": "cosine", "clip_norm": 1.0 });
//! assert!(schema.check(settings.as_object().unwrap()).is_empty());
//! ```

mod checkpoint;
mod checkpoint_interval;
pub mod config;
mod deferred_losses;
mod divergence;
mod fit;
mod observer;
mod optimizer;
mod schedule;
mod shared_error;
mod together;
mod trainer;

pub use checkpoint::{Checkpoint, TrainPosition};
pub use config::{OptimizerKind, ScheduleName, Select, TrainConfig};
pub use fit::{BuildStacked, Fit, TrainData, TrainEnd, fit, fit_stacked};
pub use observer::{StepReport, TrainObserver};
pub use shared_error::SharedError;
