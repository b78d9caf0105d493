//! Where the layers of a network come from: a weights file, or draws from a seed.

use std::cell::RefCell;

use candle_core::{Tensor, Var};
use hashlab_kernels::conv::{Activation, FrozenConv, Window};
use hashlab_rng::stream;

use crate::layers::{BatchNorm, Conv, Dense, Then};
use crate::transformer::Affine;
use crate::weights::{Reader, Weights, WeightsError, norm_after};
use crate::{BackboneError, Norm, Place};

/// How the weight and the bias of a layer are drawn where no file gives them.
#[derive(Clone, Copy)]
pub(crate) enum Init {
    /// Normal weights that keep the variance of rectified activations on the way forth (He et al., ICCV 2015); bias 0.
    HeForward,
    /// The same on the way back, as torchvision's ResNets and VGGs start.
    HeBackward,
    /// Normal weights of this deviation; bias 0.
    Normal(f64),
    /// PyTorch's default: weight and bias uniform within one over the root of the number of inputs.
    Default,
}

/// The distribution of a tensor's entries.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    /// No randomness.
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

/// A convolution to be made.
pub(crate) struct Plan<'a> {
    /// Its name in torchvision.
    pub(crate) name: &'a str,
    /// `(out, in, kh, kw)`.
    pub(crate) shape: [usize; 4],
    pub(crate) window: Window,
    pub(crate) activation: Activation,
    pub(crate) init: Init,
}

/// Makes the layers of a network and keeps account of its state.
pub(crate) struct Source<'a> {
    /// Absent where parameters are drawn.
    reader: Option<Reader<'a>>,
    place: Place<'a>,
    /// Whether the file may hold other parts of the network.
    part: bool,
    seed: u64,
    /// How batch norms act in training; absent for a frozen network.
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
        backbone: &'static str,
        weights: Option<&'a Weights>,
        place: Place<'a>,
    ) -> Result<Self, BackboneError> {
        let weights = weights.ok_or(BackboneError::NeedsWeights(backbone))?;
        let reader = Some(Reader::new(weights, backbone, place));
        Ok(Self { reader, place, part: false, seed: 0, norm: None, state: RefCell::default() })
    }

    /// Makes trainable layers, which start from `weights` or, without them, from draws.
    pub(crate) fn trainable(
        backbone: &'static str,
        weights: Option<&'a Weights>,
        (seed, norm): (u64, Norm),
        place: Place<'a>,
    ) -> Self {
        let reader = weights.map(|weights| Reader::new(weights, backbone, place));
        Self { reader, place, part: false, seed, norm: Some(norm), state: RefCell::default() }
    }

    /// Makes layers of a part of the network.
    pub(crate) fn of_part(self) -> Self {
        Self { part: true, ..self }
    }

    /// Makes a convolution with a bias.
    pub(crate) fn conv(&self, plan: &Plan<'_>) -> Result<Conv, WeightsError> {
        self.conv_then(plan, |_| {
            let [_, bias] = plan.init.draws(&plan.shape);
            Ok(Then::Bias(self.var(&format!("{}.bias", plan.name), &plan.shape[..1], bias)?))
        })
    }

    /// Makes a convolution without a bias and the batch norm behind it.
    pub(crate) fn normed_conv(&self, plan: &Plan<'_>) -> Result<Conv, WeightsError> {
        self.conv_then(plan, |norm| {
            let name = norm_after(plan.name).expect("a convolution's name says where its norm is");
            if let Some(reader) = &self.reader {
                reader.refuse_folded(plan.name, &name)?;
            }
            let (shape, of_batch) = ([plan.shape[0]], norm == Norm::Batch);
            let part = |part: &str, start: f64, trained: bool| {
                let (name, draw) = (format!("{name}.{part}"), Draw::Constant(start));
                if trained { self.var(&name, &shape, draw) } else { self.buffer(&name, &shape, draw) }
            };
            Ok(Then::Norm(BatchNorm {
                weight: part("weight", 1.0, of_batch)?,
                bias: part("bias", 0.0, of_batch)?,
                mean: part("running_mean", 0.0, false)?,
                variance: part("running_var", 1.0, false)?,
                of_batch,
            }))
        })
    }

    fn conv_then(
        &self,
        plan: &Plan<'_>,
        then: impl FnOnce(Norm) -> Result<Then, WeightsError>,
    ) -> Result<Conv, WeightsError> {
        let &Plan { name, shape, window, activation, init } = plan;
        match (self.norm, &self.reader) {
            (None, Some(reader)) => {
                let [w, b] = reader.conv(name, shape)?;
                Ok(Conv::Frozen(FrozenConv::dense(&w, &b, window, activation)?))
            }
            (norm, _) => {
                let [weight, _] = init.draws(&shape);
                let weight = self.var(&format!("{name}.weight"), &shape, weight)?;
                Ok(Conv::Trainable { weight, then: then(norm.unwrap_or(Norm::Frozen))?, window, activation })
            }
        }
    }

    /// Makes a dense layer over images `(h, w, channels)`.
    pub(crate) fn dense(
        &self,
        name: &str,
        out: usize,
        [h, w, channels]: [usize; 3],
        init: Init,
    ) -> Result<Dense, WeightsError> {
        let shape = [out, channels * h * w];
        match (self.norm, &self.reader) {
            (None, Some(reader)) => {
                let [weight, bias] = reader.dense(name, shape)?;
                let weight = weight.reshape((out, channels, h, w))?;
                Ok(Dense::Frozen(FrozenConv::whole(&weight, &bias, Activation::Relu)?))
            }
            _ => {
                let [weight, bias] = init.draws(&shape);
                let weight = self.var(&format!("{name}.weight"), &shape, weight)?;
                Ok(Dense::Trainable([weight, self.var(&format!("{name}.bias"), &shape[..1], bias)?]))
            }
        }
    }

    /// Makes a dense layer of shape `(out, in)` over tokens from the tensors of these names, drawn like this.
    pub(crate) fn affine(&self, names: [&str; 2], shape: [usize; 2], draws: [Draw; 2]) -> Result<Affine, WeightsError> {
        match (self.norm, &self.reader) {
            (None, Some(reader)) => {
                let weight = reader.tensor(names[0], &shape)?.reshape((shape[0], shape[1], 1, 1))?;
                let bias = reader.tensor(names[1], &shape[..1])?;
                Ok(Affine::Frozen(FrozenConv::dense(&weight, &bias, Window::dense(0), Activation::None)?))
            }
            _ => {
                let weight = self.var(names[0], &shape, draws[0])?;
                Ok(Affine::Trainable([weight, self.var(names[1], &shape[..1], draws[1])?]))
            }
        }
    }

    /// Makes a trainable parameter.
    pub(crate) fn var(&self, name: &str, shape: &[usize], draw: Draw) -> Result<Var, WeightsError> {
        let var = Var::from_tensor(&self.tensor(name, shape, draw)?)?;
        self.state.borrow_mut().vars.push((name.to_owned(), var.clone()));
        Ok(var)
    }

    /// Makes a part of the state that is not trained.
    fn buffer(&self, name: &str, shape: &[usize], draw: Draw) -> Result<Var, WeightsError> {
        let var = Var::from_tensor(&self.tensor(name, shape, draw)?)?;
        self.state.borrow_mut().buffers.push((name.to_owned(), var.clone()));
        Ok(var)
    }

    fn tensor(&self, name: &str, shape: &[usize], draw: Draw) -> Result<Tensor, WeightsError> {
        if let Some(reader) = &self.reader {
            return reader.tensor(name, shape);
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

    /// Returns the state, and the normalisation that the weights file asks for; without a file, `normalize`.
    ///
    /// # Errors
    /// If the file holds more than the network, or its header is not understood.
    pub(crate) fn finish(self, normalize: [[f32; 3]; 2]) -> Result<(State, [[f32; 3]; 2]), WeightsError> {
        let normalize = self.reader.map_or(Ok(normalize), |reader| reader.finish(self.part))?;
        Ok((self.state.into_inner(), normalize))
    }
}
