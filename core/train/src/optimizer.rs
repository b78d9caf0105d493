//! Optimizer of a run: rates of parameter groups, clipping, moments that can be saved.
//!
//! The update rules themselves are [`hashlab_kernels::optim`]'s; each keeps up to two tensors per variable.

use anyhow::{Context, Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use hashlab_kernels::device::on_device;
use hashlab_kernels::optim::{Adam, RmsProp, Sgd, adam_steps, rmsprop_step, sgd_step};
use hashlab_method::nn::{PerRun, expect};
use hashlab_method::{ParamGroup, Progress, Schedule, State};

use crate::config::{OptimizerKind, TrainConfig};
use crate::schedule;

/// The update rule over a method's parameter groups.
pub(super) struct Optimizer {
    /// `[train]` of each of the stacked runs, which may differ in learning rate and weight decay.
    configs: Vec<TrainConfig>,
    schedule: Schedule,
    /// Per variable, in the order of the groups, its name and Adam's moments, RMSprop's mean square and velocity, or
    /// SGD's velocity.
    moments: Vec<(String, Vec<Tensor>)>,
}

impl Optimizer {
    /// Starts with zero moments for every variable of `groups`. The variables of several runs have a first axis of
    /// runs.
    pub(super) fn new(configs: Vec<TrainConfig>, groups: &[ParamGroup]) -> Result<Self> {
        let (config, runs) = (&configs[0], configs.len());
        let kept = if config.optimizer == OptimizerKind::Sgd { 1 } else { 2 };
        let mut moments = Vec::new();
        for (name, var) in groups.iter().flat_map(|group| &group.vars) {
            let stacked = runs == 1 || var.dims().first() == Some(&runs);
            ensure!(stacked, "`{name}` of shape {:?} has no first axis of {runs} runs", var.dims());
            let zeros: candle_core::Result<Vec<Tensor>> = (0..kept).map(|_| var.zeros_like()).collect();
            moments.push((name.clone(), zeros?));
        }
        Ok(Self { schedule: config.schedule(), configs, moments })
    }

    /// Updates every variable at a step.
    pub(super) fn step(&mut self, groups: &[ParamGroup], grads: &GradStore, at: &Progress) -> Result<()> {
        let gradients: Vec<Vec<Tensor>> = groups.iter().map(|group| gradients(group, grads)).collect::<Result<_>>()?;
        let runs = self.configs.len();
        let clip = self.configs[0].clip_norm;
        let shrink = clip.map(|limit| clip_factors(&gradients, limit, runs)).transpose()?.flatten();
        let rules: Vec<Rules> = groups.iter().map(|group| self.rules(group, at)).collect();
        let mut moments = self.moments.iter_mut();
        for ((group, rules), mut gradients) in groups.iter().zip(rules).zip(gradients) {
            if let Some(factors) = &shrink {
                gradients = gradients.iter().map(|grad| factors.times(grad)).collect::<candle_core::Result<_>>()?;
            }
            let vars = group.vars.iter().zip(&gradients).zip(moments.by_ref());
            rules.apply(vars.map(|(((_, var), grad), (_, kept))| (var, grad, &mut kept[..])), at.step + 1)?;
            group.update_copies()?;
        }
        Ok(())
    }

    /// The rules of a group at a step.
    fn rules(&self, group: &ParamGroup, at: &Progress) -> Rules {
        let factor = schedule::factor(group.schedule.as_ref().unwrap_or(&self.schedule), at);
        let rate = |config: &TrainConfig| {
            group.learning_rate.unwrap_or(config.learning_rate) * group.lr_scale.unwrap_or(1.0) * factor
        };
        Rules::new(self.configs.iter().map(|config| (config, rate(config))), group)
    }

    /// Copies the rule's tensors, by `NAME.0` and `NAME.1`.
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

/// The gradient of each variable of a group: its own and those of its copies, in their order.
fn gradients(group: &ParamGroup, grads: &GradStore) -> Result<Vec<Tensor>> {
    let gradient = |(index, (name, var)): (usize, &(String, Var))| {
        let copies = group.copies.iter().filter_map(|copy| grads.get(&copy[index]));
        let here = |grad: &Tensor| on_device(grad, var.device())?.to_dtype(var.dtype());
        let mut all = grads.get(var).into_iter().chain(copies).map(here);
        let first = all.next().with_context(|| format!("`{name}` received no gradient"))??;
        Ok(all.try_fold(first, |sum, grad| sum + grad?)?)
    };
    group.vars.iter().enumerate().map(gradient).collect()
}

/// The factor that shortens each run's gradient to `limit`, as `torch.nn.utils.clip_grad_norm_`; `None` if all are
/// short enough.
fn clip_factors(gradients: &[Vec<Tensor>], limit: f64, runs: usize) -> Result<Option<PerRun>> {
    let mut squares = vec![0.0; runs];
    for grad in gradients.iter().flatten() {
        let sums = grad.to_dtype(DType::F64)?.sqr()?.reshape((runs, ()))?.sum(1)?.to_vec1::<f64>()?;
        squares.iter_mut().zip(sums).for_each(|(square, sum)| *square += sum);
    }
    const EPS: f64 = 1e-6; // PyTorch's
    let factors: Vec<f64> = squares.into_iter().map(|square| (limit / (square.sqrt() + EPS)).min(1.0)).collect();
    Ok(match factors[..] {
        _ if factors.iter().all(|factor| *factor == 1.0) => None,
        [factor] => Some(PerRun::Same(factor)),
        _ => Some(PerRun::Each(factors)),
    })
}

/// The update of every variable of a group: by one rule for all runs, or by one for each.
enum Rules {
    Adam(Vec<Adam>),
    Sgd(Vec<Sgd>),
    RmsProp(Vec<RmsProp>),
}

impl Rules {
    /// The rules of runs, given their settings and rates. The constants are those of `torch.optim`.
    fn new<'c>(runs: impl Iterator<Item = (&'c TrainConfig, f64)> + Clone, group: &ParamGroup) -> Self {
        let kind = runs.clone().next().map_or(OptimizerKind::Adam, |(config, _)| config.optimizer);
        let decay = |config: &TrainConfig| group.weight_decay.unwrap_or(config.weight_decay);
        match kind {
            OptimizerKind::Adam | OptimizerKind::AdamW => Self::Adam(once(runs.map(|(config, lr)| {
                let [beta1, beta2] = group.betas.unwrap_or(config.betas);
                let decoupled = kind == OptimizerKind::AdamW;
                Adam { lr, beta1, beta2, eps: config.eps, weight_decay: decay(config), decoupled }
            }))),
            OptimizerKind::Sgd => Self::Sgd(once(runs.map(|(config, lr)| Sgd {
                lr,
                momentum: config.momentum,
                nesterov: config.nesterov,
                weight_decay: decay(config),
            }))),
            OptimizerKind::RmsProp => Self::RmsProp(once(runs.map(|(config, lr)| RmsProp {
                lr,
                alpha: 0.99,
                eps: config.eps,
                momentum: 0.0,
                weight_decay: decay(config),
            }))),
        }
    }

    /// Takes step number `t`, counted from 1, on variables with their gradients and the rule's tensors.
    fn apply<'a>(
        &self,
        vars: impl Iterator<Item = (&'a Var, &'a Tensor, &'a mut [Tensor])>,
        t: usize,
    ) -> candle_core::Result<()> {
        let mut together = Vec::new();
        for (var, grad, kept) in vars {
            match (self, kept) {
                (Self::Adam(_), [m, v]) => together.push((var, grad, m, v)),
                (Self::Sgd(rules), [velocity]) => sgd_step(var, grad, velocity, rules)?,
                (Self::RmsProp(rules), [square, velocity]) => rmsprop_step(var, grad, square, velocity, rules)?,
                _ => unreachable!("the rule and what it keeps come from one configuration"),
            }
        }
        match self {
            Self::Adam(rules) => adam_steps(&mut together, t, rules),
            Self::Sgd(_) | Self::RmsProp(_) => Ok(()),
        }
    }
}

/// The rules of all runs, or one if they are the same.
fn once<R: PartialEq>(rules: impl Iterator<Item = R>) -> Vec<R> {
    let mut rules: Vec<R> = rules.collect();
    if rules.iter().all(|rule| *rule == rules[0]) {
        rules.truncate(1);
    }
    rules
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn at(step: usize) -> Progress {
        Progress { epoch: step, epochs: 4, step, steps: 4, seeds: vec![0] }
    }

    fn var(value: f32) -> Var {
        Var::new(&[value], &Device::Cpu).unwrap()
    }

    /// The update of two variables, whose gradients are 3 and 4, by SGD without momentum at rate 1.
    fn updates(config: &TrainConfig, groups: [ParamGroup; 2]) -> [f32; 2] {
        let [a, b] = [&groups[0].vars[0].1, &groups[1].vars[0].1].map(Clone::clone);
        let loss = ((a.as_tensor() * 3.0).unwrap() + (b.as_tensor() * 4.0).unwrap()).unwrap().sum_all().unwrap();
        let mut optimizer = Optimizer::new(vec![config.clone()], &groups).unwrap();
        optimizer.step(&groups, &loss.backward().unwrap(), &at(0)).unwrap();
        [a, b].map(|var| 1.0 - var.to_vec1::<f32>().unwrap()[0])
    }

    fn groups() -> [ParamGroup; 2] {
        ["a", "b"].map(|name| ParamGroup::new(vec![(name.to_owned(), var(1.0))]))
    }

    fn sgd() -> TrainConfig {
        TrainConfig { optimizer: OptimizerKind::Sgd, momentum: 0.0, learning_rate: 1.0, ..TrainConfig::default() }
    }

    #[test]
    fn groups_take_their_own_rate_decay_and_schedule_or_the_runs() {
        let [mut a, mut b] = groups();
        a.lr_scale = Some(0.1);
        b.learning_rate = Some(0.5);
        b.weight_decay = Some(1.0);
        let warmup = Schedule { warmup_epochs: 2, warmup_start: 0.5, ..Schedule::CONSTANT };
        b.schedule = Some(warmup);
        let [a, b] = updates(&sgd(), [a, b]);
        assert!((a - 0.3).abs() < 1e-6 && (b - 0.25 * 5.0).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn a_long_gradient_is_shortened_as_a_whole_and_a_short_one_is_not() {
        let limited = |limit| updates(&TrainConfig { clip_norm: Some(limit), ..sgd() }, groups());
        let [a, b] = limited(1.0);
        assert!((a - 0.6).abs() < 1e-5 && (b - 0.8).abs() < 1e-5, "{a} {b}");
        assert_eq!(limited(10.0), updates(&sgd(), groups()));
    }

    /// A variable whose copy computes the same is updated by twice its gradient, and the copy follows.
    #[test]
    fn copies_add_their_gradients_and_get_the_new_values() {
        let [mut group, other] = groups();
        let copy = var(1.0);
        group.copies = vec![vec![copy.clone()]];
        let groups = [group, other];
        let [a, b] = [&groups[0].vars[0].1, &groups[1].vars[0].1];
        let both = (a.as_tensor() + copy.as_tensor()).unwrap();
        let loss = ((both * 3.0).unwrap() + b.as_tensor()).unwrap().sum_all().unwrap();
        let mut optimizer = Optimizer::new(vec![sgd()], &groups).unwrap();
        optimizer.step(&groups, &loss.backward().unwrap(), &at(0)).unwrap();
        assert_eq!([a, &copy, b].map(|var| var.to_vec1::<f32>().unwrap()[0]), [-5.0, -5.0, 0.0]);
        // The gradient to shorten is that of all: (6, 1).
        [a, &copy, b].iter().for_each(|var| var.set(&var.ones_like().unwrap()).unwrap());
        let mut clipped = Optimizer::new(vec![TrainConfig { clip_norm: Some(1.0), ..sgd() }], &groups).unwrap();
        clipped.step(&groups, &loss.backward().unwrap(), &at(0)).unwrap();
        let [a, copy, b] = [a, &copy, b].map(|var| 1.0 - var.to_vec1::<f32>().unwrap()[0]);
        let length = 37f32.sqrt();
        assert!((a - 6.0 / length).abs() < 1e-5 && (b - 1.0 / length).abs() < 1e-5 && a == copy, "{a} {copy} {b}");
    }

    /// Two runs whose gradients are 3 and 4: each steps at its own rate, or by its own decay.
    #[test]
    fn stacked_runs_step_at_their_own_rates() {
        let runs = [TrainConfig { learning_rate: 0.5, ..sgd() }, TrainConfig { weight_decay: 1.0, ..sgd() }];
        let group = ParamGroup::new(vec![("a".to_owned(), Var::new(&[[1f32], [1.0]], &Device::Cpu).unwrap())]);
        let gradient = Tensor::new(&[[3f32], [4.0]], &Device::Cpu).unwrap();
        let loss = (group.vars[0].1.as_tensor() * gradient).unwrap().sum_all().unwrap();
        let groups = [group];
        let mut optimizer = Optimizer::new(runs.into(), &groups).unwrap();
        optimizer.step(&groups, &loss.backward().unwrap(), &at(0)).unwrap();
        assert_eq!(groups[0].vars[0].1.to_vec2::<f32>().unwrap(), [[1.0 - 0.5 * 3.0], [1.0 - (4.0 + 1.0)]]);
    }

    #[test]
    fn variables_without_an_axis_of_runs_are_refused() {
        let error = Optimizer::new(vec![sgd(); 3], &groups()).err().unwrap();
        assert_eq!(error.to_string(), "`a` of shape [1] has no first axis of 3 runs");
    }
}
