//! ResNets (He et al., CVPR 2016) with 18, 34, 50 and 101 layers, frozen.
//!
//! The features are the mean over all pixels of the last block, 512 or 2048 numbers: torchvision's network without
//! `fc`. As there, a bottleneck's stride is in its 3×3 convolution ("version 1.5"), not in the first one.

use candle_core::Tensor;
use hashlab_kernels::conv::{Activation, FrozenConv, Padding, Window, global_avg_pool, max_pool2d};

use crate::weights::{Reader, Weights, WeightsError};
use crate::{Backbone, BackboneError, Entry};

/// ResNet-18's registration.
pub const RESNET18: Entry = Entry {
    name: "resnet18",
    doc: "ResNet-18, pretrained and frozen: 512 features",
    needs_weights: true,
    dim: 512,
    image_size: 224,
    open: |weights, _| open("resnet18", Kind::Basic, [2, 2, 2, 2], weights),
    train: None,
};

/// ResNet-34's registration.
pub const RESNET34: Entry = Entry {
    name: "resnet34",
    doc: "ResNet-34, pretrained and frozen: 512 features",
    open: |weights, _| open("resnet34", Kind::Basic, [3, 4, 6, 3], weights),
    ..RESNET18
};

/// ResNet-50's registration.
pub const RESNET50: Entry = Entry {
    name: "resnet50",
    doc: "ResNet-50, pretrained and frozen: 2048 features",
    dim: 2048,
    open: |weights, _| open("resnet50", Kind::Bottleneck, [3, 4, 6, 3], weights),
    ..RESNET18
};

/// ResNet-101's registration.
pub const RESNET101: Entry = Entry {
    name: "resnet101",
    doc: "ResNet-101, pretrained and frozen: 2048 features",
    dim: 2048,
    open: |weights, _| open("resnet101", Kind::Bottleneck, [3, 4, 23, 3], weights),
    ..RESNET18
};

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

/// Opens a network of `blocks` blocks per stage.
fn open(
    name: &'static str,
    kind: Kind,
    blocks: [usize; 4],
    weights: Option<&Weights>,
) -> Result<Box<dyn Backbone>, BackboneError> {
    let weights = weights.ok_or(BackboneError::NeedsWeights(name))?;
    Ok(Box::new(ResNet::new(name, kind, blocks, weights)?))
}

/// The network.
struct ResNet {
    name: &'static str,
    dim: usize,
    stem: FrozenConv,
    blocks: Vec<Block>,
    normalize: [[f32; 3]; 2],
}

impl ResNet {
    /// Builds the network; the header of `weights` chooses the normalisation.
    fn new(name: &'static str, kind: Kind, repeats: [usize; 4], weights: &Weights) -> Result<Self, WeightsError> {
        let reader = Reader::new(weights, name);
        let stem = conv(&reader, "conv1", [7, 3, WIDTH, 2], Activation::Relu)?;
        let (mut blocks, mut channels) = (Vec::new(), WIDTH);
        for (stage, repeats) in repeats.into_iter().enumerate() {
            for repeat in 0..repeats {
                let stride = if stage > 0 && repeat == 0 { 2 } else { 1 };
                let convs = kind.convs(WIDTH << stage, stride);
                let block = format!("layer{}.{repeat}", stage + 1);
                blocks.push(Block::new(&reader, &block, &mut channels, stride, &convs)?);
            }
        }
        reader.finish()?;
        Ok(Self { name, dim: channels, stem, blocks, normalize: weights.normalize()? })
    }
}

impl Backbone for ResNet {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn normalize(&self) -> [[f32; 3]; 2] {
        self.normalize
    }

    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let halve = Window { stride: 2, padding: Padding::Symmetric(1) };
        let mut x = max_pool2d(&self.stem.forward(images)?, 3, halve, false)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        global_avg_pool(&x)
    }
}

/// A residual block: convolutions, then the sum with the block's input and a rectifier.
struct Block {
    /// All convolutions but the last.
    inner: Vec<FrozenConv>,
    /// Its pass over memory includes the sum and the rectifier.
    last: FrozenConv,
    /// Fits the input to the output where their shapes differ.
    shortcut: Option<FrozenConv>,
}

impl Block {
    /// Reads the block `name`, whose convolutions have the given size, output channels and stride; updates `channels`
    /// from the block's input to its output.
    fn new(
        reader: &Reader<'_>,
        name: &str,
        channels: &mut usize,
        stride: usize,
        convs: &[[usize; 3]],
    ) -> Result<Self, WeightsError> {
        let input = *channels;
        let mut inner = Vec::with_capacity(convs.len());
        for (index, &[size, out, stride]) in convs.iter().enumerate() {
            let shape = [size, *channels, out, stride];
            inner.push(conv(reader, &format!("{name}.conv{}", index + 1), shape, Activation::Relu)?);
            *channels = out;
        }
        let last = inner.pop().expect("a block has convolutions");
        let fits = stride == 1 && input == *channels;
        let shortcut = [1, input, *channels, stride];
        let shortcut =
            (!fits).then(|| conv(reader, &format!("{name}.downsample.0"), shortcut, Activation::None)).transpose()?;
        Ok(Self { inner, last, shortcut })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let residual = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(x)?,
            None => x,
        };
        let mut y = x.clone();
        for conv in &self.inner {
            y = conv.forward(&y)?;
        }
        self.last.forward_add(&y, residual)
    }
}

/// Reads a convolution that pads as much as keeps the image's size at stride 1.
fn conv(
    reader: &Reader<'_>,
    name: &str,
    [size, channels, out, stride]: [usize; 4],
    activation: Activation,
) -> Result<FrozenConv, WeightsError> {
    let [w, b] = reader.conv(name, [out, channels, size, size])?;
    let window = Window { stride, padding: Padding::Symmetric(size / 2) };
    Ok(FrozenConv::dense(&w, &b, window, activation)?)
}
