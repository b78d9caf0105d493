//! The runs of an experiment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arm::{Arm, STEPS, VIEWS};
use super::experiment::Experiment;
use super::grid::points;
use super::keys::Scope;
use super::layer::{Layer, Resolved};
use crate::record::{SCHEMA, canonical};
use crate::{RunConfig, RunId, Settings};

/// The key of `[eval]` for the depth of the headline mAP; a negative one means the protocol's.
const MAP_AT: &str = "map_at";

/// All runs of an experiment, and what they have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The experiment's name: the stem of its file.
    pub name: String,
    /// Data set name.
    pub dataset: String,
    /// One line on the data set.
    pub dataset_title: String,
    /// Protocol name.
    pub protocol: String,
    /// One line on the protocol: sizes and source.
    pub protocol_description: String,
    /// The runs: by arm, then grid point, then code length, then seed.
    pub runs: Vec<PlannedRun>,
}

/// One run of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedRun {
    /// The run.
    pub id: RunId,
    /// What the run shares with its repetitions under other seeds.
    pub trial: String,
    /// Index of the arm, counted from 0.
    pub arm: usize,
    /// The row of its result in a table.
    pub label: String,
    /// What the arm's grid varies, at this run's point: `tau`, `train.epochs` …
    pub point: Settings,
    /// The run's configuration.
    pub config: RunConfig,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The backbone of an experiment cannot be had.
    #[error("{0}")]
    Backbone(String),
    /// Two rows of the table would hold one run.
    #[error("rows `{first}` and `{second}` both hold run {id}\nhelp: give both arms one `label`, or drop one of them")]
    SharedRun {
        /// The run.
        id: RunId,
        /// Label of the first arm.
        first: String,
        /// Label of the other.
        second: String,
    },
    /// A stored plan cannot be read.
    #[error("line {line} of the plan: {message}\nhelp: plan the experiment anew")]
    Stored {
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
}

impl Experiment {
    /// The experiment's name: the stem of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lists the runs. A run that arises twice under one label is listed once.
    ///
    /// `resolve_backbone` is called once per different `[backbone]` and returns it with the weights' digest in place
    /// of where they lie.
    ///
    /// # Errors
    /// If `resolve_backbone` fails, or if two rows hold one run.
    pub fn plan(
        &self,
        resolve_backbone: &mut dyn FnMut(&Settings) -> Result<Settings, String>,
    ) -> Result<Plan, PlanError> {
        let mut backbones = Backbones { resolve: resolve_backbone, known: BTreeMap::new() };
        let mut runs = Vec::new();
        for (index, arm) in self.arms.iter().enumerate() {
            for point in points(&arm.axes) {
                runs.extend(self.runs_at(index, arm, &point, &mut backbones)?);
            }
        }
        Ok(Plan {
            name: self.name.clone(),
            dataset: self.dataset.name.clone(),
            dataset_title: self.dataset.title.clone(),
            protocol: self.protocol.name.clone(),
            protocol_description: self.protocol.description.clone(),
            runs: merged(runs)?,
        })
    }

    /// Lists the runs at one point of an arm's grid.
    fn runs_at(
        &self,
        index: usize,
        arm: &Arm,
        point: &Layer,
        backbones: &mut Backbones<'_>,
    ) -> Result<Vec<PlannedRun>, PlanError> {
        let scope = Scope { catalog: &self.catalog, dataset: Some(&self.dataset), method: Some(&arm.method) };
        let mut resolved = Resolved::merge(scope, &self.layers.around(&[&arm.fixed, point]));
        // Before the weights are looked up: a network that a method cannot train needs some.
        for key in STEPS.into_iter().filter(|_| !arm.method.gradient) {
            resolved.backbone.shift_remove(key);
        }
        resolved.backbone = backbones.resolve(&resolved.backbone)?;
        let varied: Settings = point.iter().map(|s| (s.name(), s.value.clone())).collect();
        let (bits, seeds) = (std::mem::take(&mut resolved.bits), std::mem::take(&mut resolved.seeds));
        let template = self.config(arm, resolved);
        let cells = bits.iter().flat_map(|&bits| seeds.iter().map(move |&seed| (bits, seed)));
        let run = |(bits, seed)| {
            let config = RunConfig { bits, seed, ..template.clone() };
            PlannedRun {
                id: config.id(),
                trial: config.trial(),
                arm: index,
                label: arm.label.clone(),
                point: varied.clone(),
                config,
            }
        };
        Ok(cells.map(run).collect())
    }

    /// The configuration of a point's runs, but for code length and seed. What cannot change a result is left out.
    fn config(&self, arm: &Arm, mut resolved: Resolved) -> RunConfig {
        if !arm.method.gradient {
            resolved.train.clear();
        }
        if !arm.method.augmented {
            resolved.backbone.shift_remove(VIEWS);
        }
        for (schema, section) in [
            (&arm.method.params, &mut resolved.params),
            (&self.catalog.train, &mut resolved.train),
            (&self.catalog.backbone, &mut resolved.backbone),
        ] {
            for key in (schema.idle)(section) {
                section.shift_remove(key);
            }
        }
        if resolved.eval.get(MAP_AT).and_then(Value::as_i64).is_some_and(|depth| depth < 0) {
            resolved.eval.insert(MAP_AT.to_owned(), Value::from(self.protocol.map_at));
        }
        RunConfig {
            schema: SCHEMA,
            method: arm.method.name.clone(),
            revision: arm.method.revision,
            params: resolved.params,
            bits: 0,
            seed: 0,
            dataset: resolved.dataset,
            dataset_identity: self.dataset.identity.clone(),
            data: resolved.data,
            protocol: resolved.protocol,
            split_seed: resolved.split_seed,
            backbone: resolved.backbone,
            train: resolved.train,
            eval: resolved.eval,
        }
    }
}

/// Backbone sections and what they resolve to. Digesting weights is slow, so each section is resolved once.
struct Backbones<'r> {
    resolve: &'r mut dyn FnMut(&Settings) -> Result<Settings, String>,
    known: BTreeMap<String, Settings>,
}

impl Backbones<'_> {
    fn resolve(&mut self, section: &Settings) -> Result<Settings, PlanError> {
        let key = canonical(&Value::Object(section.clone()));
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let resolved = (self.resolve)(section).map_err(PlanError::Backbone)?;
        self.known.insert(key, resolved.clone());
        Ok(resolved)
    }
}

/// Drops repeated runs.
fn merged(runs: Vec<PlannedRun>) -> Result<Vec<PlannedRun>, PlanError> {
    let mut labels: BTreeMap<RunId, String> = BTreeMap::new();
    let mut kept = Vec::new();
    for run in runs {
        match labels.get(&run.id) {
            None => {
                labels.insert(run.id.clone(), run.label.clone());
                kept.push(run);
            }
            Some(label) if *label == run.label => {}
            Some(label) => {
                return Err(PlanError::SharedRun { id: run.id, first: label.clone(), second: run.label });
            }
        }
    }
    Ok(kept)
}
