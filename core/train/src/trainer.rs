//! The training loop: runs that are stacked take every step together; a run that is trained alone is the only one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hashlab_method::{BatchSpec, EpochContext, HashMethod, Progress, State, Trained};
use hashlab_rng::stream;

use crate::checkpoint::{Checkpoint, TrainPosition};
use crate::checkpoint_interval::checkpoint_interval;
use crate::config::{Select, TrainConfig};
use crate::deferred_losses::{DeferredLosses, Sums};
use crate::divergence::not_finite;
use crate::fit::{BuildStacked, Fit, TrainEnd};
use crate::observer::StepReport;
use crate::shared_error::SharedError;
use crate::together::Together;

/// A run in training. While it is stacked with others, its method and moments are those of the last time that it was
/// taken out of the stack.
pub(crate) struct Run<'a> {
    /// Position in the list of jobs.
    pub(crate) index: usize,
    pub(crate) job: Fit<'a>,
    /// The optimizer's tensors, on their way from one stack to the next.
    pub(crate) moments: State,
    /// The items of an epoch, once per sampler.
    orders: Vec<Vec<u32>>,
    sums: Sums,
    /// Epoch and validation mAP of the best state.
    best: Option<(usize, f64)>,
    best_state: State,
    /// Whether `validate` has seen the current state.
    validated: bool,
    /// Whether its observer stops it before the next epoch.
    stops: bool,
    /// Seconds over all attempts. Stacked runs share the time in equal parts.
    seconds: f64,
}

impl<'a> Run<'a> {
    /// Starts a run, or goes on from its checkpoint; returns it with its epoch and step.
    pub(crate) fn start(index: usize, mut job: Fit<'a>) -> Result<(Self, (usize, usize))> {
        let mut from = Checkpoint::default();
        if let Some(checkpoint) = job.resume.take() {
            from = checkpoint;
            job.method.load_state(&from.method).context("the checkpoint does not fit the method")?;
        }
        let TrainPosition { epoch, batch, sums, items, best, seconds } = from.position;
        let (sums, orders) = (Sums { terms: sums, items }, Vec::new());
        let (moments, best_state, validated, stops) = (from.optimizer, from.best, false, false);
        Ok((Self { index, job, moments, orders, sums, best, best_state, validated, stops, seconds }, (epoch, batch)))
    }

    /// Shuffles the training items for an epoch, once per sampler.
    fn shuffle(&mut self, epoch: usize, samplers: usize) {
        let order = |index: usize| {
            let key = [epoch as u64, index as u64];
            // The first sampler of all methods has the same key.
            let key = if index == 0 { &key[..1] } else { &key[..] };
            stream(self.job.seed, "batch-order", key).permutation(self.job.data.len())
        };
        self.orders = (0..samplers).map(order).collect();
    }

    /// The state between two steps, of a run that was taken out of its stack.
    fn checkpoint(&mut self, (epoch, batch): (usize, usize)) -> Result<Checkpoint> {
        let position = TrainPosition {
            epoch,
            batch,
            sums: self.sums.terms.clone(),
            items: self.sums.items,
            best: self.best,
            seconds: self.seconds,
        };
        let (method, best) = (self.job.method.state()?, self.best_state.clone());
        Ok(Checkpoint { position, method, optimizer: std::mem::take(&mut self.moments), best })
    }

    /// Validates a run that was taken out of its stack, and keeps its state if it is the best so far.
    fn validate(&mut self, epoch: usize) -> Result<()> {
        let method = &*self.job.method as &dyn HashMethod;
        let map = tracing::debug_span!("validate").in_scope(|| (self.job.validate)(method))?;
        self.validated = true;
        self.job.observer.validation(epoch, map)?;
        if self.best.is_none_or(|(_, best)| map > best) {
            self.best = Some((epoch, map));
            self.best_state = self.job.method.state()?;
        }
        Ok(())
    }

    /// Gives the method of a run that was taken out of its stack the selected state.
    fn select(&mut self) -> Result<TrainEnd> {
        let config = self.job.config;
        let epoch = match (config.select, self.best) {
            (Select::Best, Some((epoch, _))) if epoch < config.epochs => {
                self.job.method.load_state(&self.best_state)?;
                self.validated = false;
                epoch
            }
            _ => config.epochs,
        };
        Ok(TrainEnd::Done { epoch, seconds: self.seconds, validated: self.validated })
    }
}

/// A training of runs that are all at the same step.
pub(crate) struct Trainer<'a, 's> {
    build: &'s BuildStacked<'s>,
    /// The runs whose training has not ended.
    runs: Vec<Run<'a>>,
    together: Together,
    spec: BatchSpec,
    epoch: usize,
    /// Next step within the epoch.
    batch: usize,
    /// Loss terms of the steps that are not in the runs' sums yet.
    losses: DeferredLosses,
    ends: Vec<(usize, Result<TrainEnd>)>,
    /// Time up to which the runs' seconds are counted.
    counted: Instant,
    /// Time of the last checkpoint, and the time that writing it took.
    saved: Instant,
    saving: Duration,
}

impl<'a, 's> Trainer<'a, 's> {
    /// Trains runs that are at a common epoch and step to their ends.
    pub(crate) fn train(
        mut runs: Vec<Run<'a>>,
        (epoch, batch): (usize, usize),
        build: &'s BuildStacked<'s>,
    ) -> Vec<(usize, Result<TrainEnd>)> {
        let together = match Together::of(&mut runs, build) {
            Ok(together) => together,
            Err(error) => return failed(runs, error),
        };
        let spec = runs[0].job.method.batch_spec();
        let now = Instant::now();
        let (losses, ends, saving) = (DeferredLosses::default(), Vec::new(), Duration::ZERO);
        let mut trainer =
            Self { build, runs, together, spec, epoch, batch, losses, ends, counted: now, saved: now, saving };
        if let Err(error) = trainer.epochs() {
            let runs = std::mem::take(&mut trainer.runs);
            trainer.ends.extend(failed(runs, error));
        }
        trainer.ends
    }

    fn epochs(&mut self) -> Result<()> {
        while !self.runs.is_empty() && self.epoch < self.config().epochs {
            self.stop_early()?;
            if !self.runs.is_empty() {
                self.train_epoch()?;
            }
        }
        // A finished training is stored, too, so that a crash during evaluation does not repeat it.
        self.save()?;
        let runs = std::mem::take(&mut self.runs);
        self.ends.extend(runs.into_iter().map(|mut run| (run.index, run.select())));
        Ok(())
    }

    /// The settings of all runs, but for rates and weight decay.
    fn config(&self) -> &'a TrainConfig {
        self.runs[0].job.config
    }

    fn steps_per_epoch(&self) -> usize {
        let (items, config) = (self.runs[0].job.data.len(), self.config());
        if config.drop_last { (items / config.batch_size).max(1) } else { items.div_ceil(config.batch_size) }
    }

    fn context(&self) -> EpochContext {
        EpochContext { epoch: self.epoch, epochs: self.config().epochs, steps: self.steps_per_epoch() }
    }

    /// The method that takes the steps.
    fn method(&mut self) -> &mut dyn Trained {
        match &mut self.together.stacked {
            Some(stacked) => stacked.as_mut(),
            None => self.runs[0].job.method,
        }
    }

    /// Ends the runs whose observers stop them before the next epoch.
    fn stop_early(&mut self) -> Result<()> {
        let epoch = self.epoch;
        self.each(|run| {
            run.stops = run.job.observer.stops_after(epoch)?;
            Ok(())
        })?;
        if self.runs.iter().any(|run| run.stops) {
            self.save()?;
            self.end_those(|run| Ok(run.stops.then_some(TrainEnd::Stopped { epoch })))?;
        }
        Ok(())
    }

    /// Trains to the end of the current epoch, or until no run is left.
    fn train_epoch(&mut self) -> Result<()> {
        let _span = tracing::debug_span!("epoch", epoch = self.epoch + 1).entered();
        let context = self.context();
        self.method().begin_epoch(&context)?;
        for run in &mut self.runs {
            run.shuffle(self.epoch, self.spec.samplers);
        }
        // A checkpoint may be due at the end of an epoch, too: the validation after it may take long.
        loop {
            let ended = self.batch >= context.steps;
            let stopped = !ended && self.runs.iter().any(|run| run.job.observer.stopped());
            if stopped || self.saved.elapsed() >= checkpoint_interval(self.saving, self.expected(context.steps)) {
                self.settle()?;
                self.save()?;
            }
            if stopped {
                self.end_those(|_| Ok(Some(TrainEnd::Interrupted)))?;
            }
            if ended || self.runs.is_empty() {
                break;
            }
            let (runs, unread) = (self.runs.len(), self.losses.len());
            let step = self.step(context.steps);
            let computed = self.losses.len() > unread;
            // A failing step may be caused by an earlier one whose numbers were not read yet.
            if step.is_err() || self.losses.is_full() {
                self.settle()?;
            }
            if self.runs.is_empty() {
                break;
            }
            // A loss that could not be computed because of a run that is gone is computed again without it.
            if step.is_err() && !computed && self.runs.len() < runs {
                continue;
            }
            step?;
        }
        if self.runs.is_empty() { Ok(()) } else { self.end_epoch() }
    }

    /// The time that the whole training is expected to take, over all attempts.
    fn expected(&mut self, steps: usize) -> Option<Duration> {
        let done = self.epoch * steps + self.batch;
        let all = self.config().epochs * steps;
        (done > 0).then(|| Duration::try_from_secs_f64(self.seconds() * all as f64 / done as f64).ok()).flatten()
    }

    /// Seconds of all runs over all attempts.
    fn seconds(&mut self) -> f64 {
        self.count_seconds();
        self.runs.iter().map(|run| run.seconds).sum()
    }

    /// Divides the time since the last call among the runs.
    fn count_seconds(&mut self) {
        let now = Instant::now();
        let share = (now - self.counted).as_secs_f64() / self.runs.len().max(1) as f64;
        self.counted = now;
        self.runs.iter_mut().for_each(|run| run.seconds += share);
    }

    /// Reads the pending terms, and ends the runs for which they are not finite.
    fn settle(&mut self) -> Result<()> {
        let mut sums: Vec<&mut Sums> = self.runs.iter_mut().map(|run| &mut run.sums).collect();
        let messages = self.losses.settle(&mut sums)?;
        self.diverge(messages)
    }

    /// Ends the runs that have a message.
    fn diverge(&mut self, messages: Vec<Option<String>>) -> Result<()> {
        self.count_seconds();
        let mut messages = messages.into_iter();
        self.end_those(|run| {
            let message = messages.next().flatten();
            Ok(message.map(|message| TrainEnd::Diverged { message, seconds: run.seconds }))
        })
    }

    /// The items of a step of the current epoch: of the first run, one sampler after the other, then of the next.
    fn items(&self, batch: usize) -> Vec<u32> {
        let size = self.config().batch_size;
        let first = batch * size;
        let last = (first + size).min(self.runs[0].job.data.len());
        let orders = self.runs.iter().flat_map(|run| &run.orders);
        orders.flat_map(|order| &order[first..last]).copied().collect()
    }

    fn step(&mut self, steps: usize) -> Result<()> {
        let items = self.items(self.batch);
        let (epochs, runs) = (self.config().epochs, self.runs.len());
        let at = Progress {
            epoch: self.epoch,
            epochs,
            step: self.epoch * steps + self.batch,
            steps: epochs * steps,
            seeds: self.runs.iter().map(|run| run.job.seed).collect(),
        };
        let data = self.runs[0].job.data;
        let batch = data.batch(&items, &self.spec, &at)?;
        if self.batch + 1 < steps {
            data.prefetch(&self.items(self.batch + 1), &self.spec, &at);
        }
        if let [run] = &mut self.runs[..] {
            run.job.observer.before_step(&*run.job.method as &dyn HashMethod)?;
        }
        let loss = self.method().loss(&batch, &at)?;
        ensure!(loss.runs()? == runs, "a loss of {} runs in a training of {runs}", loss.runs()?);
        self.losses.push(&loss, items.len() / runs, &at)?;
        if let [run] = &mut self.runs[..] {
            run.job.observer.step(&StepReport { at: &at, batch: &batch, loss: &loss })?;
        }
        self.together.step(&loss, &at)?;
        self.runs.iter_mut().for_each(|run| run.validated = false);
        self.batch += 1;
        Ok(())
    }

    /// Logs the epoch, validates where it is due, and moves on to the next.
    fn end_epoch(&mut self) -> Result<()> {
        self.settle()?;
        if self.runs.is_empty() {
            return Ok(());
        }
        let epoch = self.epoch + 1;
        let config = self.config();
        let due =
            config.select == Select::Best && (epoch.is_multiple_of(config.validate_every) || epoch == config.epochs);
        // No loss follows the last update that would show whether it diverged.
        if due || epoch == config.epochs {
            let messages = not_finite(&self.together.groups, self.runs.len(), epoch)?;
            self.diverge(messages)?;
            if self.runs.is_empty() {
                return Ok(());
            }
        }
        let context = self.context();
        self.method().end_epoch(&context)?;
        self.report(epoch)?;
        if due {
            self.together.unstack_methods(&mut self.runs)?;
            self.each(|run| run.validate(epoch))?;
        }
        self.runs.iter_mut().for_each(|run| run.sums = Sums::default());
        (self.epoch, self.batch) = (epoch, 0);
        Ok(())
    }

    /// Reports the epoch's mean terms to the observers.
    fn report(&mut self, epoch: usize) -> Result<()> {
        let epochs = self.config().epochs;
        let left = self.seconds() / epoch as f64 * (epochs - epoch) as f64;
        self.each(|run| {
            let items = run.sums.items as f64;
            let mean = |(name, sum): (&String, &f64)| (name.clone(), sum / items);
            let means: BTreeMap<String, f64> = run.sums.terms.iter().map(mean).collect();
            run.job.observer.epoch(epoch, &means, left)
        })
    }

    fn save(&mut self) -> Result<()> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.count_seconds();
        self.together.unstack(&mut self.runs)?;
        let at = (self.epoch, self.batch);
        self.each(|run| {
            let bytes = run.checkpoint(at)?.to_bytes()?;
            run.job.observer.checkpoint(&bytes)
        })?;
        (self.saved, self.saving) = (Instant::now(), started.elapsed());
        Ok(())
    }

    /// Does the same for every run. Those for which it fails end with their errors.
    fn each(&mut self, mut work: impl FnMut(&mut Run<'a>) -> Result<()>) -> Result<()> {
        self.end_those(|run| work(run).map(|()| None))
    }

    /// Ends the runs for which `end` returns an end or an error; the others go on.
    fn end_those(&mut self, mut end: impl FnMut(&mut Run<'a>) -> Result<Option<TrainEnd>>) -> Result<()> {
        let ends: Vec<Option<Result<TrainEnd>>> = self.runs.iter_mut().map(|run| end(run).transpose()).collect();
        if ends.iter().all(Option::is_none) {
            return Ok(());
        }
        self.count_seconds();
        if ends.iter().any(Option::is_none) {
            self.together.unstack(&mut self.runs)?;
        }
        let runs = std::mem::take(&mut self.runs);
        for (run, end) in runs.into_iter().zip(ends) {
            match end {
                Some(end) => self.ends.push((run.index, end)),
                None => self.runs.push(run),
            }
        }
        if !self.runs.is_empty() {
            self.together = Together::of(&mut self.runs, self.build)?;
            let context = self.context();
            self.method().begin_epoch(&context)?;
        }
        Ok(())
    }
}

/// Ends all runs with the error of what they did together.
fn failed(runs: Vec<Run<'_>>, error: anyhow::Error) -> Vec<(usize, Result<TrainEnd>)> {
    if let [run] = &runs[..] {
        return vec![(run.index, Err(error))];
    }
    let errors = SharedError::of_each(error, runs.len());
    runs.into_iter().map(|run| run.index).zip(errors).collect()
}
