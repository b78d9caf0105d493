//! One run, from its configuration to its result: features, training, codes, metrics.
//!
//! [`run`](run::run) takes a [`RunJob`](run::RunJob): a configuration, a registered method, an opened data set and its
//! [`RunEnvironment`]. This crate does not depend on any method, data set or encoder.
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

mod batches;
pub mod config;
mod decode_ahead;
mod environment;
mod evaluator;
mod feature_source;
mod image_features;
mod image_loader;
mod inputs;
mod item_encoder;
mod live_views;
mod model;
mod replicas;
pub mod run;
mod stored_views;
mod text_features;
mod text_loader;
mod with_encoder;

pub use batches::{check_batches, check_devices, check_dtype, device_count, needs_gpu};
pub use environment::{EncoderContext, EncoderSetup, RunEnvironment, identity_of};
pub use feature_source::{Described, FeatureSource, OnProgress};
pub use image_features::ImageFeatures;
pub use image_loader::ImageLoader;
pub use inputs::{FeatureInputs, FeatureRows, Inputs, multi_hot};
pub use item_encoder::{ItemEncoder, Prepared, with_item_encoder};
pub use live_views::{LiveItems, LiveViews};
pub use model::Model;
pub use replicas::Replicas;
pub use stored_views::{Pool, StoredViews};
pub use text_features::{TextFeatures, TextFiles};
pub use text_loader::TextLoader;
pub use with_encoder::{ScaledEncoder, WithEncoder};
