//! What was submitted of a plan, in a file beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use hashlab_exec::slurm::SlurmProfile;
use hashlab_store::{PlanDir, RunId};
use serde::{Deserialize, Serialize};

/// Name of the file.
const FILE: &str = "slurm.json";

/// The submissions of a plan, oldest first, and how they were made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) profile: SlurmProfile,
    /// The file that the user named for the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile_file: Option<PathBuf>,
    /// Flags of the tasks' commands: device, models, and runs at once.
    pub(crate) flags: Vec<String>,
    pub(crate) submissions: Vec<Submission>,
    /// Runs that were submitted too often while a process followed.
    #[serde(skip)]
    pub(crate) given_up: BTreeSet<RunId>,
}

/// One array, or the job that makes the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Submission {
    /// Name of the job; no other job has it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Number of the job; none if the scheduler's answer was never read.
    pub(crate) job: Option<u64>,
    /// Seconds since 1970.
    pub(crate) time: u64,
    /// The runs of each task.
    pub(crate) packs: Vec<Vec<RunId>>,
}

/// What a submission does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Features,
    Runs,
    Table,
}

impl Ledger {
    /// Reads the file; empty if there is none.
    pub(crate) fn read(dir: &PlanDir) -> Result<Self> {
        let Some(text) = dir.read(FILE) else { return Ok(Self::default()) };
        serde_json::from_str(&text).map_err(|error| {
            let path = dir.path().join(FILE);
            anyhow!("`{}` is damaged: {error}\nhelp: remove it once `squeue` lists no job of the sweep", path.display())
        })
    }

    pub(crate) fn write(&self, dir: &PlanDir) -> Result<()> {
        dir.write(FILE, &serde_json::to_vec(self)?)?;
        Ok(())
    }

    /// The submission with a name.
    pub(crate) fn named(&self, name: &str) -> Option<&Submission> {
        self.submissions.iter().find(|submission| submission.name == name)
    }

    /// How often each run was submitted from a submission on.
    pub(crate) fn counts(&self, from: usize) -> BTreeMap<&RunId, usize> {
        let mut counts = BTreeMap::new();
        let of_runs = self.submissions.iter().skip(from).filter(|one| one.kind == Kind::Runs);
        for run in of_runs.flat_map(|one| &one.packs).flatten() {
            *counts.entry(run).or_default() += 1;
        }
        counts
    }
}
