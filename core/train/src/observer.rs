//! The interface between a training and its surroundings.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use hashlab_method::{Batch, HashMethod, Loss, Progress};

use crate::deferred_losses;

/// Receives the events of a training, keeps its checkpoints and may stop it.
pub trait TrainObserver {
    /// A step's loss is computed, its update comes next.
    ///
    /// # Errors
    /// If the event cannot be recorded.
    fn step(&mut self, _step: &StepReport<'_>) -> Result<()> {
        Ok(())
    }
    /// An epoch ended: its mean loss terms by name (`loss` is the total).
    ///
    /// # Errors
    /// If the event cannot be recorded.
    fn epoch(&mut self, epoch: usize, terms: &BTreeMap<String, f64>, left: f64) -> Result<()>;
    /// An epoch of several stacked runs ended: as [`Self::epoch`], with the terms of each run.
    ///
    /// # Errors
    /// If the event cannot be recorded. What follows one run at a time refuses several, as this default does.
    fn stacked_epoch(&mut self, _epoch: usize, runs: &[BTreeMap<String, f64>], _left: f64) -> Result<()> {
        bail!("the losses of {} stacked runs cannot be recorded here", runs.len())
    }
    /// The validation queries were searched after `epoch`, counted from 1: the primary metric over the run's tasks.
    ///
    /// # Errors
    /// If the event cannot be recorded.
    fn validation(&mut self, epoch: usize, map: f64) -> Result<()>;
    /// Keeps a checkpoint in place of the last.
    ///
    /// # Errors
    /// If it cannot be written.
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()>;
    /// Whether the run was asked to stop.
    fn stopped(&self) -> bool;
}

/// A training step before its update.
pub struct StepReport<'a> {
    /// Where training stands.
    pub at: &'a Progress,
    /// What the step is fed with.
    pub batch: &'a Batch,
    /// What was found.
    pub loss: &'a Loss,
    /// The method that found it.
    pub method: &'a dyn HashMethod,
}

impl StepReport<'_> {
    /// Reads the loss terms by name; `loss`, the total, comes first. A training that diverges ends some steps later, so
    /// they need not be finite.
    ///
    /// # Errors
    /// If they are those of several stacked runs, or the device fails.
    pub fn terms(&self) -> Result<Vec<(&'static str, f64)>> {
        deferred_losses::read(self.loss)
    }
}
