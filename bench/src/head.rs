//! A training step of CIBHash's head, or of several stacked: gather, forward, loss, backward, Adam. Features are where
//! tensors live, and nothing is fetched from there.

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor, Var};
use hashlab_kernels::backward;
use hashlab_kernels::optim::{Adam, adam_steps};
use hashlab_method::{Batch, BuildContext, Modality, Progress, Trained, View};
use hashlab_rng::stream;
use hashlab_settings::Settings;

use crate::{Work, normal};

/// Items whose features are in memory.
const ITEMS: usize = 2_048;
/// Items per step of each run.
const BATCH: usize = 64;
const BITS: usize = 64;

pub(crate) fn work(dim: usize, runs: usize, device: &Device) -> Result<Work> {
    let mut head = Head::new(dim, runs, device)?;
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            head.step()?;
        }
        Ok(None)
    }))
}

struct Head {
    method: Box<dyn Trained>,
    /// Two views of every item.
    views: [Tensor; 2],
    device: Device,
    moments: Vec<[Tensor; 2]>,
    at: Progress,
}

impl Head {
    fn new(dim: usize, runs: usize, device: &Device) -> Result<Self> {
        let entry = hashlab_methods::METHODS.iter().find(|m| m.info.name == "cibhash").context("no CIBHash")?;
        let seeds: Vec<u64> = (0..runs as u64).collect();
        let cx = BuildContext { device: device.clone(), seeds: seeds.clone(), ..BuildContext::of_images(BITS, dim) };
        let method = entry.build_stacked(&vec![&Settings::new(); runs], &cx)?;
        Ok(Self {
            method,
            views: [normal("first", &[ITEMS, dim], 1.0, device)?, normal("second", &[ITEMS, dim], 1.0, device)?],
            device: device.clone(),
            moments: Vec::new(),
            at: Progress { epoch: 0, epochs: 1, step: 0, steps: 1, seeds },
        })
    }

    fn step(&mut self) -> Result<()> {
        let runs = self.at.runs();
        let draw = |seed: &u64| stream(*seed, "items", &[self.at.step as u64]).distinct(BATCH, ITEMS);
        let items: Vec<u32> = self.at.seeds.iter().flat_map(draw).map(|item| item as u32).collect();
        let rows = Tensor::new(&items[..], &self.device)?;
        let view = |all: &Tensor| {
            let x = all.index_select(&rows, 0)?;
            let x = if runs == 1 { x } else { x.reshape((runs, BATCH, ()))? };
            Ok(View { modality: Modality::Image, x })
        };
        let views = self.views.iter().map(view).collect::<Result<_>>()?;
        let loss = self.method.loss(&Batch { items, views, labels: None }, &self.at)?;
        let grads = backward(&loss.total.sum_all()?)?;
        self.at.step += 1;
        let groups = self.method.param_groups().into_iter();
        let variables: Vec<Var> = groups.flat_map(|group| group.vars).map(|(_, variable)| variable).collect();
        for variable in &variables[self.moments.len()..] {
            self.moments.push([variable.zeros_like()?, variable.zeros_like()?]);
        }
        let mut group = Vec::with_capacity(variables.len());
        for (variable, [m, v]) in variables.iter().zip(&mut self.moments) {
            let grad = grads.get(variable).context("a variable without a gradient")?;
            group.push((variable, grad, m, v));
        }
        Ok(adam_steps(&mut group, self.at.step, &[Adam::default()])?)
    }
}
