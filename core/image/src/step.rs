//! Steps of a transform.

use std::borrow::Cow;
use std::fmt;

use hashlab_rng::Stream;

use crate::geometry::resize_crop;
use crate::{
    ColorJitter, Filter, RandomResizedCrop, Region, Rgb, crop, gaussian_blur, gaussian_blur_3, grayscale, hflip,
    resize, solarize,
};

/// A step of a [`Transform`](crate::Transform), with torchvision's name if it has one.
///
/// Sizes are edges in pixels, `p` is the probability that the step happens, and `sigma` the lowest and highest standard
/// deviation of a blur, in pixels: one is drawn per image, uniformly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Resizes to `size × size`, ignoring the aspect ratio.
    Resize {
        /// Edge of the output.
        size: usize,
        /// Interpolation.
        filter: Filter,
    },
    /// Resizes so that the shorter side has `shorter` pixels, keeping the aspect ratio, and cuts `size × size` pixels
    /// from the middle: torchvision's `Resize(shorter)`, then `CenterCrop(size)`.
    ResizeCrop {
        /// Shorter side after resizing, at least `size`.
        shorter: usize,
        /// Edge of the output.
        size: usize,
        /// Interpolation.
        filter: Filter,
    },
    /// Cuts out the `size × size` pixels that begin at (`left`, `top`).
    Crop {
        /// Columns to the left of the crop.
        left: usize,
        /// Rows above the crop.
        top: usize,
        /// Edge of the output.
        size: usize,
    },
    /// Cuts out `size × size` pixels at a random position.
    RandomCrop {
        /// Edge of the output.
        size: usize,
    },
    /// Cuts out a random region and resizes it to a square (bilinear).
    RandomResizedCrop(RandomResizedCrop),
    /// Mirrors left to right.
    Flip {
        /// Probability.
        p: f64,
    },
    /// Changes brightness, contrast, saturation and hue, in random order.
    ColorJitter {
        /// Strengths of the changes.
        jitter: ColorJitter,
        /// Probability.
        p: f64,
    },
    /// Converts to grey, in three equal channels.
    Grayscale {
        /// Probability.
        p: f64,
    },
    /// Inverts every channel value from `threshold` on.
    Solarize {
        /// The lowest value that is inverted.
        threshold: u8,
        /// Probability.
        p: f64,
    },
    /// Blurs with OpenCV's 3 × 3 kernel.
    OpenCvBlur {
        /// Range of the standard deviation.
        sigma: (f64, f64),
        /// Probability.
        p: f64,
    },
    /// Blurs with Pillow's approximation of a Gaussian.
    PillowBlur {
        /// Range of the standard deviation.
        sigma: (f64, f64),
        /// Probability.
        p: f64,
    },
}

impl Step {
    /// The edge of the output, given that of the input if it is known to be square.
    ///
    /// # Panics
    /// If the step cuts out pixels that the input may not have.
    pub(crate) fn edge(&self, input: Option<usize>) -> Option<usize> {
        match *self {
            Self::Resize { size, .. } => Some(size),
            Self::ResizeCrop { shorter, size, .. } => {
                assert!(size <= shorter, "{self} cuts out more than what it resizes to");
                Some(size)
            }
            Self::RandomResizedCrop(crop) => Some(crop.size),
            Self::Crop { left, top, size } => {
                let inside = input.is_some_and(|edge| left.max(top) + size <= edge);
                assert!(inside, "{self} reaches beyond the image that the steps before it make");
                Some(size)
            }
            Self::RandomCrop { size } => {
                assert!(input.is_some_and(|edge| size <= edge), "{self} is larger than what the steps before it make");
                Some(size)
            }
            _ => input,
        }
    }

    /// Whether the step draws from the stream. A step with probability 1 draws nothing for the decision.
    pub(crate) fn is_random(&self) -> bool {
        match *self {
            Self::Resize { .. } | Self::ResizeCrop { .. } | Self::Crop { .. } => false,
            Self::Flip { p } | Self::Grayscale { p } | Self::Solarize { p, .. } => p < 1.0,
            Self::RandomCrop { .. }
            | Self::RandomResizedCrop(_)
            | Self::ColorJitter { .. }
            | Self::OpenCvBlur { .. }
            | Self::PillowBlur { .. } => true,
        }
    }

    pub(crate) fn apply(&self, image: &mut Cow<'_, Rgb>, stream: &mut Stream) {
        let happens = self.probability().is_none_or(|p| p >= 1.0 || stream.bernoulli(p));
        if !happens {
            return;
        }
        match *self {
            Self::Resize { size, filter } => *image = Cow::Owned(resize(image, size, size, filter)),
            Self::ResizeCrop { shorter, size, filter } => {
                *image = Cow::Owned(resize_crop(image, shorter, size, filter))
            }
            Self::Crop { left, top, size } => {
                *image = Cow::Owned(crop(image, Region { left, top, width: size, height: size }));
            }
            Self::RandomCrop { size } => {
                let (top, left) = (stream.below(image.height - size + 1), stream.below(image.width - size + 1));
                *image = Cow::Owned(crop(image, Region { left, top, width: size, height: size }));
            }
            Self::RandomResizedCrop(crop) => *image = Cow::Owned(crop.apply(image, stream)),
            Self::Flip { .. } => hflip(image.to_mut()),
            Self::ColorJitter { jitter, .. } => jitter.apply(image.to_mut(), stream),
            Self::Grayscale { .. } => grayscale(image.to_mut()),
            Self::Solarize { threshold, .. } => solarize(image.to_mut(), threshold),
            Self::OpenCvBlur { sigma, .. } => gaussian_blur_3(image.to_mut(), stream.uniform_in(sigma.0, sigma.1)),
            Self::PillowBlur { sigma, .. } => gaussian_blur(image.to_mut(), stream.uniform_in(sigma.0, sigma.1)),
        }
    }

    /// Probability of the step, if it is below 1.
    fn probability(&self) -> Option<f64> {
        match *self {
            Self::Resize { .. }
            | Self::ResizeCrop { .. }
            | Self::Crop { .. }
            | Self::RandomCrop { .. }
            | Self::RandomResizedCrop(_) => None,
            Self::Flip { p }
            | Self::ColorJitter { p, .. }
            | Self::Grayscale { p }
            | Self::Solarize { p, .. }
            | Self::OpenCvBlur { p, .. }
            | Self::PillowBlur { p, .. } => Some(p),
        }
    }
}

/// Names the step with all its settings, such as `flip(p=0.5)`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Resize { size, filter } => write!(f, "resize({size},{filter})"),
            Self::ResizeCrop { shorter, size, filter } => write!(f, "resize_crop({shorter},{size},{filter})"),
            Self::Crop { left, top, size } => write!(f, "crop({size},at={left},{top})"),
            Self::RandomCrop { size } => write!(f, "random_crop({size})"),
            Self::RandomResizedCrop(RandomResizedCrop { size, scale, ratio }) => {
                write!(f, "random_resized_crop({size},scale={}..{},ratio={}..{})", scale.0, scale.1, ratio.0, ratio.1)
            }
            Self::Flip { p } => write!(f, "flip(p={p})"),
            Self::ColorJitter { jitter: ColorJitter { brightness, contrast, saturation, hue }, p } => {
                write!(f, "color_jitter({brightness},{contrast},{saturation},{hue},p={p})")
            }
            Self::Grayscale { p } => write!(f, "grayscale(p={p})"),
            Self::Solarize { threshold, p } => write!(f, "solarize({threshold},p={p})"),
            Self::OpenCvBlur { sigma, p } => write!(f, "opencv_blur(sigma={}..{},p={p})", sigma.0, sigma.1),
            Self::PillowBlur { sigma, p } => write!(f, "pillow_blur(sigma={}..{},p={p})", sigma.0, sigma.1),
        }
    }
}
