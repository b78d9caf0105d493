//! Layers of transformers, for image and text encoders alike.
//!
//! Tokens are rows `(tokens, dim)`, sequence after sequence.

use candle_core::{Result, Tensor, Var};
use hashlab_kernels::transformer::{Gelu, attention, causal_attention, layer_norm};

use crate::layers::{Affine, Pass};
use crate::source::{AffinePlan, Draw, Source};
use crate::weights::WeightsError;

type Built<T> = std::result::Result<T, WeightsError>;

/// Placeholder distributions of layers whose sizes and values come from a file.
pub(crate) const STORED: [Draw; 2] = [Draw::Constant(0.0); 2];

/// Construction of the dense layers of transformers.
impl Affine {
    /// Makes the layer `name` of shape `(out, in)` from the distributions `draws`.
    pub(crate) fn new(source: &Source<'_>, name: &str, shape: [usize; 2], draws: [Draw; 2]) -> Built<Self> {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{name}.{part}"));
        source.affine(&AffinePlan { weight: &weight, bias: Some(&bias), scale: None, shape, draws })
    }

    /// Makes the layer `name` of shape `(out, in)` with zeros as its bias.
    pub(crate) fn unbiased(source: &Source<'_>, name: &str, shape: [usize; 2]) -> Built<Self> {
        let weight = format!("{name}.weight");
        source.affine(&AffinePlan { weight: &weight, bias: None, scale: None, shape, draws: STORED })
    }

    /// Makes the layer `name` of shape `(out, in)`, whose outputs are multiplied by the vector `scale`.
    pub(crate) fn scaled(source: &Source<'_>, name: &str, scale: &str, shape: [usize; 2]) -> Built<Self> {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{name}.{part}"));
        source.affine(&AffinePlan { weight: &weight, bias: Some(&bias), scale: Some(scale), shape, draws: STORED })
    }
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

    /// Normalizes the rows of `(…, dim)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        layer_norm(x, [&pass.value(&self.weight), &pass.value(&self.bias)], self.eps)
    }
}

/// Self-attention within each sequence.
pub(crate) struct SelfAttention {
    pub(crate) inputs: Inputs,
    pub(crate) output: Affine,
    pub(crate) heads: usize,
    /// Whether a token attends to itself and earlier ones only.
    pub(crate) causal: bool,
}

/// Layers of queries, keys and values.
pub(crate) enum Inputs {
    /// One layer, whose columns are those of all three.
    One(Affine),
    /// Three layers.
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
    /// Makes the module `name` with the layout of `torch.nn.MultiheadAttention`, and its initialization.
    pub(crate) fn new(source: &Source<'_>, name: &str, dim: usize, heads: usize) -> Built<Self> {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{name}.in_proj_{part}"));
        let (xavier, zero) = (Draw::Uniform((6.0 / (4 * dim) as f64).sqrt()), Draw::Constant(0.0));
        let inputs = AffinePlan {
            weight: &weight,
            bias: Some(&bias),
            scale: None,
            shape: [3 * dim, dim],
            draws: [xavier, zero],
        };
        let inputs = Inputs::One(source.affine(&inputs)?);
        let within = Draw::Uniform((dim as f64).sqrt().recip());
        let output = Affine::new(source, &format!("{name}.out_proj"), [dim, dim], [within, zero])?;
        Ok(Self { inputs, output, heads, causal: false })
    }

    /// Maps sequences of `lengths` tokens, together `(tokens, dim)`, to the same shape and adds `residual`.
    pub(crate) fn forward_add(
        &self,
        x: &Tensor,
        lengths: &[usize],
        residual: &Tensor,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        self.output.forward_add(&self.mix(x, lengths, pass)?, residual, pass)
    }

    /// Applies the module without its last layer.
    pub(crate) fn mix(&self, x: &Tensor, lengths: &[usize], pass: &Pass<'_>) -> Result<Tensor> {
        let inputs = self.inputs.forward(x, pass)?;
        let attend = if self.causal { causal_attention } else { attention };
        attend(inputs.each_ref(), lengths, self.heads)
    }
}

/// Two dense layers with a GELU between them.
pub(crate) struct Mlp {
    pub(crate) layers: [Affine; 2],
    pub(crate) activation: Gelu,
}

impl Mlp {
    /// Makes the layers `names`, which map `dim` to `hidden` and back, from the distributions `draws`.
    pub(crate) fn new(
        source: &Source<'_>,
        names: [String; 2],
        [dim, hidden]: [usize; 2],
        draws: [Draw; 2],
    ) -> Built<Self> {
        let layer = |name: &str, shape| Affine::new(source, name, shape, draws);
        let layers = [layer(&names[0], [hidden, dim])?, layer(&names[1], [dim, hidden])?];
        Ok(Self { layers, activation: Gelu::Exact })
    }

    /// Maps `(tokens, dim)` to the same shape and adds `residual`.
    pub(crate) fn forward_add(&self, x: &Tensor, residual: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.layers[1].forward_add(&self.hidden(x, pass)?, residual, pass)
    }

    /// Maps `(tokens, dim)` to `(tokens, hidden)`: the module without its last layer.
    pub(crate) fn hidden(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.layers[0].forward_gelu(x, self.activation, pass)
    }
}

/// Attention and dense layers, each after a norm and added to its input.
pub(crate) struct PreNormBlock {
    pub(crate) norms: [LayerNorm; 2],
    pub(crate) attention: SelfAttention,
    pub(crate) mlp: Mlp,
}

impl PreNormBlock {
    /// Maps sequences of `lengths` tokens, together `(tokens, dim)`, to the same shape.
    pub(crate) fn forward(&self, x: &Tensor, lengths: &[usize], pass: &Pass<'_>) -> Result<Tensor> {
        let x = self.attention.forward_add(&self.norms[0].forward(x, pass)?, lengths, x, pass)?;
        self.mlp.forward_add(&self.norms[1].forward(&x, pass)?, &x, pass)
    }
}

/// Maps images through blocks: `(n, tokens, dim)` to the same shape.
pub(crate) fn run_blocks(blocks: &[PreNormBlock], x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
    let (n, tokens, dim) = x.dims3()?;
    let (lengths, mut x) = (vec![tokens; n], x.flatten(0, 1)?);
    for block in blocks {
        x = block.forward(&x, &lengths, pass)?;
    }
    x.reshape((n, tokens, dim))
}
