//! Fine-tuning: a method and the backbone beneath it, trained as one.

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
const MICRO_BATCH: usize = 2;

/// A gradient method on a backbone that learns with it. Its items are images `(n, h, w, 3)`; the method sees features,
/// as ever, but with the graph behind them.
pub struct Finetuned {
    method: Box<dyn HashMethod>,
    backbone: Box<dyn Trainable>,
    demand: Demand,
    /// The method's variables, then the backbone's.
    groups: Vec<ParamGroup>,
}

impl Finetuned {
    /// Puts `method` on `backbone`, whose variables learn at `lr_scale` times the run's rate.
    ///
    /// # Errors
    /// If the method learns in closed form, for which a backbone has no gradient.
    pub fn new(mut method: Box<dyn HashMethod>, backbone: Box<dyn Trainable>, lr_scale: f64) -> Result<Self> {
        let Learner::Gradient(learner) = method.learner() else {
            bail!("a closed-form method cannot train its backbone");
        };
        let (demand, mut groups) = (learner.demand(), learner.param_groups());
        groups.push(ParamGroup { vars: prefixed(backbone.vars()), lr_scale });
        Ok(Self { method, backbone, demand, groups })
    }

    fn inner(&mut self) -> &mut dyn Gradient {
        match self.method.learner() {
            Learner::Gradient(learner) => learner,
            Learner::ClosedForm(_) => unreachable!("checked when it was put together"),
        }
    }

    /// The backbone's parameters and running statistics.
    fn tensors(&self) -> Vec<(String, Var)> {
        let mut tensors = prefixed(self.backbone.vars());
        tensors.extend(prefixed(self.backbone.buffers()));
        tensors
    }

    /// Features of images in evaluation mode, on all threads of the current pool.
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let rows = images.dim(0)?;
        let starts: Vec<usize> = (0..rows).step_by(MICRO_BATCH).collect();
        let parts: Result<Vec<Tensor>> = starts
            .into_par_iter()
            .map(|start| {
                let part = images.narrow(0, start, MICRO_BATCH.min(rows - start))?;
                Ok(serial(|| self.backbone.forward(&part))?)
            })
            .collect();
        Ok(Tensor::cat(&parts?, 0)?)
    }
}

fn prefixed(tensors: Vec<(String, Var)>) -> Vec<(String, Var)> {
    tensors.into_iter().map(|(name, var)| (format!("backbone.{name}"), var)).collect()
}

impl HashMethod for Finetuned {
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
        for (name, var) in self.tensors() {
            var.set(expect(state, &name, var.shape())?)?;
            rest.remove(&name);
        }
        self.method.load_state(&rest)
    }
}

impl Gradient for Finetuned {
    fn demand(&self) -> Demand {
        self.demand
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        self.groups.clone()
    }

    fn begin_epoch(&mut self, at: &EpochContext) -> Result<()> {
        self.inner().begin_epoch(at)
    }

    /// One pass of the backbone over all views, so that batch norm sees them as one batch.
    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let images = Tensor::cat(&batch.views, 0)?;
        let features = self.backbone.forward_train(&images, &mut |layer| at.stream(&format!("backbone/{layer}")))?;
        let rows = batch.items.len();
        let views: candle_core::Result<Vec<Tensor>> =
            (0..batch.views.len()).map(|view| features.narrow(0, view * rows, rows)).collect();
        let batch = Batch { items: batch.items.clone(), views: views?, labels: batch.labels.clone() };
        self.inner().loss(&batch, at)
    }
}
