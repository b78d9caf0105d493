//! A training step of CIBHash's head: gather, forward, loss, backward, Adam.

use anyhow::{Context as _, Result, bail};
use candle_core::{Device, Tensor};
use hashlab_engine::Settings;
use hashlab_kernels::backward;
use hashlab_kernels::optim::{Adam, adam_step};
use hashlab_model::{Batch, BuildContext, HashMethod, Learner, Progress};
use hashlab_rng::stream;

use crate::{Work, normal};

/// Items whose features are in memory.
const ITEMS: usize = 2_048;
/// Items per step.
const BATCH: usize = 64;
const BITS: usize = 64;

pub(crate) fn work(dim: usize, device: &Device) -> Result<Work> {
    let mut head = Head::new(dim, device)?;
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            head.step()?;
        }
        Ok(None)
    }))
}

struct Head {
    method: Box<dyn HashMethod>,
    views: [Vec<f32>; 2],
    dim: usize,
    device: Device,
    moments: Vec<[Tensor; 2]>,
    at: Progress,
}

impl Head {
    fn new(dim: usize, device: &Device) -> Result<Self> {
        let entry = hashlab_methods::METHODS.iter().find(|m| m.info.name == "cibhash").context("no CIBHash")?;
        let cx = BuildContext { bits: BITS, dim, classes: 1, device: device.clone(), seed: 0 };
        let view = |name| anyhow::Ok(normal(name, &[ITEMS * dim], 1.0)?.to_vec1::<f32>()?);
        Ok(Self {
            method: entry.build(&Settings::new(), &cx)?,
            views: [view("first")?, view("second")?],
            dim,
            device: device.clone(),
            moments: Vec::new(),
            at: Progress { epoch: 0, epochs: 1, step: 0, steps: 1, seed: 0 },
        })
    }

    fn step(&mut self) -> Result<()> {
        let items = stream(0, "items", &[self.at.step as u64]).distinct(BATCH, ITEMS);
        let gather = |view: &Vec<f32>| {
            let mut rows = Vec::with_capacity(BATCH * self.dim);
            for item in &items {
                rows.extend_from_slice(&view[item * self.dim..][..self.dim]);
            }
            Tensor::from_vec(rows, (BATCH, self.dim), &self.device)
        };
        let views = self.views.iter().map(gather).collect::<Result<_, _>>()?;
        let Learner::Gradient(learner) = self.method.learner() else { bail!("CIBHash learns by gradients") };
        let items = items.iter().map(|&item| item as u32).collect();
        let loss = learner.loss(&Batch { items, views, labels: None }, &self.at)?;
        let grads = backward(&loss.total)?;
        self.at.step += 1;
        let variables = learner.param_groups().into_iter().flat_map(|group| group.vars);
        for (index, (_, variable)) in variables.enumerate() {
            if index == self.moments.len() {
                self.moments.push([variable.zeros_like()?, variable.zeros_like()?]);
            }
            let [m, v] = &mut self.moments[index];
            let grad = grads.get(&variable).context("a variable without a gradient")?;
            adam_step(&variable, grad, m, v, self.at.step, &Adam::default())?;
        }
        Ok(())
    }
}
