//! The training loop of deep methods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hashlab_method::{Batch, BatchSpec, EpochContext, HashMethod, ParamGroup, Progress, State, Trained};
use hashlab_rng::stream;

use crate::checkpoint::{Checkpoint, TrainPosition};
use crate::checkpoint_interval::checkpoint_interval;
use crate::config::{Select, TrainConfig};
use crate::deferred_losses::DeferredLosses;
use crate::divergence::not_finite;
use crate::observer::{StepReport, TrainObserver};
use crate::optimizer::Optimizer;

/// Source of batches.
pub trait TrainData {
    /// Number of training items.
    fn len(&self) -> usize;
    /// Whether there are no training items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Loads the batch of `items` (positions among the training items; as many from each sampler, one sampler after the
    /// other) in an epoch.
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

/// Trains a deep method.
///
/// # Errors
/// If a step, a validation or the observer fails.
pub fn fit(job: Fit<'_>) -> Result<TrainEnd> {
    Trainer::start(job)?.run()
}

struct Trainer<'a> {
    job: Fit<'a>,
    groups: Vec<ParamGroup>,
    spec: BatchSpec,
    optimizer: Optimizer,
    position: TrainPosition,
    /// Loss terms of the steps that are not in the position's sums yet.
    losses: DeferredLosses,
    best: State,
    /// Whether `validate` has seen the current state.
    validated: bool,
    /// Start of this attempt, and seconds of earlier ones.
    clock: (Instant, f64),
    /// Time of the last checkpoint, and the time that writing it took.
    saved: Instant,
    saving: Duration,
}

impl<'a> Trainer<'a> {
    fn start(mut job: Fit<'a>) -> Result<Self> {
        let (groups, spec) = (job.method.param_groups(), job.method.batch_spec());
        let mut optimizer = Optimizer::new(job.config, &groups)?;
        let resume = job.resume.take();
        let (position, best) = match resume {
            None => Default::default(),
            Some(from) => {
                job.method.load_state(&from.method).context("the checkpoint does not fit the method")?;
                optimizer.load_state(&from.optimizer)?;
                (from.position, from.best)
            }
        };
        let now = Instant::now();
        let clock = (now, position.seconds);
        Ok(Self {
            job,
            groups,
            spec,
            optimizer,
            position,
            losses: DeferredLosses::default(),
            best,
            validated: false,
            clock,
            saved: now,
            saving: Duration::ZERO,
        })
    }

    fn run(mut self) -> Result<TrainEnd> {
        let steps = self.steps_per_epoch();
        while self.position.epoch < self.job.config.epochs {
            if self.job.observer.stops_after(self.position.epoch)? {
                self.save()?;
                return Ok(TrainEnd::Stopped { epoch: self.position.epoch });
            }
            if let Some(end) = self.epoch(steps)? {
                return Ok(end);
            }
        }
        self.select()
    }

    /// Trains to the end of the current epoch, or of the training.
    fn epoch(&mut self, steps: usize) -> Result<Option<TrainEnd>> {
        let _span = tracing::debug_span!("epoch", epoch = self.position.epoch + 1).entered();
        let context = EpochContext { epoch: self.position.epoch, epochs: self.job.config.epochs, steps };
        self.job.method.begin_epoch(&context)?;
        let orders = self.orders(context.epoch);
        // A checkpoint may be due at the end of an epoch, too: the validation after it may take long.
        loop {
            let ended = self.position.batch >= steps;
            let stopped = !ended && self.job.observer.stopped();
            if stopped || self.saved.elapsed() >= checkpoint_interval(self.saving, self.expected(steps)) {
                if let Some(message) = self.settle()? {
                    return Ok(Some(self.diverged(message)));
                }
                self.save()?;
            }
            if stopped {
                return Ok(Some(TrainEnd::Interrupted));
            }
            if ended {
                break;
            }
            let step = self.step(&orders, steps);
            // A failing step may be caused by an earlier one whose numbers were not read yet.
            if (step.is_err() || self.losses.is_full())
                && let Some(message) = self.settle()?
            {
                return Ok(Some(self.diverged(message)));
            }
            step?;
        }
        Ok(self.end_epoch()?.map(|message| self.diverged(message)))
    }

    /// The time that the whole training is expected to take, over all attempts.
    fn expected(&self, steps: usize) -> Option<Duration> {
        let done = self.position.epoch * steps + self.position.batch;
        let all = self.job.config.epochs * steps;
        (done > 0).then(|| Duration::try_from_secs_f64(self.seconds() * all as f64 / done as f64).ok()).flatten()
    }

    /// Reads the pending terms; returns a message if they are not finite.
    fn settle(&mut self) -> Result<Option<String>> {
        self.losses.settle(&mut self.position)
    }

    fn diverged(&self, message: String) -> TrainEnd {
        TrainEnd::Diverged { message, seconds: self.seconds() }
    }

    /// Shuffles the training items for an epoch, once per sampler.
    fn orders(&self, epoch: usize) -> Vec<Vec<u32>> {
        let order = |index: usize| {
            let key = [epoch as u64, index as u64];
            // The first sampler of all methods has the same key.
            let key = if index == 0 { &key[..1] } else { &key[..] };
            stream(self.job.seed, "batch-order", key).permutation(self.job.data.len())
        };
        (0..self.spec.samplers).map(order).collect()
    }

    fn steps_per_epoch(&self) -> usize {
        let (items, batch) = (self.job.data.len(), self.job.config.batch_size);
        if self.job.config.drop_last { (items / batch).max(1) } else { items.div_ceil(batch) }
    }

    /// The items of a step of the current epoch, one sampler after the other.
    fn items(&self, orders: &[Vec<u32>], batch: usize) -> Vec<u32> {
        let first = batch * self.job.config.batch_size;
        let last = (first + self.job.config.batch_size).min(self.job.data.len());
        orders.iter().flat_map(|order| &order[first..last]).copied().collect()
    }

    fn step(&mut self, orders: &[Vec<u32>], steps: usize) -> Result<()> {
        let items = self.items(orders, self.position.batch);
        let at = Progress {
            epoch: self.position.epoch,
            epochs: self.job.config.epochs,
            step: self.position.epoch * steps + self.position.batch,
            steps: self.job.config.epochs * steps,
            seed: self.job.seed,
        };
        let batch = self.job.data.batch(&items, &self.spec, &at)?;
        if self.position.batch + 1 < steps {
            self.job.data.prefetch(&self.items(orders, self.position.batch + 1), &self.spec, &at);
        }
        self.job.observer.before_step(&*self.job.method as &dyn HashMethod)?;
        let loss = self.job.method.loss(&batch, &at)?;
        self.losses.push(&loss, items.len(), &at)?;
        self.job.observer.step(&StepReport { at: &at, batch: &batch, loss: &loss })?;
        // Each of the stacked runs gets the gradient of its own loss.
        let total = if loss.total.rank() == 0 { loss.total.clone() } else { loss.total.sum_all()? };
        self.optimizer.step(&self.groups, &hashlab_kernels::backward(&total)?, &at, loss.runs()?)?;
        self.validated = false;
        self.position.batch += 1;
        Ok(())
    }

    /// Logs the epoch, validates where it is due, and moves on to the next; or returns a message on values that are not
    /// finite.
    fn end_epoch(&mut self) -> Result<Option<String>> {
        if let Some(message) = self.settle()? {
            return Ok(Some(message));
        }
        let epoch = self.position.epoch + 1;
        // No loss follows the last update that would show whether it diverged.
        if (self.validation_due(epoch) || epoch == self.job.config.epochs)
            && let Some(message) = not_finite(&self.groups, self.position.sums.len(), epoch)?
        {
            return Ok(Some(message));
        }
        let context =
            EpochContext { epoch: self.position.epoch, epochs: self.job.config.epochs, steps: self.steps_per_epoch() };
        self.job.method.end_epoch(&context)?;
        self.report(epoch)?;
        if self.validation_due(epoch) {
            let method = &*self.job.method as &dyn HashMethod;
            let map = tracing::debug_span!("validate").in_scope(|| (self.job.validate)(method))?;
            self.validated = true;
            self.job.observer.validation(epoch, map)?;
            if self.position.best.is_none_or(|(_, best)| map > best) {
                self.position.best = Some((epoch, map));
                self.best = self.job.method.state()?;
            }
        }
        self.position = TrainPosition {
            epoch,
            best: self.position.best,
            seconds: self.position.seconds,
            ..TrainPosition::default()
        };
        Ok(None)
    }

    /// Reports the epoch's mean terms to the observer.
    fn report(&mut self, epoch: usize) -> Result<()> {
        let items = self.position.items as f64;
        let means = |sums: &BTreeMap<String, f64>| sums.iter().map(|(name, sum)| (name.clone(), sum / items)).collect();
        let runs: Vec<BTreeMap<String, f64>> = self.position.sums.iter().map(means).collect();
        let left = self.seconds() / epoch as f64 * (self.job.config.epochs - epoch) as f64;
        match &runs[..] {
            [terms] => self.job.observer.epoch(epoch, terms, left),
            runs => self.job.observer.stacked_epoch(epoch, runs, left),
        }
    }

    fn validation_due(&self, epoch: usize) -> bool {
        let config = self.job.config;
        config.select == Select::Best && (epoch.is_multiple_of(config.validate_every) || epoch == config.epochs)
    }

    fn select(mut self) -> Result<TrainEnd> {
        // A finished training is stored, too, so that a crash during evaluation does not repeat it.
        self.save()?;
        let epoch = match (self.job.config.select, self.position.best) {
            (Select::Best, Some((epoch, _))) if epoch < self.position.epoch => {
                self.job.method.load_state(&self.best)?;
                self.validated = false;
                epoch
            }
            _ => self.job.config.epochs,
        };
        Ok(TrainEnd::Done { epoch, seconds: self.seconds(), validated: self.validated })
    }

    fn save(&mut self) -> Result<()> {
        let started = Instant::now();
        self.position.seconds = self.seconds();
        let checkpoint = Checkpoint {
            position: self.position.clone(),
            method: self.job.method.state()?,
            optimizer: self.optimizer.state()?,
            best: self.best.clone(),
        };
        self.job.observer.checkpoint(&checkpoint.to_bytes()?)?;
        (self.saved, self.saving) = (Instant::now(), started.elapsed());
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.clock.1 + self.clock.0.elapsed().as_secs_f64()
    }
}
