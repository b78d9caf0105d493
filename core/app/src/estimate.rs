//! Estimates of time, memory and disk of runs, from finished runs of the same method and size on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use hashlab_settings::canonical;
use hashlab_store::{RunConfig, RunState, STACKED, Store};
use hashlab_sweep::Plan;
use serde_json::json;

/// Runs of one size that are looked at; more hardly change a mean.
const SAMPLES: usize = 30;

/// Finished runs that are read at most, for all sizes together.
const MOST_READ: usize = 3000;

/// What earlier runs of the same size took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Mean of the seconds of training, encoding and evaluation.
    pub seconds: f64,
    /// Largest peak of resident memory, if recorded.
    pub memory_mib: Option<u64>,
    /// Mean size of a run's directory.
    pub disk_bytes: u64,
    /// The number of earlier runs.
    pub runs: usize,
}

/// Estimates by size.
#[derive(Default)]
pub(crate) struct Estimates(BTreeMap<String, Estimate>);

/// The size of a run: its method, data, encoders and training. Hyperparameters and code length hardly matter.
fn size(config: &RunConfig) -> String {
    let RunConfig { method, dataset, dataset_identity, data, protocol, encoders, train, .. } = config;
    canonical(&json!([method, dataset, dataset_identity, data, protocol, encoders, train]))
}

impl Estimates {
    /// Reads the finished runs of a plan's methods that this machine executed.
    ///
    /// # Errors
    /// If the directory of runs cannot be read.
    pub(crate) fn of(store: &Store, plan: &Plan) -> Result<Self> {
        let templates = || plan.runs.chunk_by(|a, b| a.shares_template(b)).map(|group| group[0].template());
        let wanted: BTreeSet<String> = templates().map(size).collect();
        let methods: BTreeSet<String> = templates().map(|config| format!("{}-b", config.method)).collect();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut found: BTreeMap<String, Estimate> = BTreeMap::new();
        let begun = store.begun()?;
        let known = |found: &BTreeMap<String, Estimate>| found.values().filter(|one| one.runs >= SAMPLES).count();
        let similar = begun.iter().filter(|id| methods.iter().any(|method| id.0.starts_with(method.as_str())));
        for id in similar.take(MOST_READ) {
            if known(&found) == wanted.len() {
                break;
            }
            let dir = store.run(id)?;
            let Ok(config) = dir.config() else { continue };
            let size = size(&config);
            if !wanted.contains(&size) || found.get(&size).is_some_and(|estimate| estimate.runs >= SAMPLES) {
                continue;
            }
            let RunState::Finished(result) = dir.state() else { continue };
            if result.provenance.get("host").is_none_or(|made_on| *made_on != host.as_str()) {
                continue;
            }
            // The peak of stacked runs is that of their process.
            let alone = result.provenance.get(STACKED).is_none();
            let memory = result.provenance.get("peak_rss_mib").filter(|_| alone).and_then(|peak| peak.parse().ok());
            let (seconds, disk) = (result.total_seconds(), bytes_in(dir.path()));
            found.entry(size).or_default().add(seconds, memory, disk);
        }
        found.values_mut().for_each(Estimate::finish);
        Ok(Self(found))
    }

    /// The estimate for a run; `None` if no run of its size has finished here.
    pub(crate) fn for_run(&self, config: &RunConfig) -> Option<Estimate> {
        self.0.get(&size(config)).copied()
    }

    /// The memory in bytes that a run is likely to take.
    pub(crate) fn memory_of(&self, config: &RunConfig) -> Option<u64> {
        if self.0.is_empty() {
            return None;
        }
        self.for_run(config)?.memory_mib?.checked_mul(1 << 20)
    }
}

impl Estimate {
    fn add(&mut self, seconds: f64, memory: Option<u64>, disk: u64) {
        self.seconds += seconds;
        self.memory_mib = self.memory_mib.max(memory);
        self.disk_bytes += disk;
        self.runs += 1;
    }

    /// Turns sums into means.
    fn finish(&mut self) {
        self.seconds /= self.runs.max(1) as f64;
        self.disk_bytes /= self.runs.max(1) as u64;
    }
}

/// The size of a directory's files.
fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_holds_means_and_the_largest_peak() {
        let mut estimate = Estimate::default();
        estimate.add(1.0, None, 10);
        estimate.add(3.0, Some(7), 30);
        estimate.finish();
        assert_eq!(estimate, Estimate { seconds: 2.0, memory_mib: Some(7), disk_bytes: 20, runs: 2 });
    }
}
