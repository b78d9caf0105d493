//! Convolutions by NVIDIA's cuDNN, version 9, on images and weights whose channels lie side by side.
//!
//! The library is opened while the program runs, so that the program starts and works without it. It computes a
//! convolution in one pass over the image, where [`crate::conv`] writes windows side by side and multiplies them.
//! Descriptors and the choice of an algorithm are kept per size. Algorithms are those that the library's heuristics
//! name first among those that give the same bits each time, not the fastest of a measurement, as that would vary from
//! process to process.

mod api;
mod convolution;
#[cfg(feature = "cuda")]
mod device;
mod library;
#[cfg(all(test, target_os = "linux"))]
mod tests;

#[cfg(feature = "cuda")]
pub(crate) use device::{calls, convolve};

use super::launch::{Element, Window};

/// One of the three products of a convolution, with its factors and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// Image and weight to output.
    Forward,
    /// Weight and the output's gradient to that of the image.
    InputGradient,
    /// Image and the output's gradient to that of the weight.
    WeightGradient,
}

/// Everything that the choice of an algorithm depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Problem {
    pass: Pass,
    element: Element,
    /// Whether factors of f32 may be rounded to TF32.
    tf32: bool,
    images: usize,
    window: Window,
    /// Channels of the output.
    out: usize,
}

/// What [`convolve`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Done {
    /// Nothing: there is no algorithm for this problem, or the library refused it.
    Nothing,
    /// The convolution.
    Sums,
    /// The convolution with bias, residual and rectifier.
    Everything,
}

#[cfg(feature = "cuda")]
impl Problem {
    pub(crate) fn new(pass: Pass, element: Element, images: usize, window: Window, out: usize) -> Self {
        Self { pass, element, tf32: crate::device::tf32_is_allowed(), images, window, out }
    }
}

/// Returns whether cuDNN is asked for, which [`check`] has seen before.
#[cfg(feature = "cuda")]
pub(crate) fn wanted() -> bool {
    static WANTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *WANTED.get_or_init(|| asked(std::env::var("HASHLAB_CUDNN").ok().as_deref()).unwrap_or(false))
}

/// Reads `HASHLAB_CUDNN`, and opens the library if it is asked for, so that what is missing is known at the start.
///
/// # Errors
/// If the variable has another value than `on` or `off`, or the library cannot be opened.
#[cfg(feature = "cuda")]
pub(crate) fn check() -> candle_core::Result<()> {
    match asked(std::env::var("HASHLAB_CUDNN").ok().as_deref()) {
        Ok(true) => device::api().map(|_| ()),
        Ok(false) => Ok(()),
        Err(error) => Err(candle_core::Error::Msg(error)),
    }
}

/// Whether a value of `HASHLAB_CUDNN` asks for the library. It does not by default, as its speed was not measured yet.
fn asked(value: Option<&str>) -> Result<bool, String> {
    match value {
        Some("on") => Ok(true),
        None | Some("off" | "") => Ok(false),
        Some(other) => Err(format!("HASHLAB_CUDNN is `{other}`; it can be `on` or `off`")),
    }
}
