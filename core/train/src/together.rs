//! What takes the steps of a training: the method of the only run, or several runs stacked.

use anyhow::{Context as _, Result};
use candle_core::Tensor;
use hashlab_method::{Loss, ParamGroup, Progress, State, Trained};

use crate::fit::BuildStacked;
use crate::optimizer::Optimizer;
use crate::trainer::Run;

/// The variables and the optimizer of all runs; of several runs every tensor has a first axis of runs.
pub(crate) struct Together {
    /// The stacked method; none for a single run, which has its own.
    pub(crate) stacked: Option<Box<dyn Trained>>,
    pub(crate) groups: Vec<ParamGroup>,
    optimizer: Optimizer,
}

impl Together {
    /// Stacks runs: their methods' states and, where they have any, the optimizer's tensors.
    pub(crate) fn of(runs: &mut [Run<'_>], build: &BuildStacked<'_>) -> Result<Self> {
        let mut stacked = None;
        if runs.len() > 1 {
            let mut method = build(&runs.iter().map(|run| run.index).collect::<Vec<_>>())?;
            let states = runs.iter().map(|run| run.job.method.state()).collect::<Result<Vec<_>>>()?;
            method.load_state(&stacked_states(&states)?)?;
            stacked = Some(method);
        }
        let groups = stacked.as_ref().map_or_else(|| runs[0].job.method.param_groups(), |method| method.param_groups());
        let mut optimizer = Optimizer::new(runs.iter().map(|run| run.job.config.clone()).collect(), &groups)?;
        let moments: Vec<State> = runs.iter_mut().map(|run| std::mem::take(&mut run.moments)).collect();
        // A run without moments is at its first step, and so are the others: theirs are 0.
        if moments.iter().all(|state| !state.is_empty()) {
            optimizer.load_state(&stacked_states(&moments)?)?;
        }
        Ok(Self { stacked, groups, optimizer })
    }

    /// Updates the variables. Each of the runs gets the gradient of its own loss.
    pub(crate) fn step(&mut self, loss: &Loss, at: &Progress) -> Result<()> {
        let total = if loss.total.rank() == 0 { loss.total.clone() } else { loss.total.sum_all()? };
        self.optimizer.step(&self.groups, &hashlab_kernels::backward(&total)?, at)
    }

    /// Gives each run's own method the run's part of the state.
    pub(crate) fn unstack_methods(&self, runs: &mut [Run<'_>]) -> Result<()> {
        let Some(stacked) = &self.stacked else { return Ok(()) };
        let state = stacked.state()?;
        for (index, run) in runs.iter_mut().enumerate() {
            run.job.method.load_state(&part(&state, index)?)?;
        }
        Ok(())
    }

    /// Gives each run its part of the state and of the optimizer's tensors.
    pub(crate) fn unstack(&self, runs: &mut [Run<'_>]) -> Result<()> {
        self.unstack_methods(runs)?;
        let moments = self.optimizer.state()?;
        if let [run] = runs {
            run.moments = moments;
            return Ok(());
        }
        for (index, run) in runs.iter_mut().enumerate() {
            run.moments = part(&moments, index)?;
        }
        Ok(())
    }
}

/// Stacks the states of several runs; that of a single run stays as it is.
fn stacked_states(states: &[State]) -> Result<State> {
    let [first, rest @ ..] = states else { return Ok(State::new()) };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    let stack = |name: &String| -> Result<(String, Tensor)> {
        let tensor =
            |state: &'_ State| state.get(name).cloned().with_context(|| format!("a run's state lacks `{name}`"));
        Ok((name.clone(), Tensor::stack(&states.iter().map(tensor).collect::<Result<Vec<_>>>()?, 0)?))
    };
    first.keys().map(stack).collect()
}

/// A run's part of a stacked state.
fn part(state: &State, run: usize) -> Result<State> {
    state.iter().map(|(name, tensor)| Ok((name.clone(), tensor.get(run)?))).collect()
}
