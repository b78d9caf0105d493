//! The run's optimiser: learning rate by schedule, moments that can be saved.
//!
//! The update rules themselves are [`hashlab_kernels::optim`]'s; each keeps up to two tensors per variable.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use hashlab_kernels::optim::{Adam, RmsProp, Sgd, adam_step, rmsprop_step, sgd_step};

use crate::config::{OptimizerKind, Schedule, TrainConfig};
use crate::method::{ParamGroup, State};
use crate::nn::expect;

/// The update rule over a method's parameter groups.
pub(super) struct Optimizer {
    config: TrainConfig,
    /// Per variable Adam's moments, RMSprop's mean square and velocity, or SGD's velocity.
    moments: BTreeMap<String, Vec<Tensor>>,
}

impl Optimizer {
    /// Starts with zero moments for every variable of `groups`.
    pub(super) fn new(config: &TrainConfig, groups: &[ParamGroup]) -> Result<Self> {
        let kept = if config.optimizer == OptimizerKind::Sgd { 1 } else { 2 };
        let mut moments = BTreeMap::new();
        for (name, var) in groups.iter().flat_map(|group| &group.vars) {
            let zeros: candle_core::Result<Vec<Tensor>> = (0..kept).map(|_| var.zeros_like()).collect();
            moments.insert(name.clone(), zeros?);
        }
        Ok(Self { config: config.clone(), moments })
    }

    /// Updates every variable. `step` counts from 0 over the whole training.
    pub(super) fn step(&mut self, groups: &[ParamGroup], grads: &GradStore, epoch: usize, step: usize) -> Result<()> {
        let lr = scheduled(&self.config, epoch);
        for group in groups {
            let rule = Rule::new(&self.config, lr * group.lr_scale);
            for (name, var) in &group.vars {
                let grad = grads.get(var).with_context(|| format!("`{name}` received no gradient"))?;
                let kept = self.moments.get_mut(name).with_context(|| format!("`{name}` is new to the optimiser"))?;
                match (&rule, &mut kept[..]) {
                    (Rule::Adam(adam), [m, v]) => adam_step(var, grad, m, v, step + 1, adam)?,
                    (Rule::Sgd(sgd), [velocity]) => sgd_step(var, grad, velocity, sgd)?,
                    (Rule::RmsProp(rmsprop), [square, velocity]) => {
                        rmsprop_step(var, grad, square, velocity, rmsprop)?;
                    }
                    _ => unreachable!("the rule and what it keeps come from one configuration"),
                }
            }
        }
        Ok(())
    }

    /// Copies what the rule keeps, by `NAME.0` and `NAME.1`.
    pub(super) fn state(&self) -> Result<State> {
        let mut state = State::new();
        for (name, kept) in &self.moments {
            for (index, tensor) in kept.iter().enumerate() {
                state.insert(format!("{name}.{index}"), tensor.copy()?);
            }
        }
        Ok(state)
    }

    /// Restores [`Optimizer::state`].
    pub(super) fn load_state(&mut self, state: &State) -> Result<()> {
        for (name, kept) in &mut self.moments {
            for (index, tensor) in kept.iter_mut().enumerate() {
                *tensor = expect(state, &format!("{name}.{index}"), tensor.shape())?.copy()?;
            }
        }
        Ok(())
    }
}

/// What is done to every variable of a group.
enum Rule {
    Adam(Adam),
    Sgd(Sgd),
    RmsProp(RmsProp),
}

impl Rule {
    /// The constants are those of `torch.optim`.
    fn new(config: &TrainConfig, lr: f64) -> Self {
        let weight_decay = config.weight_decay;
        match config.optimizer {
            kind @ (OptimizerKind::Adam | OptimizerKind::AdamW) => {
                let decoupled = kind == OptimizerKind::AdamW;
                Self::Adam(Adam { lr, weight_decay, decoupled, ..Adam::default() })
            }
            OptimizerKind::Sgd => {
                Self::Sgd(Sgd { lr, momentum: config.momentum, nesterov: config.nesterov, weight_decay })
            }
            OptimizerKind::RmsProp => {
                Self::RmsProp(RmsProp { lr, alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay })
            }
        }
    }
}

/// The learning rate of an epoch, counted from 0.
fn scheduled(config: &TrainConfig, epoch: usize) -> f64 {
    let factor = match config.schedule {
        Schedule::Constant => 1.0,
        Schedule::Step => config.schedule_factor.powi((epoch / config.schedule_epochs) as i32),
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * epoch as f64 / config.epochs as f64).cos()),
    };
    config.learning_rate * factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_follow_their_definition() {
        let rates = |schedule| {
            let config =
                TrainConfig { schedule, epochs: 4, schedule_epochs: 2, learning_rate: 1.0, ..TrainConfig::default() };
            (0..4).map(|epoch| (scheduled(&config, epoch) * 1e4).round() / 1e4).collect::<Vec<_>>()
        };
        assert_eq!(rates(Schedule::Constant), [1.0; 4]);
        assert_eq!(rates(Schedule::Step), [1.0, 1.0, 0.1, 0.1]);
        assert_eq!(rates(Schedule::Cosine), [1.0, 0.8536, 0.5, 0.1464]);
    }
}
