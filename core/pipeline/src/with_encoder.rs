//! A method on networks that run in every step: encoders trained with it, or the layers after a frozen trunk.

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use hashlab_kernels::threads::serial;
use hashlab_method::nn::expect;
use hashlab_method::{
    Batch, BatchSpec, ByModality, EncodeSpec, EpochContext, Features, HashMethod, Loss, Modality, ParamGroup, Progress,
    State, Trained, View,
};
use hashlab_rng::stream;
use rayon::prelude::*;

use crate::replicas::Replicas;

/// A deep method on networks, one per modality at most. Its items are the inputs of the networks, pixels
/// `(n, h, w, 3)`, features of a trunk `(n, dim)` or token ids `(n, t)`; the method gets features as usual, but with
/// their graph. Modalities without a network are unchanged.
pub struct WithEncoder {
    method: Box<dyn Trained>,
    networks: ByModality<Replicas>,
    /// The method's variables, then those of the networks.
    groups: Vec<ParamGroup>,
    device: Device,
}

/// A network with its copies, and the factor on the learning rate of its variables.
pub type ScaledEncoder = (Replicas, f64);

impl WithEncoder {
    /// Puts `method` on `networks` of a device.
    pub fn new(method: Box<dyn Trained>, networks: ByModality<ScaledEncoder>, device: &Device) -> Self {
        let mut groups = method.param_groups();
        groups.extend(networks.iter().map(|(modality, (network, lr_scale))| ParamGroup {
            lr_scale: Some(*lr_scale),
            copies: network.copied_vars(),
            ..ParamGroup::new(prefixed(modality, network.network().vars()))
        }));
        let networks = networks.into_iter().map(|(modality, (network, _))| (modality, network)).collect();
        Self { method, networks, groups, device: device.clone() }
    }

    /// The networks' parameters and running statistics.
    fn tensors(&self) -> Vec<(String, Var)> {
        let networks = self.networks.iter();
        networks
            .map(|(modality, network)| (modality, network.network()))
            .flat_map(|(modality, network)| prefixed(modality, [network.vars(), network.buffers()].concat()))
            .collect()
    }

    /// The items as inputs of the method.
    fn encoded(&self, items: &Features) -> Result<Features> {
        let features = |(modality, x): (Modality, &Tensor)| match self.networks.get(modality) {
            Some(network) => Ok((modality, self.features(network, x)?)),
            None => Ok((modality, x.clone())),
        };
        Ok(items.iter().map(features).collect::<Result<ByModality<Tensor>>>()?.into())
    }

    /// Features in evaluation mode, on all threads of the current pool, or in one pass on a GPU.
    fn features(&self, network: &Replicas, inputs: &Tensor) -> Result<Tensor> {
        if !self.device.is_cpu() {
            return Ok(network.forward(inputs)?);
        }
        let (rows, at_once) = (inputs.dim(0)?, together(inputs));
        let starts: Vec<usize> = (0..rows).step_by(at_once).collect();
        let parts: Result<Vec<Tensor>> = starts
            .into_par_iter()
            .map(|start| {
                let part = inputs.narrow(0, start, at_once.min(rows - start))?;
                Ok(serial(|| network.forward(&part))?)
            })
            .collect();
        Ok(Tensor::cat(&parts?, 0)?)
    }
}

/// Number of items that are encoded together on one thread: images as in the extraction of features, texts so that
/// hidden layers stay in a thread's cache, and feature vectors so that reading a layer's weights pays.
fn together(inputs: &Tensor) -> usize {
    match (inputs.rank(), inputs.dtype()) {
        (4, _) => 2,
        (_, DType::U32) => 8,
        _ => 96,
    }
}

/// The name of a network in checkpoints and random streams.
fn name_of(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => "text_encoder",
        _ => "backbone",
    }
}

fn prefixed(modality: Modality, tensors: Vec<(String, Var)>) -> Vec<(String, Var)> {
    tensors.into_iter().map(|(name, var)| (format!("{}.{name}", name_of(modality)), var)).collect()
}

impl HashMethod for WithEncoder {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        self.method.encode(&self.encoded(items)?, modality)
    }

    fn encode_spec(&self) -> EncodeSpec {
        self.method.encode_spec()
    }

    fn other_encodings(&self) -> Vec<EncodeSpec> {
        self.method.other_encodings()
    }

    fn encode_otherwise(&self, name: &str, items: &Features, modality: Modality) -> Result<Tensor> {
        self.method.encode_otherwise(name, &self.encoded(items)?, modality)
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
        // Atomic: the method rejects an invalid state before the network changes.
        self.method.load_state(&rest)?;
        tensors.iter().try_for_each(|(name, var)| var.set(&state[name]))?;
        Ok(self.networks.values().try_for_each(Replicas::update_copies)?)
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

    /// One pass of each network over all views of its modality, so that batch norm sees them as one batch.
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let features = self.networks.try_map(|modality, network| {
            let open = |layer: &str| stream(at.seeds[0], &format!("{}/{layer}", name_of(modality)), &[at.step as u64]);
            let views = batch.views.iter().filter(|view| view.modality == modality);
            let inputs = Tensor::cat(&views.map(|view| &view.x).collect::<Vec<_>>(), 0)?;
            anyhow::Ok(network.forward_train(&inputs, &open)?)
        })?;
        let rows = batch.items.len();
        let view = |(index, view): (usize, &View)| {
            let Some(features) = features.get(view.modality) else { return Ok(view.clone()) };
            let before = batch.views[..index].iter().filter(|other| other.modality == view.modality).count();
            Ok(View { modality: view.modality, x: features.narrow(0, before * rows, rows)? })
        };
        let views = batch.views.iter().enumerate().map(view).collect::<Result<_>>()?;
        self.method.loss(&Batch { items: batch.items.clone(), views, labels: batch.labels.clone() }, at)
    }

    fn end_epoch(&mut self, at: &EpochContext) -> Result<()> {
        self.method.end_epoch(at)
    }
}
