//! Construction of a run's method and evaluator.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use hashlab_data::{ByModality, Dataset, Labels, Modality, Split, Task};
use hashlab_eval::Options;
use hashlab_method::{AnyMethod, BuildContext, HashMethod, MethodEntry, Supervision, Trained};
use hashlab_store::RunConfig;

use crate::config::{EvalConfig, section};
use crate::environment::RunEnvironment;
use crate::evaluator::{Evaluator, EvaluatorSetup};
use crate::inputs::{Inputs, multi_hot};
use crate::live_views::LiveItems;
use crate::model::Model;
use crate::replicas::Replicas;
use crate::with_encoder::{ScaledEncoder, WithEncoder};

use super::finetuning::check_finetuning;

/// A run's configuration with its method, data set and encoders.
#[derive(Clone, Copy)]
pub struct RunSetup<'a> {
    /// The resolved configuration.
    pub config: &'a RunConfig,
    /// The method.
    pub method: &'a MethodEntry,
    /// The data set and the encoders.
    pub environment: &'a RunEnvironment<'a>,
}

/// Splits a data set by a run's protocol. Training items are in ascending order, so that a position among them is a row
/// of their stored views.
///
/// # Errors
/// If the protocol does not fit the data set.
pub fn split_of(config: &RunConfig, dataset: &dyn Dataset) -> Result<Split> {
    let mut split = dataset.split(&config.protocol, config.split_seed)?;
    split.train.sort_unstable();
    Ok(split)
}

impl<'a> RunSetup<'a> {
    /// The data set's split.
    pub(super) fn split(&self) -> Result<Split> {
        split_of(self.config, self.environment.dataset)
    }

    /// The labels, if the method learns from them.
    pub(super) fn labels(&self) -> Option<&'a Labels> {
        let supervised = self.method.info.supervision == Supervision::Supervised;
        supervised.then(|| self.environment.dataset.labels())
    }

    /// Builds the untrained method on a device.
    pub(super) fn build(&self, split: &Split, device: &Device) -> Result<AnyMethod> {
        let labels = self.labels().map(|labels| multi_hot(labels, &split.train, device)).transpose()?;
        self.build_of(self.environment.dataset.labels().classes(), split.train.len(), labels, device)
    }

    /// Builds the method that `model` is the state of, without its data set: labels of training items, which are of use
    /// in training alone, are all absent.
    pub(crate) fn build_again(&self, model: &Model) -> Result<AnyMethod> {
        let Model { classes, items, .. } = *model;
        let device = &self.environment.device;
        let supervised = self.method.info.supervision == Supervision::Supervised;
        let labels = supervised.then(|| Tensor::zeros((items, classes), DType::F32, device)).transpose()?;
        self.build_of(classes, items, labels, device)
    }

    /// Builds the untrained methods of runs that differ from this one in seed and varied hyperparameters, stacked.
    pub(super) fn build_stacked(&self, split: &Split, runs: &[&RunConfig]) -> Result<Box<dyn Trained>> {
        let device = &self.environment.device;
        let labels = self.labels().map(|labels| multi_hot(labels, &split.train, device)).transpose()?;
        let cx = self.context(self.environment.dataset.labels().classes(), split.train.len(), labels, device);
        let cx = BuildContext { seeds: runs.iter().map(|run| run.seed).collect(), ..cx };
        self.method.build_stacked(&runs.iter().map(|run| &run.params).collect::<Vec<_>>(), &cx)
    }

    fn build_of(&self, classes: usize, items: usize, labels: Option<Tensor>, device: &Device) -> Result<AnyMethod> {
        self.method.build(&self.config.params, &self.context(classes, items, labels, device))
    }

    fn context(&self, classes: usize, items: usize, labels: Option<Tensor>, device: &Device) -> BuildContext {
        let Self { config, environment, .. } = *self;
        let (bits, dims, seeds) = (config.bits, environment.dims(), vec![config.seed]);
        BuildContext { bits, dims, classes, items, labels, device: device.clone(), seeds }
    }

    /// Puts the layers behind `frozen_until`, which every step runs, in front of a method on stored features.
    pub(crate) fn with_tail(&self, method: Box<dyn Trained>) -> Result<Box<dyn Trained>> {
        let tail = self.environment.images().map(|images| images.tail()).transpose()?.flatten();
        Ok(match tail {
            None => method,
            Some(tail) => {
                let tail = ByModality::one(Modality::Image, (Replicas::one(tail), 1.0));
                Box::new(WithEncoder::new(method, tail, &self.environment.device))
            }
        })
    }

    /// Opens the encoders that are trained with the method, on `devices`, and the items in their form.
    pub(crate) fn live_encoders(
        &self,
        devices: &[Device],
    ) -> Result<(ByModality<ScaledEncoder>, ByModality<LiveItems<'a>>)> {
        check_finetuning(self.config)?;
        let (mut networks, mut items) = (ByModality::default(), ByModality::default());
        for (modality, encoder) in self.environment.encoders.iter() {
            let (network, live) = encoder.live(modality, self.config.seed, devices)?;
            networks.insert(modality, network);
            items.insert(modality, live);
        }
        Ok((networks, items))
    }

    /// Prepares the evaluation of a method's codes.
    pub(super) fn evaluator<'e>(
        &self,
        split: &'e Split,
        inputs: ByModality<&'e dyn Inputs>,
        method: &dyn HashMethod,
    ) -> Result<Evaluator<'e>>
    where
        'a: 'e,
    {
        Ok(Evaluator::new(EvaluatorSetup {
            options: self.options()?,
            bits: self.config.bits,
            labels: self.environment.dataset.labels(),
            split,
            tasks: Task::of(&inputs.modalities().collect::<Vec<_>>()),
            inputs,
            fused: self.method.info.needs.fused(),
            encode: method.encode_spec(),
            other: None,
        }))
    }

    /// The metrics that are measured.
    pub(super) fn options(&self) -> Result<Options> {
        options(self.config)
    }
}

/// The metrics that are measured of a run.
pub(super) fn options(config: &RunConfig) -> Result<Options> {
    let eval: EvalConfig = section(&config.eval)?;
    let (map_at, definition) = (eval.map_at.rank()?, eval.definition);
    Ok(Options { map_at, definition, ranks: eval.ranks, curves: true, ..Options::default() })
}
