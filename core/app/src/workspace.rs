//! A user's registry and directories.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use hashlab_data::Modality;
use hashlab_pipeline::run::check_finetuning;
use hashlab_settings::Settings;
use hashlab_sweep::{Overrides, Plan, PlannedRun, load};

use crate::error::bad_input;
use crate::weights::{EncoderFiles, Lookup};
use crate::{Build, Dirs, Registry};

/// What every command works with.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Methods, data sets, encoders.
    pub registry: Registry,
    /// Directories.
    pub dirs: Dirs,
    /// The sources that the program was built from.
    pub build: Build,
}

/// An experiment before it is read.
pub struct ExperimentText<'a> {
    /// The text of the file.
    pub text: String,
    /// The file, which names the experiment in diagnostics and results.
    pub origin: &'a Path,
    /// Settings from outside of the file.
    pub overrides: Overrides,
    /// The command that makes the same plan.
    pub command: String,
    /// Whether diagnostics may use color.
    pub color: bool,
}

/// A plan with what executing it takes.
pub struct PlannedSweep {
    /// The runs.
    pub plan: Plan,
    /// The files of the runs' encoders.
    pub weights: EncoderFiles,
    /// The experiment file as it was read.
    pub text: String,
    /// The command that makes the same plan.
    pub command: String,
}

impl Workspace {
    /// Reads, checks and expands an experiment.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) with every mistake at its place, or with weights that cannot be had.
    pub fn plan(&self, experiment: ExperimentText<'_>) -> Result<PlannedSweep> {
        let ExperimentText { text, origin, overrides, command, color } = experiment;
        let lookup = Arc::new(self.lookup());
        let mut catalog = self.registry.catalog(&self.dirs.data);
        catalog.inspect = {
            let lookup = Arc::clone(&lookup);
            Arc::new(move |modality, section| lookup.inspect(modality, section))
        };
        let loaded = load(&text, origin, &catalog, &overrides).map_err(|wrong| bad_input(wrong.render(color)))?;
        let mut weights = EncoderFiles::default();
        let mut resolve = |modality: Modality, section: &Settings| {
            lookup.resolve(modality, section, &mut weights).map_err(|broken| broken.to_string())
        };
        let plan = loaded.plan(&mut resolve);
        let plan = plan.map_err(|error| bad_input(error.to_string()))?;
        for group in plan.runs.chunk_by(PlannedRun::shares_template) {
            check_finetuning(group[0].template()).map_err(|error| bad_input(error.to_string()))?;
        }
        Ok(PlannedSweep { plan, weights, text, command })
    }

    fn lookup(&self) -> Lookup {
        let notes = self.dirs.cache_path().join("weights");
        Lookup { encoders: self.registry.encoders, dirs: self.dirs.data.clone(), notes, digests: Mutex::default() }
    }
}
