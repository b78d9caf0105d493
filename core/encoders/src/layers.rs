//! Layers of frozen and trainable networks, so that an architecture is written once.

use candle_core::{Result, Tensor, Var};
use hashlab_kernels::conv::{
    Activation, FrozenConv, Moments, Window, add, batch_norm, conv2d, conv2d_norm, depthwise_conv2d, fixed_norm,
};
use hashlab_kernels::transformer::{Gelu, gelu};
use hashlab_kernels::{linear, linear_relu, widen};

use crate::Draws;

/// Mode of a pass through a network: evaluation, or training with its dropout streams.
pub(crate) struct Pass<'a>(Option<Draws<'a>>);

impl<'a> Pass<'a> {
    /// Evaluation: no dropout, no graph.
    pub(crate) fn evaluation() -> Self {
        Self(None)
    }

    /// Training: differentiable, with dropout from `draws`.
    pub(crate) fn training(draws: Draws<'a>) -> Self {
        Self(Some(draws))
    }

    /// Whether the pass is differentiable.
    pub(crate) fn is_training(&self) -> bool {
        self.0.is_some()
    }

    /// Returns a variable's value, through which only a training pass is differentiated.
    pub(crate) fn value(&self, var: &Var) -> Tensor {
        if self.0.is_some() { var.as_tensor().clone() } else { var.as_detached_tensor() }
    }

    /// In training, zeroes each element with probability `p` and scales the others by `1 / (1 − p)`.
    pub(crate) fn dropout(&mut self, name: &str, x: &Tensor, p: f64) -> Result<Tensor> {
        let Some(draws) = &mut self.0 else { return Ok(x.clone()) };
        let (mut stream, keep) = (draws(name, x.elem_count()), (1.0 / (1.0 - p)) as f32);
        let mask: Vec<f32> = (0..x.elem_count()).map(|_| if stream.bernoulli(p) { 0.0 } else { keep }).collect();
        x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?
    }
}

/// A convolution with its bias or norm and its activation.
pub(crate) enum Conv {
    /// Weights packed once, a batch norm folded into them.
    Frozen(FrozenConv),
    /// With variables.
    Trainable(Convolution),
}

/// A convolution with variables.
pub(crate) struct Convolution {
    /// The filters in PyTorch's order.
    pub(crate) weight: Var,
    /// Bias or batch norm.
    pub(crate) then: Then,
    /// Dense or depthwise.
    pub(crate) sums: Sums,
    /// Window.
    pub(crate) window: Window,
    /// Activation.
    pub(crate) activation: Activation,
}

/// Input channels of the filters of a convolution.
#[derive(Clone, Copy)]
pub(crate) enum Sums {
    /// All channels.
    Dense,
    /// One channel each.
    Depthwise,
}

/// Layer between a convolution and its activation.
pub(crate) enum Then {
    /// No layer.
    Nothing,
    /// A bias per channel.
    Bias(Var),
    /// A bias per channel that is not trained.
    Constant(Var),
    /// A batch norm.
    Norm(BatchNorm),
}

impl Conv {
    /// Maps `(n, h, w, in)` to `(n, h', w', out)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => conv.forward(x),
            Self::Trainable(conv) => conv.forward(x, conv.activation, pass),
        }
    }

    /// Computes the same with `residual` added before the activation.
    pub(crate) fn forward_add(&self, x: &Tensor, residual: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => conv.forward_add(x, residual),
            Self::Trainable(conv) => add(&conv.forward(x, Activation::None, pass)?, residual, conv.activation),
        }
    }
}

impl Convolution {
    fn forward(&self, x: &Tensor, activation: Activation, pass: &Pass<'_>) -> Result<Tensor> {
        let (weight, window) = (pass.value(&self.weight), self.window);
        let convolve = match self.sums {
            Sums::Dense => conv2d,
            Sums::Depthwise => depthwise_conv2d,
        };
        let zeros = || Tensor::zeros(weight.dim(0)?, weight.dtype(), weight.device());
        match &self.then {
            Then::Nothing => convolve(x, &weight, &zeros()?, window, activation),
            Then::Bias(bias) => convolve(x, &weight, &pass.value(bias), window, activation),
            Then::Constant(bias) => convolve(x, &weight, &bias.as_detached_tensor(), window, activation),
            Then::Norm(norm) if !norm.moves(pass) && matches!(self.sums, Sums::Dense) => {
                let ([weight_of, bias], moments) = norm.constants();
                let norm = (&moments, [&weight_of, &bias], BatchNorm::EPS);
                conv2d_norm(x, &weight, norm, window, activation)
            }
            Then::Norm(norm) => {
                norm.forward(&convolve(x, &weight, &zeros()?, window, Activation::None)?, activation, pass)
            }
        }
    }
}

/// A batch norm with its running statistics.
pub(crate) struct BatchNorm {
    pub(crate) weight: Var,
    pub(crate) bias: Var,
    pub(crate) mean: Var,
    pub(crate) variance: Var,
    /// Whether training normalizes by the statistics of the batch, and updates the running ones.
    pub(crate) of_batch: bool,
}

impl BatchNorm {
    /// As `torch.nn.BatchNorm2d`.
    pub(crate) const EPS: f64 = 1e-5;
    const MOMENTUM: f64 = 0.1;

    /// Whether this pass normalizes by the batch's own statistics.
    fn moves(&self, pass: &Pass<'_>) -> bool {
        self.of_batch && pass.0.is_some()
    }

    /// Weight and bias, and the running statistics, without gradients.
    fn constants(&self) -> ([Tensor; 2], Moments) {
        let [weight, bias, mean, variance] =
            [&self.weight, &self.bias, &self.mean, &self.variance].map(|var| var.as_detached_tensor());
        ([weight, bias], Moments { mean, variance })
    }

    fn forward(&self, x: &Tensor, activation: Activation, pass: &Pass<'_>) -> Result<Tensor> {
        if self.moves(pass) {
            let (y, moments) = batch_norm(x, [&self.weight, &self.bias], Self::EPS, activation)?;
            self.update(&moments, x.elem_count() / self.mean.elem_count())?;
            return Ok(y);
        }
        let ([weight, bias], moments) = self.constants();
        fixed_norm(x, &moments, [&weight, &bias], Self::EPS, activation)
    }

    /// Moves the running statistics towards those of a batch of `count` values per channel.
    fn update(&self, moments: &Moments, count: usize) -> Result<()> {
        let blend = |running: &Var, now: &Tensor| {
            running.set(&((running.as_detached_tensor() * (1.0 - Self::MOMENTUM))? + (now * Self::MOMENTUM)?)?)
        };
        blend(&self.mean, &moments.mean)?;
        // The batch is normalized by its own variance; the running variance takes the unbiased estimate.
        blend(&self.variance, &(&moments.variance * (count as f64 / (count - 1) as f64))?)
    }
}

/// A dense layer with a rectifier, over all pixels of an image.
pub(crate) enum Dense {
    /// As one window over the whole image: PyTorch flattens `(channels, h, w)`, so the weight's rows have the order of
    /// a convolution's weight.
    Frozen(FrozenConv),
    /// Weight `(out, channels · h · w)` and bias.
    Trainable([Var; 2]),
}

impl Dense {
    /// Maps `(n, h, w, channels)` to `(n, 1, 1, out)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => conv.forward(x),
            Self::Trainable([weight, bias]) => {
                let flat = x.permute((0, 3, 1, 2))?.contiguous()?.reshape((x.dim(0)?, 1, 1, ()))?;
                linear_relu(&flat, &pass.value(weight), Some(&pass.value(bias)))
            }
        }
    }
}

/// A dense layer over the rows of a matrix, without activation.
pub(crate) enum Affine {
    /// Packed once, as a window of one pixel.
    Frozen(FrozenConv),
    /// With variables.
    Trainable {
        /// `(out, in)`.
        weight: Var,
        /// `(out)`.
        bias: Option<Var>,
        /// A factor per output, `(out)`.
        scale: Option<Var>,
    },
}

impl Affine {
    /// Maps `(tokens, in)` to `(tokens, out)`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => rows(&conv.forward(&pixels(x)?)?),
            Self::Trainable { weight, bias, scale } => {
                let bias = bias.as_ref().map(|bias| pass.value(bias));
                let y = linear(x, &pass.value(weight), bias.as_ref())?;
                let Some(scale) = scale else { return Ok(y) };
                // The gradient of the factor is a sum over all tokens.
                widen(&y)?.broadcast_mul(&widen(&pass.value(scale))?)?.to_dtype(y.dtype())
            }
        }
    }

    /// The same with a GELU behind it.
    pub(crate) fn forward_gelu(&self, x: &Tensor, form: Gelu, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => rows(&conv.forward_gelu(&pixels(x)?, form)?),
            Self::Trainable { .. } => gelu(&self.forward(x, pass)?, form),
        }
    }

    /// The same plus `residual`.
    pub(crate) fn forward_add(&self, x: &Tensor, residual: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Frozen(conv) => rows(&conv.forward_add(&pixels(x)?, &pixels(residual)?)?),
            Self::Trainable { .. } => add(&self.forward(x, pass)?, residual, Activation::None),
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
