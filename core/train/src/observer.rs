//! The interface between a training and its surroundings.

use std::collections::BTreeMap;

use anyhow::Result;
use hashlab_method::{Batch, HashMethod, Loss, Progress};

use crate::deferred_losses;

/// Receiver of a training's events, which keeps its checkpoints and may stop it.
pub trait TrainObserver {
    /// Called before the loss of a step, which moves running moments, with the state that the step starts from; not
    /// while the run is stacked with others.
    ///
    /// # Errors
    /// If the state cannot be recorded.
    fn before_step(&mut self, _method: &dyn HashMethod) -> Result<()> {
        Ok(())
    }
    /// Records a step: its loss is computed, its update comes next. Not called while the run is stacked with others.
    ///
    /// # Errors
    /// If the event cannot be recorded.
    fn step(&mut self, _step: &StepReport<'_>) -> Result<()> {
        Ok(())
    }
    /// Records the end of an epoch: its mean loss terms by name (`loss` is the total).
    ///
    /// # Errors
    /// If the event cannot be recorded.
    fn epoch(&mut self, epoch: usize, terms: &BTreeMap<String, f64>, left: f64) -> Result<()>;
    /// Records the primary metric over the run's tasks on the validation queries after `epoch`, counted from 1.
    ///
    /// # Errors
    /// If the event cannot be recorded.
    fn validation(&mut self, epoch: usize, map: f64) -> Result<()>;
    /// Stores a checkpoint in place of the last.
    ///
    /// # Errors
    /// If it cannot be written.
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()>;
    /// Whether the run was asked to stop.
    fn stopped(&self) -> bool;
    /// Whether the training stops with a checkpoint after `epoch` epochs, short of its end.
    ///
    /// # Errors
    /// If that cannot be decided.
    fn stops_after(&mut self, _epoch: usize) -> Result<bool> {
        Ok(false)
    }
}

/// A training step before its update.
pub struct StepReport<'a> {
    /// Position of the step.
    pub at: &'a Progress,
    /// Batch of the step.
    pub batch: &'a Batch,
    /// Loss of the batch.
    pub loss: &'a Loss,
}

impl StepReport<'_> {
    /// Reads the loss terms by name; `loss`, the total, comes first. A training that diverges ends some steps later, so
    /// they need not be finite.
    ///
    /// # Errors
    /// If they are the terms of several stacked runs, or the device fails.
    pub fn terms(&self) -> Result<Vec<(&'static str, f64)>> {
        deferred_losses::read(self.loss)
    }
}
