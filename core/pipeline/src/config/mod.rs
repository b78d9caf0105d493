//! The sections `[image]`, `[text]` and `[eval]` of an experiment.

mod compute_dtype;
mod encoder;
mod eval;
mod image;
mod known;
mod text;

use anyhow::{Context as _, Result};
use hashlab_settings::{Params, Settings, parse};

pub use compute_dtype::ComputeDtype;
pub use encoder::{EncoderConfig, RANDOM_WEIGHTS};
pub use eval::{Depth, EvalConfig};
pub use image::{ImageConfig, NormMode, image_schema};
pub use text::{PoolingMode, TextConfig, text_schema};

/// The encoder that returns a data set's own features unchanged.
pub const NO_ENCODER: &str = "none";

/// Reads a section of a run's configuration as its type.
///
/// # Errors
/// If it does not fit, as after a change of the program without a new schema version.
pub fn section<T: Params>(settings: &Settings) -> Result<T> {
    parse(settings).context("the run's configuration does not fit this program")
}
