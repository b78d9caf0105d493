//! A method on a network that runs in every step: a backbone trained with it, or the frozen tail of one.

use anyhow::{Result, bail};
use candle_core::{Tensor, Var};
use hashlab_backbones::Trainable;
use hashlab_kernels::threads::serial;
use rayon::prelude::*;

use crate::method::{
    Batch, Demand, EpochContext, Gradient, HashMethod, Items, Learner, Loss, ParamGroup, Progress, State,
};
use crate::nn::expect;

/// Images that are encoded together on one thread, as in the extraction of features.
const IMAGES: usize = 2;
/// Feature vectors that are: as many as make reading a layer's weights worth while.
const VECTORS: usize = 96;

/// A gradient method on a network. Its items are what the network takes, images `(n, h, w, 3)` or features of a trunk
/// `(n, dim)`; the method sees features, as ever, but with the graph behind them.
pub struct Stacked {
    method: Box<dyn HashMethod>,
    network: Box<dyn Trainable>,
    demand: Demand,
    /// The method's variables, then the network's.
    groups: Vec<ParamGroup>,
}

impl Stacked {
    /// Puts `method` on `network`, whose variables, if it has any, learn at `lr_scale` times the run's rate.
    ///
    /// # Errors
    /// If the method learns in closed form: it has no training step for the network to run in.
    pub fn new(mut method: Box<dyn HashMethod>, network: Box<dyn Trainable>, lr_scale: f64) -> Result<Self> {
        let Learner::Gradient(learner) = method.learner() else {
            bail!("a closed-form method has no training steps for a network to run in");
        };
        let (demand, mut groups) = (learner.demand(), learner.param_groups());
        groups.push(ParamGroup { vars: prefixed(network.vars()), lr_scale });
        Ok(Self { method, network, demand, groups })
    }

    fn inner(&mut self) -> &mut dyn Gradient {
        match self.method.learner() {
            Learner::Gradient(learner) => learner,
            Learner::ClosedForm(_) => unreachable!("checked when it was put together"),
        }
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

impl HashMethod for Stacked {
    fn learner(&mut self) -> Learner<'_> {
        Learner::Gradient(self)
    }

    fn encode(&self, items: &Items) -> Result<Tensor> {
        self.method.encode(&Items { image: self.features(&items.image)? })
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

impl Gradient for Stacked {
    fn demand(&self) -> Demand {
        self.demand
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        self.groups.clone()
    }

    fn begin_epoch(&mut self, at: &EpochContext) -> Result<()> {
        self.inner().begin_epoch(at)
    }

    /// One pass of the network over all views, so that batch norm sees them as one batch.
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let inputs = Tensor::cat(&batch.views, 0)?;
        let features = self.network.forward_train(&inputs, &mut |layer| at.stream(&format!("backbone/{layer}")))?;
        let rows = batch.items.len();
        let views: candle_core::Result<Vec<Tensor>> =
            (0..batch.views.len()).map(|view| features.narrow(0, view * rows, rows)).collect();
        let batch = Batch { items: batch.items.clone(), views: views?, labels: batch.labels.clone() };
        self.inner().loss(&batch, at)
    }
}
