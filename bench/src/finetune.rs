//! A training step of an image encoder whose batch norms are frozen: forward, the mean square of its features as the
//! loss, backward, Adam. In bf16, weights and optimizer stay in f32, as in a run.

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor, Var};
use hashlab_encoders::{Norm, find_image};
use hashlab_kernels::backward;
use hashlab_kernels::optim::{Adam, adam_steps};
use hashlab_method::ParamGroup;
use hashlab_pipeline::Replicas;
use hashlab_pipeline::config::ComputeDtype;
use hashlab_rng::stream;

use crate::{Work, normal};

pub(crate) fn work(name: &str, size: usize, batch: usize, compute: ComputeDtype, device: &Device) -> Result<Work> {
    let entry = find_image(name).context("unknown encoder")?;
    let train = entry.train.with_context(|| format!("`{name}` cannot be trained"))?;
    let weights = entry.needs_weights.then(|| hashlab_bench::weights(name));
    let open = |place: hashlab_encoders::Place<'_>| Ok(train(weights.as_ref(), 0, Norm::Frozen, place)?);
    let network = Replicas::open(std::slice::from_ref(device), compute, open)?;
    let vars = network.network().vars();
    let mut training = Training {
        images: normal("images", &[batch, size, size, 3], 1.0, device)?,
        moments: vars.iter().map(|(_, var)| Ok([var.zeros_like()?, var.zeros_like()?])).collect::<Result<_>>()?,
        group: ParamGroup { copies: network.copied_vars(), ..ParamGroup::new(vars) },
        network,
        step: 0,
    };
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            training.step()?;
        }
        Ok(None)
    }))
}

struct Training {
    network: Replicas,
    group: ParamGroup,
    moments: Vec<[Tensor; 2]>,
    images: Tensor,
    step: usize,
}

impl Training {
    fn step(&mut self) -> Result<()> {
        let step = self.step as u64;
        let features = self.network.forward_train(&self.images, &|layer| stream(0, layer, &[step]))?;
        let grads = backward(&features.sqr()?.mean_all()?)?;
        // The variables that were computed with: those of the copy, if there is one.
        let own: Vec<Var> = self.group.vars.iter().map(|(_, var)| var.clone()).collect();
        let used = self.group.copies.first().unwrap_or(&own);
        let gradient = |(var, own): (&Var, &Var)| {
            Ok(grads.get(var).context("a variable without a gradient")?.to_dtype(own.dtype())?)
        };
        let gradients = used.iter().zip(&own).map(gradient).collect::<Result<Vec<_>>>()?;
        let terms = own.iter().zip(&gradients).zip(&mut self.moments);
        let mut terms: Vec<_> = terms.map(|((var, gradient), [m, v])| (var, gradient, m, v)).collect();
        self.step += 1;
        adam_steps(&mut terms, self.step, &[Adam { lr: 1e-5, ..Adam::default() }])?;
        Ok(self.group.update_copies()?)
    }
}
