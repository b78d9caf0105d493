//! Finished runs that other sources made than those of this program.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::provenance::{CORE, SOURCES};
use crate::{PlannedSweep, Workspace};

/// Finished runs of a method that other sources made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleRuns {
    /// The method.
    pub method: String,
    /// The sources that differ.
    pub sources: OtherSources,
    /// The number of these runs.
    pub runs: usize,
}

/// The sources in which a result differs from the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherSources {
    /// Those of the method.
    Method,
    /// Those of core, e.g. losses, kernels, training loop and evaluation.
    Core,
}

impl PlannedSweep {
    /// Finds the finished runs that other sources of their method or of core made, by method.
    ///
    /// # Errors
    /// If a method is not registered.
    pub fn stale_runs(&self, workspace: &Workspace) -> Result<Vec<StaleRuns>> {
        let store = workspace.dirs.store();
        let begun = store.begun()?;
        let mut digests: BTreeMap<&str, String> = BTreeMap::new();
        let mut stale: BTreeMap<(&str, OtherSources), usize> = BTreeMap::new();
        for run in self.plan.runs.iter().filter(|run| begun.contains(&run.id)) {
            let method = run.template().method.as_str();
            if !digests.contains_key(method) {
                digests.insert(method, workspace.registry.method(method)?.source_digest());
            }
            let Some(result) = store.run(&run.id)?.result() else { continue };
            let differs = |key: &str, now: &str| result.provenance.get(key).is_some_and(|then| then != now);
            let other = if differs(SOURCES, &digests[method]) {
                Some(OtherSources::Method)
            } else {
                workspace.build.core_digest.filter(|now| differs(CORE, now)).map(|_| OtherSources::Core)
            };
            if let Some(other) = other {
                *stale.entry((method, other)).or_default() += 1;
            }
        }
        let stale = stale.into_iter();
        Ok(stale.map(|((method, sources), runs)| StaleRuns { method: method.to_owned(), sources, runs }).collect())
    }
}
