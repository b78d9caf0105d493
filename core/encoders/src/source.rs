//! Source of a network's layers: a weights file, or draws from a seed.

use std::cell::RefCell;

use candle_core::{DType, Tensor, Var};
use hashlab_kernels::conv::{Activation, FrozenConv, Padding, Window};
use hashlab_rng::stream;

use crate::layers::{Affine, BatchNorm, Conv, Convolution, Dense, Sums, Then};
use crate::weights::{Reader, Weights, WeightsError, norm_after};
use crate::{EncoderError, Norm, Place};

/// Distributions of the weight and the bias of a layer, for networks without a file.
#[derive(Clone, Copy)]
pub(crate) enum Init {
    /// Normal weights that preserve the variance of rectified activations in the forward pass (He et al., ICCV 2015);
    /// bias 0.
    HeForward,
    /// Normal weights that preserve it in the backward pass, as in torchvision's ResNets and VGGs; bias 0.
    HeBackward,
    /// Normal weights of this deviation; bias 0.
    Normal(f64),
    /// PyTorch's default: weight and bias uniform within one over the root of the number of inputs.
    Default,
}

/// The distribution of a tensor's entries.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    /// A constant.
    Constant(f64),
    /// Normal around 0 with this deviation.
    Normal(f64),
    /// Uniform from minus this to this.
    Uniform(f64),
}

impl Init {
    /// The distributions of a weight `(out, in, …)` and of its bias.
    fn draws(self, shape: &[usize]) -> [Draw; 2] {
        let taps: usize = shape[2..].iter().product();
        let (inputs, outputs) = ((shape[1] * taps) as f64, (shape[0] * taps) as f64);
        match self {
            Self::HeForward => [Draw::Normal((2.0 / inputs).sqrt()), Draw::Constant(0.0)],
            Self::HeBackward => [Draw::Normal((2.0 / outputs).sqrt()), Draw::Constant(0.0)],
            Self::Normal(deviation) => [Draw::Normal(deviation), Draw::Constant(0.0)],
            Self::Default => [Draw::Uniform(inputs.sqrt().recip()); 2],
        }
    }
}

/// Description of a convolution.
pub(crate) struct Plan<'a> {
    /// Its name in torchvision.
    pub(crate) name: &'a str,
    /// `(out, in, kh, kw)`.
    pub(crate) shape: [usize; 4],
    pub(crate) window: Window,
    pub(crate) activation: Activation,
    pub(crate) init: Init,
}

impl Plan<'_> {
    fn trainable(&self, weight: Var, then: Then, sums: Sums) -> Conv {
        Conv::Trainable(Convolution { weight, then, sums, window: self.window, activation: self.activation })
    }
}

/// Description of a dense layer over tokens.
pub(crate) struct AffinePlan<'a> {
    /// The name of its weight.
    pub(crate) weight: &'a str,
    /// The name of its bias, if it has one.
    pub(crate) bias: Option<&'a str>,
    /// The name of a factor per output, if it has one.
    pub(crate) scale: Option<&'a str>,
    /// `(out, in)`.
    pub(crate) shape: [usize; 2],
    /// Distributions of weight and bias.
    pub(crate) draws: [Draw; 2],
}

/// Factory of a network's layers, which records their variables.
pub(crate) struct Source<'a> {
    /// Reader of the weights file; `None`: parameters are drawn.
    reader: Option<Reader<'a>>,
    place: Place<'a>,
    /// Whether the file may hold other parts of the network.
    part: bool,
    seed: u64,
    /// Batch norms in training; `None` for a frozen network.
    norm: Option<Norm>,
    state: RefCell<State>,
}

/// The variables of a network by name, in the order in which they were made.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) vars: Vec<(String, Var)>,
    pub(crate) buffers: Vec<(String, Var)>,
}

impl<'a> Source<'a> {
    /// Makes frozen layers.
    pub(crate) fn frozen(
        encoder: &'static str,
        weights: Option<&'a Weights>,
        place: Place<'a>,
    ) -> Result<Self, EncoderError> {
        let weights = weights.ok_or(EncoderError::NeedsWeights(encoder))?;
        let reader = Some(Reader::new(weights, encoder, place));
        Ok(Self { reader, place, part: false, seed: 0, norm: None, state: RefCell::default() })
    }

    /// Makes frozen layers whose parameters are drawn.
    pub(crate) fn drawn(seed: u64, place: Place<'a>) -> Self {
        Self { reader: None, place, part: false, seed, norm: None, state: RefCell::default() }
    }

    /// Makes trainable layers, initialized from `weights` or, without them, from draws.
    pub(crate) fn trainable(
        encoder: &'static str,
        weights: Option<&'a Weights>,
        (seed, norm): (u64, Norm),
        place: Place<'a>,
    ) -> Self {
        let reader = weights.map(|weights| Reader::new(weights, encoder, place));
        Self { reader, place, part: false, seed, norm: Some(norm), state: RefCell::default() }
    }

    /// Makes layers of a part of the network.
    pub(crate) fn of_part(self) -> Self {
        Self { part: true, ..self }
    }

    /// Makes a convolution with a bias.
    pub(crate) fn conv(&self, plan: &Plan<'_>) -> Result<Conv, WeightsError> {
        if let Some(conv) = self.frozen_conv(plan, Sums::Dense, false)? {
            return Ok(conv);
        }
        let [_, bias] = plan.init.draws(&plan.shape);
        let weight = self.conv_weight(plan, plan.name)?;
        let bias = self.var(&format!("{}.bias", plan.name), &plan.shape[..1], bias)?;
        Ok(plan.trainable(weight, Then::Bias(bias), Sums::Dense))
    }

    /// Makes a convolution without a bias, norm or activation after it.
    pub(crate) fn bare_conv(&self, plan: &Plan<'_>) -> Result<Conv, WeightsError> {
        if self.is_frozen() {
            let (name, [draw, _]) = (format!("{}.weight", plan.name), plan.init.draws(&plan.shape));
            let weight = self.tensor([&name, &name], &plan.shape, draw)?;
            let zeros = Tensor::zeros(plan.shape[0], weight.dtype(), weight.device())?;
            return Ok(Conv::Frozen(FrozenConv::dense(&weight, &zeros, plan.window, plan.activation)?));
        }
        Ok(plan.trainable(self.conv_weight(plan, plan.name)?, Then::Nothing, Sums::Dense))
    }

    /// Makes a convolution without a bias and the batch norm after it.
    pub(crate) fn normed_conv(&self, plan: &Plan<'_>) -> Result<Conv, WeightsError> {
        self.normed(plan, Sums::Dense)
    }

    /// Makes a convolution of every channel by itself, without a bias, and the batch norm after it.
    pub(crate) fn normed_depthwise_conv(&self, plan: &Plan<'_>) -> Result<Conv, WeightsError> {
        self.normed(plan, Sums::Depthwise)
    }

    fn normed(&self, plan: &Plan<'_>, sums: Sums) -> Result<Conv, WeightsError> {
        if let Some(conv) = self.frozen_conv(plan, sums, true)? {
            return Ok(conv);
        }
        let norm = norm_after(plan.name).expect("a convolution's name says where its norm is");
        let stored = match &self.reader {
            Some(reader) => {
                let (conv, norm) = reader.modules(plan.name);
                let norm = norm.expect("what stands behind the convolution in torchvision does so in timm");
                if reader.is_folded(&conv, &norm) {
                    return self.folded(plan, sums, [conv, norm]);
                }
                [conv, norm]
            }
            None => [plan.name.to_owned(), norm.clone()],
        };
        let weight = self.conv_weight(plan, &stored[0])?;
        let norm = self.batch_norm([&norm, &stored[1]], plan.shape[0])?;
        Ok(plan.trainable(weight, Then::Norm(norm), sums))
    }

    /// Makes a convolution into which the file has folded its batch norm. If the norm is frozen, its scale is part of the
    /// weight, which is trained, and the bias is constant, as it would be in the norm. Steps differ from those of a file
    /// with the norm apart: the scale acts on gradients, weight decay and Adam's moments.
    fn folded(&self, plan: &Plan<'_>, sums: Sums, [conv, norm]: [String; 2]) -> Result<Conv, WeightsError> {
        if self.norm != Some(Norm::Frozen) {
            return Err(WeightsError::Folded { name: conv, norm });
        }
        let weight = self.conv_weight(plan, &conv)?;
        let name = format!("{}.bias", plan.name);
        let stored = format!("{conv}.bias");
        let bias = self.tensor([&name, &stored], &plan.shape[..1], Draw::Constant(0.0))?.to_dtype(DType::F32)?;
        let bias = Var::from_tensor(&bias)?; // as in the norm: not rounded
        self.state.borrow_mut().buffers.push((name, bias.clone()));
        Ok(plan.trainable(weight, Then::Constant(bias), sums))
    }

    /// Makes a batch norm, given its name and its name in the file.
    fn batch_norm(&self, [name, stored]: [&str; 2], channels: usize) -> Result<BatchNorm, WeightsError> {
        let of_batch = self.norm == Some(Norm::Batch);
        let part = |part: &str, start: f64, trained: bool| {
            let (name, stored, draw) = (format!("{name}.{part}"), format!("{stored}.{part}"), Draw::Constant(start));
            let value = self.tensor([&name, &stored], &[channels], draw)?;
            // A constant is not rounded in a network of another type: its value follows that of the f32 network.
            let var = Var::from_tensor(&if trained { value } else { value.to_dtype(DType::F32)? })?;
            let mut state = self.state.borrow_mut();
            if trained { &mut state.vars } else { &mut state.buffers }.push((name, var.clone()));
            Ok::<_, WeightsError>(var)
        };
        Ok(BatchNorm {
            weight: part("weight", 1.0, of_batch)?,
            bias: part("bias", 0.0, of_batch)?,
            mean: part("running_mean", 0.0, false)?,
            variance: part("running_var", 1.0, false)?,
            of_batch,
        })
    }

    /// Whether layers are packed. A packed layer computes each item by itself; a trainable one may split the sums over a
    /// batch otherwise than over one item, so that last bits depend on the batch.
    fn is_frozen(&self) -> bool {
        self.norm.is_none()
    }

    /// Makes a convolution whose weights are packed, its norm folded into them, if the network is frozen.
    fn frozen_conv(&self, plan: &Plan<'_>, sums: Sums, normed: bool) -> Result<Option<Conv>, WeightsError> {
        if !self.is_frozen() {
            return Ok(None);
        }
        let [w, b] = match &self.reader {
            Some(reader) => reader.conv(plan.name, plan.shape)?,
            None => self.drawn_conv(plan, normed)?,
        };
        let pack = match sums {
            Sums::Dense => FrozenConv::dense,
            Sums::Depthwise => FrozenConv::depthwise,
        };
        Ok(Some(Conv::Frozen(pack(&w, &b, plan.window, plan.activation)?)))
    }

    /// Draws weight and bias of a convolution; a norm after it is that of mean 0 and variance 1.
    fn drawn_conv(&self, plan: &Plan<'_>, normed: bool) -> Result<[Tensor; 2], WeightsError> {
        let [weight, bias] = plan.init.draws(&plan.shape);
        let name = format!("{}.weight", plan.name);
        let weight = self.tensor([&name, &name], &plan.shape, weight)?;
        let name = format!("{}.bias", plan.name);
        match normed {
            false => Ok([weight, self.tensor([&name, &name], &plan.shape[..1], bias)?]),
            true => {
                let bias = self.tensor([&name, &name], &plan.shape[..1], Draw::Constant(0.0))?;
                Ok([(weight / (1.0 + BatchNorm::EPS).sqrt())?, bias])
            }
        }
    }

    /// Makes the weight of a convolution, which the file calls `stored`.
    fn conv_weight(&self, plan: &Plan<'_>, stored: &str) -> Result<Var, WeightsError> {
        let ([draw, _], name) = (plan.init.draws(&plan.shape), format!("{}.weight", plan.name));
        let var = Var::from_tensor(&self.tensor([&name, &format!("{stored}.weight")], &plan.shape, draw)?)?;
        self.state.borrow_mut().vars.push((name, var.clone()));
        Ok(var)
    }

    /// Makes a dense layer over images `(h, w, channels)`, with a rectifier behind it. One without is a convolution over
    /// the whole image.
    pub(crate) fn dense(
        &self,
        name: &str,
        out: usize,
        [h, w, channels]: [usize; 3],
        init: Init,
    ) -> Result<Dense, WeightsError> {
        let shape = [out, channels * h * w];
        let draws = init.draws(&shape);
        let names = ["weight", "bias"].map(|part| format!("{name}.{part}"));
        if !self.is_frozen() {
            let weight = self.var(&names[0], &shape, draws[0])?;
            return Ok(Dense::Trainable([weight, self.var(&names[1], &shape[..1], draws[1])?]));
        }
        let [weight, bias] = match &self.reader {
            Some(reader) => reader.dense(name, shape)?,
            None => [
                self.tensor([&names[0], &names[0]], &shape, draws[0])?,
                self.tensor([&names[1], &names[1]], &shape[..1], draws[1])?,
            ],
        };
        let weight = weight.reshape((out, channels, h, w))?;
        Ok(Dense::Frozen(FrozenConv::whole(&weight, &bias, Activation::Relu)?))
    }

    /// Makes a dense layer over tokens.
    pub(crate) fn affine(&self, plan: &AffinePlan<'_>) -> Result<Affine, WeightsError> {
        let &AffinePlan { weight, bias, scale, shape: [out, inputs], draws } = plan;
        if !self.is_frozen() {
            return Ok(Affine::Trainable {
                weight: self.var(weight, &[out, inputs], draws[0])?,
                bias: bias.map(|bias| self.var(bias, &[out], draws[1])).transpose()?,
                scale: scale.map(|scale| self.var(scale, &[out], Draw::Constant(1.0))).transpose()?,
            });
        }
        let mut weight = self.tensor([weight; 2], &[out, inputs], draws[0])?;
        let mut bias = match bias {
            Some(bias) => self.tensor([bias; 2], &[out], draws[1])?,
            None => Tensor::zeros(out, weight.dtype(), weight.device())?,
        };
        if let Some(scale) = scale {
            let scale = self.tensor([scale; 2], &[out], Draw::Constant(1.0))?;
            weight = weight.broadcast_mul(&scale.unsqueeze(1)?)?;
            bias = (bias * scale)?;
        }
        let weight = weight.reshape((out, inputs, 1, 1))?;
        Ok(Affine::Frozen(FrozenConv::dense(&weight, &bias, Window::dense(0), Activation::None)?))
    }

    /// Makes a trainable parameter.
    pub(crate) fn var(&self, name: &str, shape: &[usize], draw: Draw) -> Result<Var, WeightsError> {
        let var = Var::from_tensor(&self.tensor([name, name], shape, draw)?)?;
        self.state.borrow_mut().vars.push((name.to_owned(), var.clone()));
        Ok(var)
    }

    /// Returns the padding of strided 3×3 convolutions by the file's header; without a file, torchvision's.
    pub(crate) fn padding(&self) -> Result<Padding, WeightsError> {
        self.reader.as_ref().map_or(Ok(Padding::Symmetric(1)), Reader::padding)
    }

    /// Reads the tensor that the file calls `stored`, or draws it under its `name`.
    fn tensor(&self, [name, stored]: [&str; 2], shape: &[usize], draw: Draw) -> Result<Tensor, WeightsError> {
        if let Some(reader) = &self.reader {
            return reader.tensor(stored, shape);
        }
        let mut draws = stream(self.seed, &format!("init/{name}"), &[]);
        let mut next = || match draw {
            Draw::Constant(value) => value,
            Draw::Normal(deviation) => deviation * draws.normal(),
            Draw::Uniform(bound) => draws.uniform_in(-bound, bound),
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| next() as f32).collect();
        Ok(Tensor::from_vec(values, shape, self.place.device)?.to_dtype(self.place.dtype)?)
    }

    /// Returns the state, and the normalization in the header of the weights file; without one, `normalize`.
    ///
    /// # Errors
    /// If the file holds more than the network, or its header is invalid.
    pub(crate) fn finish(self, normalize: [[f32; 3]; 2]) -> Result<(State, [[f32; 3]; 2]), WeightsError> {
        let normalize = self.reader.map_or(Ok(normalize), |reader| reader.finish(self.part, normalize))?;
        Ok((self.state.into_inner(), normalize))
    }
}
