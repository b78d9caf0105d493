//! Plans as a sweep left them, with what executing their runs takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use hashlab_store::PlanDir;
use hashlab_sweep::Plan;

use crate::collect::COMMAND;
use crate::error::bad_input;
use crate::weights::EncoderFiles;
use crate::workspace::{PlannedSweep, Workspace};

/// Name of the file with the paths of the encoders' files, by digest.
pub(crate) const FILES: &str = "files.json";

/// Renders [`FILES`]. Paths are absolute, for programs that start elsewhere.
pub(crate) fn files(weights: &EncoderFiles) -> Vec<u8> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let files: BTreeMap<&str, PathBuf> = weights.iter().map(|(digest, path)| (digest, absolute(path))).collect();
    serde_json::to_vec_pretty(&files).expect("paths are text")
}

impl Workspace {
    /// Reads a sweep's plan as it was started last, or one that `NAME/DIGEST` names.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if there is none, or if it is damaged.
    pub fn stored_sweep(&self, name: &str) -> Result<(PlannedSweep, PlanDir)> {
        let (plan, dir) = match name.split_once('/') {
            Some((name, digest)) => self.plan_of(self.dirs.store().sweep(name)?.plan(digest)?)?,
            None => self.newest_plan(name)?,
        };
        let command = dir.read(COMMAND).unwrap_or_else(|| format!("hashlab sweep {}.toml", plan.name));
        let weights = match dir.read(FILES) {
            None => EncoderFiles::default(),
            Some(text) => serde_json::from_str::<BTreeMap<String, PathBuf>>(&text)
                .map_err(|error| {
                    let path = dir.path().join(FILES);
                    bad_input(format!("`{}` is damaged: {error}\nhelp: `{command}` writes it anew", path.display()))
                })?
                .into_iter()
                .collect(),
        };
        let text = dir.read("sweep.toml").unwrap_or_default();
        Ok((PlannedSweep { text, ..self.planned(plan, weights, command) }, dir))
    }

    /// A plan with the files that its runs need. External rows are measured by the sweep that knows where their files lie.
    pub(crate) fn planned(&self, plan: Plan, weights: EncoderFiles, command: String) -> PlannedSweep {
        PlannedSweep {
            plan,
            further: 0,
            weights,
            text: String::new(),
            bases: Vec::new(),
            command,
            codes: Arc::new(self.codes_lookup(Path::new(""))),
            unlocked: Vec::new(),
            ended: OnceLock::new(),
        }
    }
}
