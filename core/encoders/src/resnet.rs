//! ResNets (He et al., CVPR 2016) with 18, 34, 50 and 101 layers.
//!
//! The features are the mean over all pixels of the last block, 512 or 2048 numbers: torchvision's network without
//! `fc`. As there, a bottleneck's stride is in its 3×3 convolution ("version 1.5"), not in the first one.

use candle_core::{Result, Tensor};
use hashlab_kernels::conv::{Activation, Padding, Window, global_avg_pool, max_pool2d};

use crate::layers::{Conv, Pass};
use crate::network::{Architecture, frozen, trainable};
use crate::source::{Init, Plan, Source};
use crate::weights::{IMAGENET, WeightsError};
use crate::{ImageEntry, Preprocess};

/// ResNet-18's registration.
pub const RESNET18: ImageEntry = ImageEntry {
    name: "resnet18",
    doc: "ResNet-18: 512 features",
    needs_weights: true,
    dim: 512,
    image_size: 224,
    together: 8,
    only_size: None,
    normed: true,
    normalize: IMAGENET,
    preprocess: Preprocess::SQUEEZED,
    published: Some(crate::published::RESNET18),
    open: |weights, _, place| frozen("resnet18", (weights, place), resnet18),
    train: Some(|weights, seed, norm, place| trainable("resnet18", (weights, seed, norm, place), resnet18)),
    cut: None,
};

/// ResNet-34's registration.
pub const RESNET34: ImageEntry = ImageEntry {
    name: "resnet34",
    doc: "ResNet-34: 512 features",
    published: Some(crate::published::RESNET34),
    open: |weights, _, place| frozen("resnet34", (weights, place), resnet34),
    train: Some(|weights, seed, norm, place| trainable("resnet34", (weights, seed, norm, place), resnet34)),
    ..RESNET18
};

/// ResNet-50's registration.
pub const RESNET50: ImageEntry = ImageEntry {
    name: "resnet50",
    doc: "ResNet-50: 2048 features",
    dim: 2048,
    published: Some(crate::published::RESNET50),
    open: |weights, _, place| frozen("resnet50", (weights, place), resnet50),
    train: Some(|weights, seed, norm, place| trainable("resnet50", (weights, seed, norm, place), resnet50)),
    ..RESNET18
};

/// ResNet-101's registration.
pub const RESNET101: ImageEntry = ImageEntry {
    name: "resnet101",
    doc: "ResNet-101: 2048 features",
    dim: 2048,
    published: Some(crate::published::RESNET101),
    open: |weights, _, place| frozen("resnet101", (weights, place), resnet101),
    train: Some(|weights, seed, norm, place| trainable("resnet101", (weights, seed, norm, place), resnet101)),
    ..RESNET18
};

type Built = std::result::Result<ResNet, WeightsError>;

fn resnet18(source: &Source<'_>) -> Built {
    ResNet::new(source, Kind::Basic, [2, 2, 2, 2])
}

fn resnet34(source: &Source<'_>) -> Built {
    ResNet::new(source, Kind::Basic, [3, 4, 6, 3])
}

fn resnet50(source: &Source<'_>) -> Built {
    ResNet::new(source, Kind::Bottleneck, [3, 4, 6, 3])
}

fn resnet101(source: &Source<'_>) -> Built {
    ResNet::new(source, Kind::Bottleneck, [3, 4, 23, 3])
}

/// Channels of the stem and within the blocks of the first stage; every further stage doubles them.
const WIDTH: usize = 64;

/// The two kinds of residual blocks.
#[derive(Clone, Copy)]
enum Kind {
    /// Two 3×3 convolutions.
    Basic,
    /// A 3×3 convolution between one that reduces the channels and one that expands them.
    Bottleneck,
}

impl Kind {
    /// Lists size, output channels and stride of a block's convolutions.
    fn convs(self, width: usize, stride: usize) -> Vec<[usize; 3]> {
        match self {
            Self::Basic => vec![[3, width, stride], [3, width, 1]],
            Self::Bottleneck => vec![[1, width, 1], [3, width, stride], [1, 4 * width, 1]],
        }
    }
}

/// The layers.
struct ResNet {
    stem: Conv,
    blocks: Vec<Block>,
    dim: usize,
}

impl ResNet {
    /// Makes a network of `repeats` blocks per stage.
    fn new(source: &Source<'_>, kind: Kind, repeats: [usize; 4]) -> Built {
        let stem = conv(source, "conv1", [7, 3, WIDTH, 2], Activation::Relu)?;
        let (mut blocks, mut channels) = (Vec::new(), WIDTH);
        for (stage, repeats) in repeats.into_iter().enumerate() {
            for repeat in 0..repeats {
                let stride = if stage > 0 && repeat == 0 { 2 } else { 1 };
                let convs = kind.convs(WIDTH << stage, stride);
                let block = format!("layer{}.{repeat}", stage + 1);
                blocks.push(Block::new(source, &block, &mut channels, stride, &convs)?);
            }
        }
        Ok(Self { stem, blocks, dim: channels })
    }
}

impl Architecture for ResNet {
    fn dim(&self) -> usize {
        self.dim
    }

    fn run(&self, images: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let halve = Window { stride: 2, padding: Padding::Symmetric(1) };
        let mut x = max_pool2d(&self.stem.forward(images, pass)?, 3, halve, false)?;
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        global_avg_pool(&x)
    }
}

/// A residual block: convolutions, then the sum with the block's input and a rectifier.
struct Block {
    /// All convolutions but the last.
    inner: Vec<Conv>,
    /// The last convolution; its rectifier follows the sum.
    last: Conv,
    /// Maps the input to the shape of the output if they differ.
    shortcut: Option<Conv>,
}

impl Block {
    /// Makes the block `name`, whose convolutions have the given size, output channels and stride; updates `channels`
    /// from the block's input to its output.
    fn new(
        source: &Source<'_>,
        name: &str,
        channels: &mut usize,
        stride: usize,
        convs: &[[usize; 3]],
    ) -> std::result::Result<Self, WeightsError> {
        let input = *channels;
        let mut inner = Vec::with_capacity(convs.len());
        for (index, &[size, out, stride]) in convs.iter().enumerate() {
            let shape = [size, *channels, out, stride];
            inner.push(conv(source, &format!("{name}.conv{}", index + 1), shape, Activation::Relu)?);
            *channels = out;
        }
        let last = inner.pop().expect("a block has convolutions");
        let fits = stride == 1 && input == *channels;
        let shortcut = [1, input, *channels, stride];
        let shortcut =
            (!fits).then(|| conv(source, &format!("{name}.downsample.0"), shortcut, Activation::None)).transpose()?;
        Ok(Self { inner, last, shortcut })
    }

    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let residual = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(x, pass)?,
            None => x,
        };
        let mut y = x.clone();
        for conv in &self.inner {
            y = conv.forward(&y, pass)?;
        }
        self.last.forward_add(&y, residual, pass)
    }
}

/// Makes a convolution whose padding keeps the image's size at stride 1.
fn conv(
    source: &Source<'_>,
    name: &str,
    [size, channels, out, stride]: [usize; 4],
    activation: Activation,
) -> std::result::Result<Conv, WeightsError> {
    source.normed_conv(&Plan {
        name,
        shape: [out, channels, size, size],
        window: Window { stride, padding: Padding::Symmetric(size / 2) },
        activation,
        init: Init::HeBackward,
    })
}
