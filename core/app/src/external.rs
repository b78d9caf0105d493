//! External rows of a sweep: codes that others computed, measured in this process before any job starts.

use std::path::{Path, PathBuf};
use std::result::Result as StdResult;

use anyhow::{Context as _, Result};
use hashlab_data::{ByModality, DataError, Modality, special};
use hashlab_eval::Codes;
use hashlab_pipeline::run::{ExternalCodes, measure_external};
use hashlab_store::RunState;
use hashlab_sweep::{CodesFacts, PlannedExternal, Side};

use crate::provenance::provenance;
use crate::{PlannedSweep, Workspace, bad_input, notes, sha256};

/// Reads codes of so many bits from a path with the array behind `#`.
pub type ReadCodes = fn(&str, usize) -> StdResult<Codes, DataError>;

/// Where the files of external rows are looked for, and how they are read.
pub(crate) struct CodesLookup {
    pub(crate) read: ReadCodes,
    /// Folder of the experiment file.
    pub(crate) folder: PathBuf,
    /// Where digests are remembered.
    pub(crate) notes: PathBuf,
}

impl CodesLookup {
    /// Reads the facts of a file.
    pub(crate) fn inspect(&self, path: &str, bits: usize) -> StdResult<CodesFacts, String> {
        let path = self.find(path)?;
        let codes = (self.read)(&path, bits).map_err(|error| error.to_string())?;
        let (file, array) = split(&path);
        let digest = notes::digest(&self.notes, file, "sha256", |file| {
            sha256(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
        })?;
        let array = array.map_or(String::new(), |array| format!("#{array}"));
        Ok(CodesFacts { items: codes.len(), digest: digest + &array })
    }

    /// The path, or that beside the experiment file.
    fn find(&self, path: &str) -> StdResult<String, String> {
        let beside = self.folder.join(path).to_string_lossy().into_owned();
        let found = [path, &beside].into_iter().find(|path| split(path).0.is_file());
        found.map(str::to_owned).ok_or_else(|| {
            if let Some(what) = special(split(path).0) {
                return format!("{} is {what}\nhelp: name a file", split(path).0.display());
            }
            let (file, beside) = (split(path).0.display(), split(&beside).0.display());
            format!("there is no file {file}\nhelp: it is looked for here, and beside the experiment file ({beside})")
        })
    }
}

/// The file of a path, and the name of the array in it.
fn split(path: &str) -> (&Path, Option<&str>) {
    let (file, array) = path.split_once('#').map_or((path, None), |(file, array)| (file, Some(array)));
    (Path::new(file), array)
}

impl PlannedSweep {
    /// Measures the external rows that have no result.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if codes do not fit the protocol or changed since the plan; if the data set cannot be
    /// opened, or a result cannot be written.
    pub(crate) fn measure_external(&self, workspace: &Workspace) -> Result<()> {
        let store = workspace.dirs.store();
        for row in &self.plan.external {
            if !matches!(store.run(&row.run.id)?.state(), RunState::Finished(_)) {
                self.measure_one(workspace, row)?;
            }
        }
        Ok(())
    }

    fn measure_one(&self, workspace: &Workspace, row: &PlannedExternal) -> Result<()> {
        let config = row.run.config();
        let dataset = workspace.registry.dataset(&config.dataset)?.open(&config.data, &workspace.dirs.data)?;
        let measured = self.read_codes(row).and_then(|codes| measure_external(&config, dataset.as_ref(), codes));
        let mut found = measured.map_err(|error| {
            let files = row.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
            bad_input(format!(
                "row `{}`, {} bits: {error:#}\nhelp: the files are {files}; rows are in the order of the data set, or in \
                 that of the protocol's queries and database, as `features FILE --out DIR` lists them",
                row.run.label, row.run.bits
            ))
        })?;
        let facts = provenance(&workspace.build, &config, None, &candle_core::Device::Cpu)?;
        found.result.provenance.extend(facts);
        let dir = workspace.dirs.store().run(&row.run.id)?;
        dir.prepare(&config)?;
        let Some(claim) = dir.try_claim()? else { return Ok(()) }; // another process measures the same
        found.result.attempts = claim.attempt();
        claim.finish(&found.result)?;
        claim.write_queries(&found.queries).context("the result is stored, without the results of single queries")?;
        claim.write_codes(&found.profile).context("the result is stored, without statistics of its codes")
    }

    /// Reads a row's codes, and checks that they are those of the plan.
    fn read_codes(&self, row: &PlannedExternal) -> Result<ByModality<ExternalCodes>> {
        let read = |modality: Modality, side: Side| {
            let file = row.files.iter().find(|file| file.modality == modality && file.side == side);
            let file = file.with_context(|| format!("the plan names no file of {} {modality} codes", side.name()))?;
            let found = self.codes.inspect(&file.path, row.run.bits).map_err(anyhow::Error::msg)?;
            anyhow::ensure!(found == file.facts, "{} changed since the sweep started", file.path);
            let path = self.codes.find(&file.path).map_err(anyhow::Error::msg)?;
            Ok::<_, anyhow::Error>((self.codes.read)(&path, row.run.bits)?)
        };
        let mut codes = ByModality::default();
        for modality in Modality::ALL.into_iter().filter(|one| row.files.iter().any(|file| file.modality == *one)) {
            let all = row.files.iter().any(|file| file.side == Side::All);
            codes.insert(
                modality,
                match all {
                    true => ExternalCodes::All(read(modality, Side::All)?),
                    false => ExternalCodes::Sides(read(modality, Side::Query)?, read(modality, Side::Database)?),
                },
            );
        }
        Ok(codes)
    }
}
