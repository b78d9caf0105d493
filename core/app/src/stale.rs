//! Finished runs that other sources made than those of this program.

use std::collections::BTreeMap;

use anyhow::Result;
use hashlab_report::SweepReport;
use hashlab_store::{Name, RunResult, counted};

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
        let ended = |result: RunResult| Ended::of(&result);
        let runs = self.plan.runs.iter().map(|run| &run.id);
        let found = workspace.dirs.store().results_as(runs, ended)?;
        Ok(self.ended.get_or_init(|| found))
    }

    /// Finds the finished runs that other sources of their method or of core made, by method.
    ///
    /// # Errors
    /// If a method is not registered.
    pub fn stale_runs(&self, workspace: &Workspace) -> Result<Vec<StaleRuns>> {
        let ended = self.plan.runs.iter().zip(self.ended(workspace)?);
        workspace.stale(ended.filter_map(|(run, ended)| Some((run.template().method.as_str(), (*ended)?))))
    }
}

impl Workspace {
    /// Finds the results of a report that other sources of their method or of core made, by method.
    ///
    /// # Errors
    /// If a method is not registered.
    pub fn stale_results(&self, report: &SweepReport) -> Result<Vec<StaleRuns>> {
        let known = |method: &str| self.registry.method(method).is_ok();
        let runs = report.runs.iter().filter(|run| known(&run.method));
        self.stale(runs.filter_map(|run| Some((run.method.as_str(), Ended::of(run.finished()?)))))
    }

    fn stale<'a>(&self, results: impl Iterator<Item = (&'a str, Ended)>) -> Result<Vec<StaleRuns>> {
        let mut digests: BTreeMap<&str, String> = BTreeMap::new();
        let mut stale: BTreeMap<(&str, OtherSources), usize> = BTreeMap::new();
        for (method, ended) in results {
            if !digests.contains_key(method) {
                digests.insert(method, self.registry.method(method)?.source_digest());
            }
            let differs = |then: Option<Name>, now: &str| then.is_some_and(|then| then != now);
            let other = if differs(ended.sources, &digests[method]) {
                Some(OtherSources::Method)
            } else {
                self.build.core_digest.filter(|now| differs(ended.core, now)).map(|_| OtherSources::Core)
            };
            if let Some(other) = other {
                *stale.entry((method, other)).or_default() += 1;
            }
        }
        let stale = stale.into_iter();
        Ok(stale.map(|((method, sources), runs)| StaleRuns { method: method.to_owned(), sources, runs }).collect())
    }
}

impl Ended {
    fn of(result: &RunResult) -> Self {
        let fact = |key: &str| result.provenance.get(key).copied();
        Self { sources: fact(SOURCES), core: fact(CORE) }
    }
}

impl StaleRuns {
    /// What a user is told, with the command that repeats the runs.
    pub fn in_words(&self) -> String {
        let Self { method, sources, runs } = self;
        let (were, them) = if *runs == 1 { ("was", "it") } else { ("were", "them") };
        let sources = match sources {
            OtherSources::Method => "the method",
            OtherSources::Core => "hashlab's core",
        };
        let runs = counted(*runs, "finished run");
        format!("{runs} of `{method}` {were} made by other sources of {sources}; `--rerun {method}` repeats {them}")
    }
}
