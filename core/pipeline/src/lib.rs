//! One run, from its configuration to its result: features, training, codes, metrics.
//!
//! [`run`](run::run) takes a [`RunJob`](run::RunJob): a configuration, a registered method, an opened data set and its
//! [`RunEnvironment`]. This crate knows no method, data set or encoder by name.

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
