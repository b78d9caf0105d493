//! A user's registry and directories.

use std::path::{Path, PathBuf};

use anyhow::Result;
use hashlab_pipeline::run::check_finetuning;
use hashlab_sweep::{Overrides, load};

use crate::error::bad_input;
use crate::sweep::PlannedSweep;
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

impl Workspace {
    /// Reads, checks and expands an experiment.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) with every mistake at its place, or with weights that cannot be had.
    pub fn plan(&self, experiment: ExperimentText<'_>) -> Result<PlannedSweep> {
        let ExperimentText { text, origin, overrides, command, color } = experiment;
        let catalog = self.registry.catalog(&self.dirs.data);
        let loaded = load(&text, origin, &catalog, &overrides).map_err(|wrong| bad_input(wrong.render(color)))?;
        let mut weights = EncoderFiles::default();
        let lookup = self.lookup();
        let plan = loaded.plan(&mut |modality, section| lookup.resolve(modality, section, &mut weights));
        let plan = plan.map_err(|error| bad_input(error.to_string()))?;
        for run in &plan.runs {
            check_finetuning(&run.config).map_err(|error| bad_input(error.to_string()))?;
        }
        Ok(PlannedSweep { plan, weights, text, command })
    }

    fn lookup(&self) -> Lookup<'_> {
        let notes: PathBuf = self.dirs.cache_path().join("weights");
        Lookup { encoders: self.registry.encoders, dirs: &self.dirs.data, notes }
    }
}
