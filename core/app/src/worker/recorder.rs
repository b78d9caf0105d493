//! What a training reports: written into the run's directory, and sent to the sweep.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow};
use hashlab_exec::Event;
use hashlab_exec::worker::{self, StopFlag};
use hashlab_pipeline::config::section;
use hashlab_store::{Claim, Journal, RunConfig};
use hashlab_train::{Checkpoint, TrainConfig, TrainObserver};

use crate::asha::Rungs;
use crate::error::explained;
use crate::rungs::best_validation;

/// The epochs that were reported to the sweep last, of runs that are trained together.
#[derive(Clone, Debug, Default)]
pub(super) struct Announced(Rc<Cell<[usize; 2]>>);

impl Announced {
    /// Whether the end of `epoch`, or its validation, is to be reported: by the first of the runs that reach it
    /// together.
    fn is_new(&self, epoch: usize, validation: bool) -> bool {
        let mut last = self.0.get();
        let new = epoch != std::mem::replace(&mut last[usize::from(validation)], epoch);
        self.0.set(last);
        new
    }
}

/// Writes what training reports into the run's directory, and sends it to the sweep.
pub(super) struct Recorder<'a> {
    claim: &'a Claim,
    announced: Announced,
    journal: Journal,
    stop: &'a StopFlag,
    pub(super) epochs: usize,
    /// Whether a checkpoint could not be kept.
    unkept: bool,
    /// Epochs after which the training stops.
    pub(super) until: Option<usize>,
    /// The rungs at which it decides whether it stops.
    pub(super) rungs: Option<Rungs>,
    /// Whether it stops at the present epoch.
    stopping: bool,
}

impl<'a> Recorder<'a> {
    pub(super) fn open(
        claim: &'a Claim,
        checkpoint: Option<&Checkpoint>,
        stop: &'a StopFlag,
        config: &RunConfig,
        announced: &Announced,
    ) -> Result<Self> {
        let resumed = checkpoint.map(|checkpoint| checkpoint.position.epoch as u64);
        let epochs = section::<TrainConfig>(&config.train)?.epochs;
        let journal = claim.journal(resumed)?;
        let announced = announced.clone();
        Ok(Self { claim, announced, journal, stop, epochs, unkept: false, until: None, rungs: None, stopping: false })
    }
}

impl TrainObserver for Recorder<'_> {
    fn epoch(&mut self, epoch: usize, terms: &BTreeMap<String, f64>, left: f64) -> Result<()> {
        let loss = *terms.get("loss").ok_or_else(|| anyhow!("an epoch without a loss"))?;
        tracing::info!(epoch, loss, "epoch done");
        if self.announced.is_new(epoch, false) {
            worker::emit(&Event::Epoch { epoch, epochs: self.epochs, loss, left: Some(left) });
        }
        Ok(self.journal.append(epoch as u64, terms)?)
    }

    fn validation(&mut self, epoch: usize, map: f64) -> Result<()> {
        tracing::info!(epoch, map, "validated");
        if self.announced.is_new(epoch, true) {
            worker::emit(&Event::Validation { epoch, map });
        }
        let values = BTreeMap::from([(hashlab_exec::event::VALIDATION.to_owned(), map)]);
        Ok(self.journal.append(epoch as u64, &values)?)
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        match self.claim.write_checkpoint(bytes) {
            // The run needs none unless it stops here.
            Err(error) if !self.stop.is_raised() && !self.stopping => {
                if !std::mem::replace(&mut self.unkept, true) {
                    let message = format!("goes on without a checkpoint: {}", explained(&anyhow!(error)));
                    tracing::warn!("{message}");
                    worker::emit(&Event::Note { message });
                }
                Ok(())
            }
            written => written.context("cannot keep a checkpoint"),
        }
    }

    fn stopped(&self) -> bool {
        self.stop.is_raised()
    }

    fn stops_after(&mut self, epoch: usize) -> Result<bool> {
        let asked = self.until.is_some_and(|until| epoch >= until);
        let validation = || best_validation(&self.claim.run().metrics(), epoch);
        self.stopping = asked || self.rungs.as_ref().map_or(Ok(false), |rungs| rungs.stops(epoch, validation))?;
        Ok(self.stopping)
    }
}
