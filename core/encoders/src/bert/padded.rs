//! BERT over texts of one length with a mask of their tokens, the interface of transformers.

use candle_core::{Device, Result, Tensor, Var};
use hashlab_rng::Stream;

use super::layers::{Layers, Sizes};
use super::names;
use crate::layers::Pass;
use crate::source::{Source, State};
use crate::weights::{IMAGENET, Weights};
use crate::{EncoderError, Norm};

/// A text encoder over padded texts, whose features are those of every token.
pub struct Bert {
    layers: Layers,
    state: State,
}

impl Bert {
    /// Builds the frozen encoder on a device. Its attention has `heads` heads; the shapes of the tensors do not
    /// determine them.
    ///
    /// # Errors
    /// If the weights are not those of an encoder, or `heads` does not divide the length of its features.
    pub fn open(weights: &Weights, heads: usize, device: &Device) -> std::result::Result<Self, EncoderError> {
        Self::new(weights, heads, device, |weights, device| Source::frozen("bert", Some(weights), device.into()))
    }

    /// Builds the encoder to be trained on a device, without dropout.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn train(weights: &Weights, heads: usize, device: &Device) -> std::result::Result<Self, EncoderError> {
        Self::new(weights, heads, device, |weights, device| {
            Ok(Source::trainable("bert", Some(weights), (0, Norm::Frozen), device.into()))
        })
    }

    fn new(
        weights: &Weights,
        heads: usize,
        device: &Device,
        source: impl for<'a> FnOnce(&'a Weights, &'a Device) -> std::result::Result<Source<'a>, EncoderError>,
    ) -> std::result::Result<Self, EncoderError> {
        let (weights, distilled) = (weights.renamed(names::canonical), names::is_distilled(weights));
        let source = source(&weights, device)?;
        let layers = Layers::new(&source, Sizes::of(&weights, heads, distilled)?, 0.0)?;
        let (state, _) = source.finish(IMAGENET)?;
        Ok(Self { layers, state })
    }

    /// Returns the length of a feature vector.
    pub fn dim(&self) -> usize {
        self.layers.sizes.dim
    }

    /// Returns the largest number of tokens of a text.
    pub fn max_tokens(&self) -> usize {
        self.layers.sizes.positions
    }

    /// Maps token ids `(n, t)` in u32, on the encoder's device, to features `(n, t, dim)`.
    /// `mask`, of the same shape, is 0 for padding, whose features are 0 and are not computed. The features of a text
    /// depend neither on its padding nor on the other texts. Spreads over the rayon pool it is called from; inside
    /// [`hashlab_kernels::threads::serial`] it stays on its thread.
    /// from; inside [`hashlab_kernels::threads::serial`] it stays on its thread.
    ///
    /// # Errors
    /// If shapes differ, a text has no token, an id is not in the vocabulary or `t` is above [`Self::max_tokens`].
    pub fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        self.layers.padded(ids, mask, &mut Pass::evaluation())
    }

    /// Computes the same features, differentiably.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_train(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let mut draws = no_dropout;
        self.layers.padded(ids, mask, &mut Pass::training(&mut draws))
    }

    /// Maps features `(n, t, dim)` to `(n, dim)`: the first token's through the pooler, a dense layer with tanh. It is
    /// differentiable if `features` are.
    ///
    /// # Errors
    /// If the shape is another one, or the weights have no pooler.
    pub fn pooled(&self, features: &Tensor) -> Result<Tensor> {
        let mut draws = no_dropout;
        let pass = if features.track_op() { Pass::training(&mut draws) } else { Pass::evaluation() };
        self.layers.pool(&features.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?, &pass)
    }

    /// Returns the trainable parameters by name, in a fixed order; those of a frozen encoder exclude its dense layers.
    ///
    /// A pass gives each of them a gradient, except for the pooler's, which [`Self::pooled`] gives.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.state.vars.clone()
    }
}

fn no_dropout(layer: &str, _: usize) -> Stream {
    unreachable!("`{layer}` has no dropout")
}

/// Returns the mean of the features `(n, t, dim)` of each text's tokens, `(n, dim)`: where `mask`, `(n, t)`, is not 0.
///
/// # Errors
/// If the shapes do not fit together.
pub fn mean(features: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let present = mask.ne(0.0)?.to_dtype(features.dtype())?;
    features.broadcast_mul(&present.unsqueeze(2)?)?.sum(1)?.broadcast_div(&present.sum_keepdim(1)?)
}
