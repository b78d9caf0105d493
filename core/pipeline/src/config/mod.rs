//! The sections `[image]`, `[text]` and `[eval]` of an experiment.

mod eval;
mod image;
mod text;

pub use eval::{Depth, EvalConfig};
pub use image::{ComputeDtype, ImageConfig, NormMode, image_schema};
pub use text::{TextConfig, text_schema};

/// The encoder that passes a data set's own features through.
pub const NO_ENCODER: &str = "none";
