//! A user's registry and directories.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Result;
use hashlab_data::{DatasetEntry, Modality};
use hashlab_settings::Settings;
use hashlab_store::{RunId, Status};
use hashlab_sweep::{Describe, Experiment, Overrides, Plan, Planned, load};

use crate::error::bad_input;
use crate::external::{CodesLookup, ReadCodes};
use crate::hub_files::{HubFiles, MissingFiles, Unlocked};
use crate::lock::Lock;
use crate::stale::Ended;
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
    /// Reads codes that others computed.
    pub read_codes: ReadCodes,
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
    /// Trials of searches that follow from the results of the runs.
    pub further: usize,
    /// The files of the runs' encoders.
    pub weights: EncoderFiles,
    /// The experiment file as it was read.
    pub text: String,
    /// The texts of the files that it extends, the nearest first.
    pub bases: Vec<String>,
    /// The command that makes the same plan.
    pub command: String,
    /// Where the files of its external rows are.
    pub(crate) codes: Arc<CodesLookup>,
    /// Files of the hub that it needs and whose digest nothing states, to be recorded beside the experiment.
    pub unlocked: Vec<Unlocked>,
    /// The runs with a result, once they were looked for.
    pub(crate) ended: OnceLock<Vec<Option<Ended>>>,
}

/// An experiment, and what was found out about its files.
type Loaded = (Experiment, Arc<Lookup>, Arc<CodesLookup>);

impl Workspace {
    /// Reads and checks an experiment; files of its encoders may be missing.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) with every mistake at its place; [`MissingFiles`] where all is in order but for the
    /// files of its data set.
    pub fn load(&self, experiment: &ExperimentText<'_>) -> Result<Experiment> {
        Ok(self.loaded(experiment)?.0)
    }

    /// Reads, checks and expands an experiment.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) with every mistake at its place, or with weights that cannot be had;
    /// [`MissingFiles`] where all is in order but for files that can be fetched.
    pub fn plan(&self, experiment: ExperimentText<'_>) -> Result<PlannedSweep> {
        let (loaded, lookup, codes) = self.loaded(&experiment)?;
        let ExperimentText { text, command, .. } = experiment;
        let (needs, _) = lookup.hub.take();
        if !needs.is_empty() {
            return Err(MissingFiles { needs, absence: None, command: fetching(&command) }.into());
        }
        let mut weights = EncoderFiles::default();
        let mut resolve = |modality: Modality, section: &Settings| {
            lookup.resolve(modality, section, &mut weights).map_err(|broken| broken.to_string())
        };
        let store = self.dirs.store();
        let observe = |run: &RunId| {
            let result = store.run(run).ok()?.result()?;
            Some(result.primary_validation().filter(|_| result.status == Status::Finished))
        };
        let planned = loaded.plan_after(&mut resolve, &observe);
        let Planned { plan, further } = planned.map_err(|error| bad_input(error.to_string()))?;
        if let Ok(entry) = self.registry.dataset(&loaded.dataset().name) {
            lookup.hub.check_data(entry).map_err(bad_input)?;
        }
        let (_, unlocked) = lookup.hub.take();
        let bases = loaded.bases().map(str::to_owned).collect();
        Ok(PlannedSweep { plan, further, weights, text, bases, command, codes, unlocked, ended: OnceLock::new() })
    }

    /// Reads and checks an experiment, and returns with it what was found out about its files.
    fn loaded(&self, experiment: &ExperimentText<'_>) -> Result<Loaded> {
        let ExperimentText { text, origin, overrides, command, color } = experiment;
        let name = origin.file_stem().unwrap_or_default().to_string_lossy();
        self.dirs.store().sweep(&name).map_err(|error| bad_input(format!("{}: {error}", origin.display())))?;
        let lookup = Arc::new(self.lookup(origin, Lock::beside(origin)?));
        let mut catalog = self.registry.catalog(&self.dirs.data);
        for (declared, entry) in catalog.datasets.iter_mut().zip(self.registry.datasets) {
            declared.describe = noting_absence(Arc::clone(&declared.describe), *entry, Arc::clone(&lookup));
        }
        catalog.inspect = {
            let lookup = Arc::clone(&lookup);
            Arc::new(move |modality, section| lookup.inspect(modality, section))
        };
        let codes = Arc::new(self.codes_lookup(origin));
        catalog.codes = {
            let codes = Arc::clone(&codes);
            Arc::new(move |path, bits| codes.inspect(path, bits))
        };
        let missing = |needs| {
            let absence = lookup.hub.absence();
            anyhow::Error::new(MissingFiles { needs, absence, command: fetching(command) })
        };
        let loaded = load(text, origin, &catalog, overrides).map_err(|wrong| match lookup.hub.take().0 {
            // What is wrong is that the data set's files are missing, which can be had.
            needs if lookup.hub.absence().is_some() && wrong.iter().count() == 1 => missing(needs),
            _ => bad_input(wrong.render(*color)),
        })?;
        Ok((loaded, lookup, codes))
    }

    /// Where the codes of an experiment's external rows are looked for.
    pub(crate) fn codes_lookup(&self, origin: &Path) -> CodesLookup {
        let folder = origin.parent().unwrap_or(Path::new("")).to_owned();
        CodesLookup { read: self.read_codes, folder, notes: self.dirs.cache_path().join("codes") }
    }

    fn lookup(&self, origin: &Path, lock: Lock) -> Lookup {
        let folder = origin.parent().unwrap_or(Path::new("")).to_owned();
        let notes = self.dirs.weight_notes();
        let hub = HubFiles::new(self.dirs.data.clone(), self.dirs.cache_path().join("sha256"), lock);
        let (encoders, dirs) = (self.registry.encoders, self.dirs.data.clone());
        Lookup { encoders, dirs, folder, notes, digests: Mutex::default(), hub }
    }
}

/// The command that fetches what the experiment of a `hashlab sweep …` needs.
pub(crate) fn fetching(sweep: &str) -> String {
    sweep.replacen("hashlab sweep", "hashlab fetch", 1)
}

/// Describes a data set; where that fails, keeps account of its public files that are absent.
fn noting_absence(describe: Describe, entry: DatasetEntry, lookup: Arc<Lookup>) -> Describe {
    Arc::new(move |settings| describe(settings).inspect_err(|error| lookup.hub.note_data(&entry, error)))
}
