//! Codes of the models that a sweep kept.

use anyhow::Result;
use candle_core::Device;
use hashlab_data::{ByModality, Dataset, Split};
use hashlab_eval::Codes;
use hashlab_pipeline::run::{RunSetup, split_of};
use hashlab_pipeline::{Model, OnProgress};
use hashlab_store::RunDir;
use hashlab_sweep::PlannedRun;

use crate::worker::with_environment;
use crate::{PlannedSweep, Workspace, bad_input};

/// Codes of a data set's items, with what evaluates them.
pub struct EncodedRun<'a> {
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// The split that the run was evaluated on.
    pub split: &'a Split,
    /// Codes by modality; row = item.
    pub codes: ByModality<Codes>,
}

impl PlannedSweep {
    /// The runs of a sweep whose model is there.
    ///
    /// # Errors
    /// If a run's id is invalid.
    pub fn runs_with_models(&self, workspace: &Workspace) -> Result<Vec<&PlannedRun>> {
        let store = workspace.dirs.store();
        let mut runs = Vec::new();
        for run in &self.plan.runs {
            if store.run(&run.id)?.model_path().is_file() {
                runs.push(run);
            }
        }
        Ok(runs)
    }

    /// Encodes every item of the data set with a run's model, and calls `work` with the codes.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if the run has no model; if the model, items or features cannot be read.
    pub fn encode<T>(
        &self,
        workspace: &Workspace,
        run: &PlannedRun,
        device: &Device,
        progress: OnProgress<'_>,
        work: impl FnOnce(&EncodedRun<'_>) -> Result<T>,
    ) -> Result<T> {
        let config = &run.config();
        let method = workspace.registry.method(&config.method)?;
        let model = model(&workspace.dirs.store().run(&run.id)?, &config.method, device)?;
        with_environment(workspace, config, &self.weights, device, |environment| {
            let codes = RunSetup { config, method, environment }.codes(&model, progress)?;
            let split = split_of(config, environment.dataset)?;
            work(&EncodedRun { dataset: environment.dataset, split: &split, codes })
        })
    }
}

/// Reads the model of a run.
pub(crate) fn model(dir: &RunDir, method: &str, device: &Device) -> Result<Model> {
    let path = dir.model_path();
    if !path.is_file() {
        let state = if dir.result().is_some() { "has no model" } else { "has no result" };
        return Err(bad_input(format!(
            "run `{}` {state}\nhelp: `sweep FILE --keep all --rerun {method}` trains it and keeps its model",
            dir.id()
        )));
    }
    Model::read(&path, device)
}
