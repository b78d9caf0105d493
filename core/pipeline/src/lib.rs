//! One run, from its configuration to its result: features, training, codes, metrics.
//!
//! [`run`](run::run) takes a [`RunJob`](run::RunJob): a configuration, a registered method, an opened data set and its
//! [`RunEnvironment`]. This crate knows no method, data set or encoder by name.
//!
//! The sections of a configuration are typed:
//!
//! ```
//! use hashlab_pipeline::config::{EvalConfig, section};
//!
//! let settings = serde_json::json!({"map_at": 1000, "ranks": [1, 10]});
//! let eval: EvalConfig = section(settings.as_object().unwrap())?;
//! assert_eq!(eval.map_at.rank()?, Some(1000));
//! # Ok::<_, anyhow::Error>(())
//! ```

pub mod config;
mod decode_ahead;
mod environment;
mod evaluator;
mod image_features;
mod inputs;
mod live_views;
pub mod run;
mod stored_views;
mod with_encoder;

pub use environment::{EncoderSetup, ImageSetup, RunEnvironment};
pub use image_features::{ImageFeatures, OnProgress};
pub use inputs::{FeatureInputs, FeatureRows, Inputs, multi_hot};
pub use live_views::{ImageLoader, LiveViews};
pub use stored_views::{Pool, StoredViews};
pub use with_encoder::WithEncoder;
