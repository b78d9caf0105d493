//! Trainings of deep methods.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use hashlab_method::{Batch, BatchSpec, HashMethod, Progress, Trained};

use crate::checkpoint::Checkpoint;
use crate::config::TrainConfig;
use crate::observer::TrainObserver;
use crate::trainer::{Run, Trainer};

/// Source of batches.
pub trait TrainData {
    /// Number of training items.
    fn len(&self) -> usize;
    /// Whether there are no training items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Loads the batch of `items` (positions among the training items; as many from each sampler, one sampler after the
    /// other; of stacked runs, as many of each, one run after the other) in an epoch.
    ///
    /// # Errors
    /// If the stored views cannot be read.
    fn batch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) -> Result<Batch>;
    /// Called with the batch that will be loaded next, so that its loading may begin.
    fn prefetch(&self, _items: &[u32], _spec: &BatchSpec, _at: &Progress) {}
}

/// A training job: method, settings, data, observer and starting point.
pub struct Fit<'a> {
    /// The method, built and not yet trained.
    pub method: &'a mut dyn Trained,
    /// `[train]`.
    pub config: &'a TrainConfig,
    /// The run's seed.
    pub seed: u64,
    /// Training items.
    pub data: &'a dyn TrainData,
    /// Searches with the validation queries: the primary metric, averaged over the run's tasks.
    pub validate: &'a mut dyn FnMut(&dyn HashMethod) -> Result<f64>,
    /// Log, checkpoints, stop flag.
    pub observer: &'a mut dyn TrainObserver,
    /// Checkpoint to resume from.
    pub resume: Option<Checkpoint>,
}

/// End of a training.
#[derive(Debug, PartialEq)]
pub enum TrainEnd {
    /// All epochs done; the method holds the selected state.
    Done {
        /// Epoch of the selected state, counted from 1.
        epoch: usize,
        /// Seconds spent, over all attempts.
        seconds: f64,
        /// Whether the selected state is the one that `validate` saw last.
        validated: bool,
    },
    /// Stopped on request; a checkpoint is kept.
    Interrupted,
    /// Stopped after an epoch, as the observer decided; a checkpoint is kept.
    Stopped {
        /// Epochs done.
        epoch: usize,
    },
    /// The loss is no longer finite; the last good checkpoint is kept.
    Diverged {
        /// Step and loss terms.
        message: String,
        /// Seconds spent, over all attempts.
        seconds: f64,
    },
}

/// Builds runs stacked, given their positions in the list of jobs.
pub type BuildStacked<'s> = dyn Fn(&[usize]) -> Result<Box<dyn Trained>> + 's;

/// Trains a deep method.
///
/// # Errors
/// If a step, a validation or the observer fails.
pub fn fit(job: Fit<'_>) -> Result<TrainEnd> {
    let alone = |_: &[usize]| bail!("a single run is not stacked");
    let (run, at) = Run::start(0, job)?;
    let end = Trainer::train(vec![run], at, &alone).pop();
    end.map_or_else(|| bail!("a training without an end"), |(_, end)| end)
}

/// Trains runs of one shape stacked (see [`Stackable`](hashlab_method::Stackable)): all take every step together, on
/// the first one's data. Each has its own order of items, validation, selected epoch and checkpoint, in the form of a
/// run that is trained alone. A run that diverges, whose validation or observer fails, or that stops after an epoch
/// leaves the others alone. A request to stop ([`TrainObserver::stopped`]) of one run is that of all.
///
/// Runs that resume from different steps are trained one group after the other.
///
/// # Errors
/// Each run ends as [`fit`] does; what fails in a step is the error of all that took it. Settings that differ from the
/// first run's beyond learning rate and weight decay are an error of the run.
pub fn fit_stacked(jobs: Vec<Fit<'_>>, build: &BuildStacked<'_>) -> Vec<Result<TrainEnd>> {
    let mut ends: Vec<Option<Result<TrainEnd>>> = jobs.iter().map(|_| None).collect();
    let mut groups: BTreeMap<(usize, usize), Vec<Run<'_>>> = BTreeMap::new();
    let shared = jobs.first().map(|job| job.config.clone()).unwrap_or_default();
    for (index, job) in jobs.into_iter().enumerate() {
        let TrainConfig { learning_rate, weight_decay, .. } = *job.config;
        if *job.config != (TrainConfig { learning_rate, weight_decay, ..shared.clone() }) {
            ends[index] = Some(Err(anyhow!("stacked runs have other settings in [train] than the first of them")));
            continue;
        }
        match Run::start(index, job) {
            Ok((run, at)) => groups.entry(at).or_default().push(run),
            Err(error) => ends[index] = Some(Err(error)),
        }
    }
    for (at, runs) in groups {
        for (index, end) in Trainer::train(runs, at, build) {
            ends[index] = Some(end);
        }
    }
    ends.into_iter().map(|end| end.unwrap_or_else(|| Err(anyhow!("a training without an end")))).collect()
}
