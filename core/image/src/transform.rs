//! Whole transforms, from a decoded image to a network's input size.

use std::fmt;

use hashlab_rng::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    ColorJitter, RandomResizedCrop, Region, Rgb, crop, gaussian_blur, gaussian_blur_3, grayscale, hflip,
    resize_bicubic, resize_bilinear,
};

/// A transform from an image of any size to one of `size × size` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Transform {
    /// Resizes (bilinear) without regard to the aspect ratio: CIBHash's test transform for CIFAR-10.
    Plain {
        /// Edge of the output, in pixels.
        size: usize,
    },
    /// Resizes (bicubic) without regard to the aspect ratio: kamwoh/sdc's test transform, for square images.
    PlainBicubic {
        /// Edge of the output, in pixels.
        size: usize,
    },
    /// CIBHash's training transform, `utils/data.py`.
    ///
    /// Crop of 50–100 % of the area; flip; colour jitter (p 0.7); grayscale (p 0.2); OpenCV's 3 × 3 blur (p 0.5).
    #[serde(rename = "cibhash")]
    CibHash {
        /// Edge of the output, in pixels.
        size: usize,
    },
    /// The two views of kamwoh/sdc's `mocov2` recipe, which NSH trains with.
    ///
    /// Crop of 20–100 % of the area; flip; colour jitter; grayscale (p 0.2); the first view ends in Pillow's blur.
    #[serde(rename = "mocov2")]
    MocoV2 {
        /// Edge of the output, in pixels.
        size: usize,
        /// Which of the two.
        view: View,
    },
    /// HashNet's training transform (thuml/HashNet, PyTorch): resize to 256⁄224 of `size`, random crop of 8–100 % of
    /// the area, flip.
    #[serde(rename = "hashnet")]
    HashNet {
        /// Edge of the output, in pixels.
        size: usize,
    },
    /// HashNet's test transform: resize to 256⁄224 of `size`, crop at `(resized − size − 1) / 2`.
    #[serde(rename = "hashnet_test")]
    HashNetTest {
        /// Edge of the output, in pixels.
        size: usize,
    },
}

/// One of the two views of [`Transform::MocoV2`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Jitter (.4, .4, .4, .1) with p 0.8; blur, σ from 0.1 to 2 pixels.
    First,
    /// Jitter (.4, .4, .4, .4), always; no blur.
    Second,
}

impl Transform {
    /// Edge of the output, in pixels.
    pub fn size(&self) -> usize {
        match *self {
            Self::Plain { size }
            | Self::PlainBicubic { size }
            | Self::CibHash { size }
            | Self::MocoV2 { size, .. }
            | Self::HashNet { size }
            | Self::HashNetTest { size } => size,
        }
    }

    /// Whether the output depends on the stream.
    pub fn is_random(&self) -> bool {
        match self {
            Self::Plain { .. } | Self::PlainBicubic { .. } | Self::HashNetTest { .. } => false,
            Self::CibHash { .. } | Self::MocoV2 { .. } | Self::HashNet { .. } => true,
        }
    }

    /// Revision of the code behind this transform; raised when the same image and stream give other pixels.
    pub fn revision(&self) -> u32 {
        1
    }

    /// Identity for cache keys and file names, such as `cibhash-128-r1`: the same id means the same pixels.
    pub fn id(&self) -> String {
        let name = match self {
            Self::Plain { .. } => "plain",
            Self::PlainBicubic { .. } => "plain_bicubic",
            Self::CibHash { .. } => "cibhash",
            Self::MocoV2 { view: View::First, .. } => "mocov2_first",
            Self::MocoV2 { view: View::Second, .. } => "mocov2_second",
            Self::HashNet { .. } => "hashnet",
            Self::HashNetTest { .. } => "hashnet_test",
        };
        format!("{name}-{}-r{}", self.size(), self.revision())
    }

    /// Transforms an image; `stream` is not drawn from unless [`Transform::is_random`].
    pub fn apply(&self, image: &Rgb, stream: &mut Stream) -> Rgb {
        match *self {
            Self::Plain { size } => resize_bilinear(image, size, size),
            Self::PlainBicubic { size } => resize_bicubic(image, size, size),
            Self::CibHash { size } => cibhash(image, size, stream),
            Self::MocoV2 { size, view } => mocov2(image, size, view, stream),
            Self::HashNet { size } => hashnet(image, size, stream),
            Self::HashNetTest { size } => hashnet_test(image, size),
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

const JITTER: ColorJitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
/// Standard deviations of random blurs, in pixels.
const SIGMA: (f64, f64) = (0.1, 2.0);

fn cibhash(image: &Rgb, size: usize, stream: &mut Stream) -> Rgb {
    let mut view = crop_and_flip(image, size, (0.5, 1.0), stream);
    if stream.bernoulli(0.7) {
        JITTER.apply(&mut view, stream);
    }
    if stream.bernoulli(0.2) {
        grayscale(&mut view);
    }
    if stream.bernoulli(0.5) {
        gaussian_blur_3(&mut view, stream.uniform_in(SIGMA.0, SIGMA.1));
    }
    view
}

fn mocov2(image: &Rgb, size: usize, view: View, stream: &mut Stream) -> Rgb {
    let mut out = crop_and_flip(image, size, (0.2, 1.0), stream);
    match view {
        View::First if stream.bernoulli(0.8) => JITTER.apply(&mut out, stream),
        View::First => {}
        View::Second => ColorJitter { hue: 0.4, ..JITTER }.apply(&mut out, stream),
    }
    if stream.bernoulli(0.2) {
        grayscale(&mut out);
    }
    if view == View::First {
        gaussian_blur(&mut out, stream.uniform_in(SIGMA.0, SIGMA.1));
    }
    out
}

fn hashnet(image: &Rgb, size: usize, stream: &mut Stream) -> Rgb {
    let resized = resize_bilinear(image, with_margin(size), with_margin(size));
    crop_and_flip(&resized, size, (0.08, 1.0), stream)
}

fn hashnet_test(image: &Rgb, size: usize) -> Rgb {
    let resized = resize_bilinear(image, with_margin(size), with_margin(size));
    let offset = (with_margin(size) - size).saturating_sub(1) / 2;
    crop(&resized, Region { left: offset, top: offset, width: size, height: size })
}

/// 256 pixels where the network takes 224.
fn with_margin(size: usize) -> usize {
    size * 256 / 224
}

fn crop_and_flip(image: &Rgb, size: usize, scale: (f64, f64), stream: &mut Stream) -> Rgb {
    let mut view = RandomResizedCrop::new(size, scale).apply(image, stream);
    if stream.bernoulli(0.5) {
        hflip(&mut view);
    }
    view
}
