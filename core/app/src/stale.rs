//! Finished runs that other sources made than those of this program.

use std::collections::BTreeMap;

use anyhow::Result;
use hashlab_store::{Name, RunResult};

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

/// What planning needs to know of a run with a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Digest of the sources of its method.
    sources: Option<Name>,
    /// Digest of the sources of core.
    core: Option<Name>,
}

impl PlannedSweep {
    /// The plan's runs, in its order: `None` for one without a result. They are read once; a run that ends later is found
    /// when its turn comes.
    ///
    /// # Errors
    /// If the directory of runs cannot be read.
    pub(crate) fn ended(&self, workspace: &Workspace) -> Result<&[Option<Ended>]> {
        if let Some(known) = self.ended.get() {
            return Ok(known);
        }
        let fact = |result: &RunResult, key: &str| result.provenance.get(key).copied();
        let ended = |result: RunResult| Ended { sources: fact(&result, SOURCES), core: fact(&result, CORE) };
        let runs = self.plan.runs.iter().map(|run| &run.id);
        let found = workspace.dirs.store().results_as(runs, ended)?;
        Ok(self.ended.get_or_init(|| found))
    }

    /// Finds the finished runs that other sources of their method or of core made, by method.
    ///
    /// # Errors
    /// If a method is not registered.
    pub fn stale_runs(&self, workspace: &Workspace) -> Result<Vec<StaleRuns>> {
        let mut digests: BTreeMap<&str, String> = BTreeMap::new();
        let mut stale: BTreeMap<(&str, OtherSources), usize> = BTreeMap::new();
        for (run, ended) in self.plan.runs.iter().zip(self.ended(workspace)?) {
            let Some(ended) = ended else { continue };
            let method = run.template().method.as_str();
            if !digests.contains_key(method) {
                digests.insert(method, workspace.registry.method(method)?.source_digest());
            }
            let differs = |then: Option<Name>, now: &str| then.is_some_and(|then| then != now);
            let other = if differs(ended.sources, &digests[method]) {
                Some(OtherSources::Method)
            } else {
                workspace.build.core_digest.filter(|now| differs(ended.core, now)).map(|_| OtherSources::Core)
            };
            if let Some(other) = other {
                *stale.entry((method, other)).or_default() += 1;
            }
        }
        let stale = stale.into_iter();
        Ok(stale.map(|((method, sources), runs)| StaleRuns { method: method.to_owned(), sources, runs }).collect())
    }
}
