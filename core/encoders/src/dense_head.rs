//! The two dense layers that AlexNet and VGG share, `fc6` and `fc7` in Caffe's names, with dropout around them.

use candle_core::{Result, Tensor};

use crate::layers::{Dense, Pass};

/// The length of a feature vector: the output of `fc6` and `fc7`.
pub(crate) const DIM: usize = 4096;

/// A step of the head.
pub(crate) enum Step {
    /// A dense layer and its rectifier.
    Dense(Dense),
    /// Dropout with probability ½, by its name in torchvision.
    Dropout(&'static str),
}

/// Takes `steps` over images `(n, h, w, channels)`; returns `(n, DIM)`.
pub(crate) fn run(steps: &[Step], images: Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
    let mut x = images;
    for step in steps {
        x = match step {
            Step::Dense(dense) => dense.forward(&x, pass)?,
            Step::Dropout(name) => pass.dropout(name, &x, 0.5)?,
        };
    }
    x.flatten_from(1)
}
