//! Whole transforms, from a decoded image to a network's input size.

use std::borrow::Cow;
use std::fmt;

use hashlab_rng::Stream;

use crate::{Filter, Rgb, Step};

/// Revision of the steps' code; raised when the same image, steps and stream give other pixels.
const REVISION: u32 = 1;

/// A sequence of steps that turns an image of any size into one of `size × size` pixels.
///
/// Its `Display` lists every step with all its settings, and the revision of their code:
/// `resize(128,bilinear) flip(p=0.5) r1`. This text is its identity in cache keys: equal texts give equal pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    steps: Vec<Step>,
    size: usize,
}

impl Transform {
    /// A transform of the given steps, in their order.
    ///
    /// # Panics
    /// If no step sets the size, or a [`Step::Crop`] may reach beyond the output of the steps before it.
    pub fn new(steps: impl Into<Vec<Step>>) -> Self {
        let steps = steps.into();
        let edge = steps.iter().fold(None, |edge, step| step.edge(edge));
        Self { steps, size: edge.expect("a transform needs a step that sets the size") }
    }

    /// A transform that only resizes (bilinear), ignoring the aspect ratio.
    pub fn resize(size: usize) -> Self {
        Self::new([Step::Resize { size, filter: Filter::Bilinear }])
    }

    /// Edge of the output, in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the output depends on the stream. A fixed transform draws nothing from it.
    pub fn is_random(&self) -> bool {
        self.steps.iter().any(Step::is_random)
    }

    /// Transforms an image, with random draws from `stream`.
    pub fn apply(&self, image: &Rgb, stream: &mut Stream) -> Rgb {
        let mut image = Cow::Borrowed(image);
        for step in &self.steps {
            step.apply(&mut image, stream);
        }
        image.into_owned()
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "{step} ")?;
        }
        write!(f, "r{REVISION}")
    }
}
