//! Layers of transformers, for image and text encoders alike.

use candle_core::{Result, Tensor, Var};
use hashlab_kernels::linear;
use hashlab_kernels::transformer::{gelu, layer_norm, softmax};

use crate::layers::Pass;
use crate::source::{Draw, Source};
use crate::weights::WeightsError;

type Built<T> = std::result::Result<T, WeightsError>;

/// A dense layer without activation.
pub(crate) struct Affine {
    weight: Var,
    bias: Var,
}

impl Affine {
    /// Makes a layer of shape `(out, in)` from the tensors of these names, drawn like this.
    pub(crate) fn new(source: &Source<'_>, names: [&str; 2], shape: [usize; 2], draws: [Draw; 2]) -> Built<Self> {
        let weight = source.var(names[0], &shape, draws[0])?;
        Ok(Self { weight, bias: source.var(names[1], &shape[..1], draws[1])? })
    }

    /// Maps `(…, in)` to `(…, out)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        linear(x, &pass.value(&self.weight), Some(&pass.value(&self.bias)))
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

    /// Normalises the rows of `(…, dim)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        layer_norm(x, [&pass.value(&self.weight), &pass.value(&self.bias)], self.eps)
    }
}

/// Scaled dot-product attention (Vaswani et al., NeurIPS 2017, equation 1) with `heads` heads.
///
/// Queries, keys and values are `(n, tokens, dim)`, each head having its share of the columns; so is the result.
pub(crate) fn attend(tensors: [&Tensor; 3], heads: usize) -> Result<Tensor> {
    let (n, tokens, dim) = tensors[0].dims3()?;
    let split = |x: &Tensor| x.reshape((n, (), heads, dim / heads))?.transpose(1, 2)?.contiguous();
    let [q, k, v] = [split(tensors[0])?, split(tensors[1])?, split(tensors[2])?];
    let weights = softmax(&q.matmul(&k.t()?)?, (dim as f64 / heads as f64).sqrt().recip())?;
    weights.matmul(&v)?.transpose(1, 2)?.contiguous()?.reshape((n, tokens, dim))
}

/// Attention of tokens to each other, its three inputs made by one layer, as in `torch.nn.MultiheadAttention`.
pub(crate) struct SelfAttention {
    inputs: Affine,
    output: Affine,
    heads: usize,
}

impl SelfAttention {
    /// Makes the module `name`; it starts as PyTorch's.
    pub(crate) fn new(source: &Source<'_>, name: &str, dim: usize, heads: usize) -> Built<Self> {
        let names = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"];
        let [in_weight, in_bias, out_weight, out_bias] = names.map(|part| format!("{name}.{part}"));
        let (xavier, zero) = (Draw::Uniform((6.0 / (4 * dim) as f64).sqrt()), Draw::Constant(0.0));
        let inputs = Affine::new(source, [&in_weight, &in_bias], [3 * dim, dim], [xavier, zero])?;
        let within = Draw::Uniform((dim as f64).sqrt().recip());
        let output = Affine::new(source, [&out_weight, &out_bias], [dim, dim], [within, zero])?;
        Ok(Self { inputs, output, heads })
    }

    /// Maps `(n, tokens, dim)` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let parts = self.inputs.forward(x, pass)?.chunk(3, 2)?;
        self.output.forward(&attend([&parts[0], &parts[1], &parts[2]], self.heads)?, pass)
    }
}

/// Two dense layers with a GELU between them.
pub(crate) struct Mlp([Affine; 2]);

impl Mlp {
    /// Makes the layers called `names`, which map `dim` to `hidden` and back; they start as torchvision's.
    pub(crate) fn new(source: &Source<'_>, names: [String; 2], dim: usize, hidden: usize) -> Built<Self> {
        let draws = [Draw::Uniform((6.0 / (dim + hidden) as f64).sqrt()), Draw::Normal(1e-6)];
        let layer = |name: &str, shape: [usize; 2]| {
            Affine::new(source, [&format!("{name}.weight"), &format!("{name}.bias")], shape, draws)
        };
        Ok(Self([layer(&names[0], [hidden, dim])?, layer(&names[1], [dim, hidden])?]))
    }

    /// Maps `(…, dim)` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.0[1].forward(&gelu(&self.0[0].forward(x, pass)?)?, pass)
    }
}
