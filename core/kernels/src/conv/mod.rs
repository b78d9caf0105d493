//! Convolution and pooling over channels-last images.
//!
//! Images are tensors `(n, h, w, c)`: the channels of a pixel lie side by side, so the inner loop of every operation here
//! runs over contiguous memory. Weights keep PyTorch's order, `(out, in, kh, kw)` and `(c, 1, kh, kw)`.
//!
//! No operation copies its input into columns. A table of row pointers (`rows`) says where each tap of each pixel's
//! window starts, or points to a row of padding; one kernel for dense and one for depthwise windows walk that table
//! (the indirect convolution of Dukhan, arXiv 1907.02129). The gradient of the input is the same walk over the
//! transposed table.

mod dense;
mod depthwise;
mod frozen;
mod geometry;
mod op;
mod pool;
mod rows;

pub use frozen::FrozenConv;
pub use geometry::{Padding, Window};
pub use op::{conv2d, depthwise_conv2d};
pub use pool::{global_avg_pool, max_pool2d};

/// What follows a convolution in the same pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The sum itself.
    None,
    /// `max(0, ·)`.
    Relu,
    /// `min(max(0, ·), 6)`.
    Relu6,
}

impl Activation {
    /// The interval that results are clamped to.
    fn limits(self) -> (f32, f32) {
        match self {
            Self::None => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }
}
