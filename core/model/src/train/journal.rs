//! What a training tells others about itself.

use std::collections::BTreeMap;

use anyhow::Result;

use super::pending;
use crate::method::{Batch, HashMethod, Loss, Progress};

/// What a training reports to, and is stopped by.
pub trait Journal {
    /// A step's loss is computed, its update comes next.
    ///
    /// # Errors
    /// If the journal cannot be written.
    fn step(&mut self, _step: &Step<'_>) -> Result<()> {
        Ok(())
    }
    /// An epoch ended: its mean loss terms by name (`loss` is the total).
    ///
    /// # Errors
    /// If the journal cannot be written.
    fn epoch(&mut self, epoch: usize, terms: &BTreeMap<String, f64>, left: f64) -> Result<()>;
    /// The validation queries were searched after `epoch`, counted from 1.
    ///
    /// # Errors
    /// If the journal cannot be written.
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
pub struct Step<'a> {
    /// Where training stands.
    pub at: &'a Progress,
    /// What the step is fed with.
    pub batch: &'a Batch,
    /// What was found.
    pub loss: &'a Loss,
    /// The method that found it.
    pub method: &'a dyn HashMethod,
}

impl Step<'_> {
    /// Reads the loss terms by name; `loss`, the total, comes first. A training that diverges ends some steps later, so
    /// they need not be finite.
    ///
    /// # Errors
    /// If they are no scalars, or the device fails.
    pub fn terms(&self) -> Result<Vec<(&'static str, f64)>> {
        pending::read(self.loss)
    }
}
