//! Files of its data set that a planned sweep lacks.

use anyhow::Result;
use hashlab_data::DataError;
use hashlab_hub::Remote;
use hashlab_sweep::PlannedRun;

use crate::Choice;
use crate::hub_files::{MissingFiles, Need};
use crate::workspace::{PlannedSweep, Workspace, fetching};

impl PlannedSweep {
    /// Finds the public files of the data set that are absent, where the data set is not here in another form; `None` if
    /// nothing is missing. A sweep without pending runs needs none unless `all` of it is meant.
    ///
    /// # Errors
    /// If the data set's files are damaged.
    pub fn missing_data(&self, workspace: &Workspace, all: bool) -> Result<Option<MissingFiles>> {
        let pending = self.pending_at_start(workspace, &Choice::default())?;
        let first = if all { self.plan.runs.first() } else { pending.first().map(|run| run.run) };
        let Some(config) = first.map(PlannedRun::template) else { return Ok(None) };
        let entry = workspace.registry.dataset(&config.dataset)?;
        let Some(published) = entry.published else { return Ok(None) };
        let here = |remote: &Remote| workspace.dirs.data.search.iter().any(|dir| dir.join(&remote.place).is_file());
        let absent = published.remotes().filter(|remote| !here(remote));
        let what = format!("data set `{}`", entry.summary.name);
        let needs: Vec<Need> = absent.map(|remote| Need { what: what.clone(), remote }).collect();
        if needs.is_empty() {
            return Ok(None);
        }
        match entry.open(&config.data, &workspace.dirs.data) {
            Ok(_) => Ok(None),
            Err(error @ DataError::Missing { .. }) => {
                let absence = Some(error.problem());
                Ok(Some(MissingFiles { needs, absence, command: fetching(&self.command) }))
            }
            Err(error) => Err(error.into()),
        }
    }
}
