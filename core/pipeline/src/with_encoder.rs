//! A method on a network that runs in every step: an encoder trained with it, or the frozen layers behind a cut.

use anyhow::Result;
use candle_core::{Tensor, Var};
use hashlab_encoders::Trainable;
use hashlab_kernels::threads::serial;
use hashlab_method::nn::expect;
use hashlab_method::{
    Batch, BatchSpec, ByModality, EncodeSpec, EpochContext, Features, HashMethod, Loss, Modality, ParamGroup, Progress,
    State, Trained, View,
};
use rayon::prelude::*;

/// The modality that the network encodes.
const MODALITY: Modality = Modality::Image;

/// Images that are encoded together on one thread, as in the extraction of features.
const IMAGES: usize = 2;
/// Feature vectors that are: as many as make reading a layer's weights worth while.
const VECTORS: usize = 96;

/// A deep method on a network. Its images are what the network takes, pixels `(n, h, w, 3)` or features of a trunk
/// `(n, dim)`; the method sees features, as ever, but with the graph behind them. Other modalities pass by the network.
pub struct WithEncoder {
    method: Box<dyn Trained>,
    network: Box<dyn Trainable>,
    /// The method's variables, then the network's.
    groups: Vec<ParamGroup>,
}

impl WithEncoder {
    /// Puts `method` on `network`, whose variables, if it has any, learn at `lr_scale` times the run's rate.
    pub fn new(method: Box<dyn Trained>, network: Box<dyn Trainable>, lr_scale: f64) -> Self {
        let mut groups = method.param_groups();
        groups.push(ParamGroup { lr_scale: Some(lr_scale), ..ParamGroup::new(prefixed(network.vars())) });
        Self { method, network, groups }
    }

    /// The network's parameters and running statistics.
    fn tensors(&self) -> Vec<(String, Var)> {
        let mut tensors = prefixed(self.network.vars());
        tensors.extend(prefixed(self.network.buffers()));
        tensors
    }

    /// Features in evaluation mode, on all threads of the current pool, or in one pass on a GPU.
    fn features(&self, inputs: &Tensor) -> Result<Tensor> {
        if !inputs.device().is_cpu() {
            return Ok(self.network.forward(inputs)?);
        }
        let (rows, at_once) = (inputs.dim(0)?, if inputs.rank() == 4 { IMAGES } else { VECTORS });
        let starts: Vec<usize> = (0..rows).step_by(at_once).collect();
        let parts: Result<Vec<Tensor>> = starts
            .into_par_iter()
            .map(|start| {
                let part = inputs.narrow(0, start, at_once.min(rows - start))?;
                Ok(serial(|| self.network.forward(&part))?)
            })
            .collect();
        Ok(Tensor::cat(&parts?, 0)?)
    }
}

fn prefixed(tensors: Vec<(String, Var)>) -> Vec<(String, Var)> {
    tensors.into_iter().map(|(name, var)| (format!("backbone.{name}"), var)).collect()
}

impl HashMethod for WithEncoder {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let features = |(modality, x): (Modality, &Tensor)| match modality {
            MODALITY => Ok((modality, self.features(x)?)),
            _ => Ok((modality, x.clone())),
        };
        let features: ByModality<Tensor> = items.iter().map(features).collect::<Result<_>>()?;
        self.method.encode(&features.into(), modality)
    }

    fn encode_spec(&self) -> EncodeSpec {
        self.method.encode_spec()
    }

    fn state(&self) -> Result<State> {
        let mut state = self.method.state()?;
        for (name, var) in self.tensors() {
            state.insert(name, var.as_detached_tensor().copy()?);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let mut rest = state.clone();
        let tensors = self.tensors();
        for (name, var) in &tensors {
            expect(state, name, var.shape())?;
            rest.remove(name);
        }
        // All or nothing: the method refuses what does not fit before the network changes.
        self.method.load_state(&rest)?;
        tensors.iter().try_for_each(|(name, var)| Ok(var.set(&state[name])?))
    }
}

impl Trained for WithEncoder {
    fn batch_spec(&self) -> BatchSpec {
        self.method.batch_spec()
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        self.groups.clone()
    }

    fn begin_epoch(&mut self, at: &EpochContext) -> Result<()> {
        self.method.begin_epoch(at)
    }

    /// One pass of the network over all views of images, so that batch norm sees them as one batch.
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let inputs = batch.stacked(MODALITY)?;
        let features = self.network.forward_train(&inputs, &mut |layer| at.stream(&format!("backbone/{layer}")))?;
        let (rows, mut images) = (batch.items.len(), 0);
        let mut view = |view: &View| {
            if view.modality != MODALITY {
                return Ok(view.clone());
            }
            images += 1;
            Ok(View { modality: MODALITY, x: features.narrow(0, (images - 1) * rows, rows)? })
        };
        let views = batch.views.iter().map(&mut view).collect::<Result<_>>()?;
        self.method.loss(&Batch { items: batch.items.clone(), views, labels: batch.labels.clone() }, at)
    }

    fn end_epoch(&mut self, at: &EpochContext) -> Result<()> {
        self.method.end_epoch(at)
    }
}
