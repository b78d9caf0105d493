//! Layers of transformers, for image and text encoders alike.
//!
//! Tokens are rows `(tokens, dim)`, sequence after sequence.

use candle_core::{Result, Tensor, Var};
use hashlab_kernels::conv::{Activation, FrozenConv, add};
use hashlab_kernels::linear;
use hashlab_kernels::transformer::{attention, gelu, layer_norm};

use crate::layers::Pass;
use crate::source::{Draw, Source};
use crate::weights::WeightsError;

type Built<T> = std::result::Result<T, WeightsError>;

/// A dense layer without activation.
pub(crate) enum Affine {
    /// Packed once, as a window of one pixel.
    Frozen(FrozenConv),
    /// Weight `(out, in)` and bias.
    Trainable([Var; 2]),
}

impl Affine {
    /// Makes the layer `name` of shape `(out, in)`, drawn like this.
    pub(crate) fn new(source: &Source<'_>, name: &str, shape: [usize; 2], draws: [Draw; 2]) -> Built<Self> {
        source.affine([&format!("{name}.weight"), &format!("{name}.bias")], shape, draws)
    }

    /// Maps `(tokens, in)` to `(tokens, out)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => rows(&conv.forward(&pixels(x)?)?),
            Self::Trainable([weight, bias]) => linear(x, &pass.value(weight), Some(&pass.value(bias))),
        }
    }

    /// The same plus `residual`.
    pub(crate) fn forward_add(&self, x: &Tensor, residual: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => rows(&conv.forward_add(&pixels(x)?, &pixels(residual)?)?),
            Self::Trainable(_) => add(&self.forward(x, pass)?, residual, Activation::None),
        }
    }
}

/// Views rows as an image.
fn pixels(x: &Tensor) -> Result<Tensor> {
    x.unsqueeze(0)?.unsqueeze(0)
}

fn rows(x: &Tensor) -> Result<Tensor> {
    x.squeeze(0)?.squeeze(0)
}

/// A layer norm.
pub(crate) struct LayerNorm {
    weight: Var,
    bias: Var,
    eps: f64,
}

impl LayerNorm {
    /// Makes the norm `name` over rows of `dim`.
    pub(crate) fn new(source: &Source<'_>, name: &str, dim: usize, eps: f64) -> Built<Self> {
        let weight = source.var(&format!("{name}.weight"), &[dim], Draw::Constant(1.0))?;
        Ok(Self { weight, bias: source.var(&format!("{name}.bias"), &[dim], Draw::Constant(0.0))?, eps })
    }

    /// Normalises the rows of `(…, dim)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        layer_norm(x, [&pass.value(&self.weight), &pass.value(&self.bias)], self.eps)
    }
}

/// Attention of the tokens of a sequence to each other.
pub(crate) struct SelfAttention {
    pub(crate) inputs: Inputs,
    pub(crate) output: Affine,
    pub(crate) heads: usize,
}

/// What makes queries, keys and values.
pub(crate) enum Inputs {
    /// One layer, whose columns are those of all three.
    One(Affine),
    /// A layer each.
    Three(Box<[Affine; 3]>),
}

impl Inputs {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<[Tensor; 3]> {
        match self {
            Self::One(layer) => {
                let (all, dim) = (layer.forward(x, pass)?, x.dim(1)?);
                Ok([all.narrow(1, 0, dim)?, all.narrow(1, dim, dim)?, all.narrow(1, 2 * dim, dim)?])
            }
            Self::Three(layers) => {
                let [q, k, v] = layers.each_ref().map(|layer| layer.forward(x, pass));
                Ok([q?, k?, v?])
            }
        }
    }
}

impl SelfAttention {
    /// Makes the module `name`, laid out like `torch.nn.MultiheadAttention`; it starts as PyTorch's.
    pub(crate) fn new(source: &Source<'_>, name: &str, dim: usize, heads: usize) -> Built<Self> {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{name}.in_proj_{part}"));
        let (xavier, zero) = (Draw::Uniform((6.0 / (4 * dim) as f64).sqrt()), Draw::Constant(0.0));
        let inputs = Inputs::One(source.affine([&weight, &bias], [3 * dim, dim], [xavier, zero])?);
        let within = Draw::Uniform((dim as f64).sqrt().recip());
        let output = Affine::new(source, &format!("{name}.out_proj"), [dim, dim], [within, zero])?;
        Ok(Self { inputs, output, heads })
    }

    /// Maps sequences of `lengths` tokens, together `(tokens, dim)`, to the same shape and adds `residual`.
    pub(crate) fn forward_add(
        &self,
        x: &Tensor,
        lengths: &[usize],
        residual: &Tensor,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let inputs = self.inputs.forward(x, pass)?;
        self.output.forward_add(&attention(inputs.each_ref(), lengths, self.heads)?, residual, pass)
    }
}

/// Two dense layers with a GELU between them.
pub(crate) struct Mlp([Affine; 2]);

impl Mlp {
    /// Makes the layers called `names`, which map `dim` to `hidden` and back, drawn like this.
    pub(crate) fn new(
        source: &Source<'_>,
        names: [String; 2],
        [dim, hidden]: [usize; 2],
        draws: [Draw; 2],
    ) -> Built<Self> {
        let layer = |name: &str, shape| Affine::new(source, name, shape, draws);
        Ok(Self([layer(&names[0], [hidden, dim])?, layer(&names[1], [dim, hidden])?]))
    }

    /// Maps `(tokens, dim)` to the same shape and adds `residual`.
    pub(crate) fn forward_add(&self, x: &Tensor, residual: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.0[1].forward_add(&gelu(&self.0[0].forward(x, pass)?)?, residual, pass)
    }
}
