//! What no plan refers to any more: features, checkpoints, models.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use hashlab_cache::{CachedFile, FeatureCache, Pruned};
use hashlab_pipeline::config::EncoderConfig;
use hashlab_pipeline::identity_of;
use hashlab_store::{RunConfig, RunDir};

use crate::Workspace;

/// What no plan under the directory of runs refers to.
pub struct Garbage {
    cache: Option<FeatureCache>,
    /// The features that plans need, by data set: network, digest of its weights.
    wanted: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Feature files of other data sets, networks or weights.
    pub features: Vec<CachedFile>,
    /// Runs of no plan that keep checkpoints or models, with the bytes of both.
    pub runs: Vec<(RunDir, u64)>,
}

impl Workspace {
    /// Looks for what no plan refers to. Results are never part of it.
    ///
    /// # Errors
    /// If a plan is damaged or cannot be read, so that what it refers to is unknown, or a directory cannot be read.
    pub fn garbage(&self) -> Result<Garbage> {
        let store = self.dirs.store();
        let (mut planned, mut wanted) = (BTreeSet::new(), BTreeMap::new());
        for sweep in store.sweeps() {
            for dir in store.sweep(&sweep)?.all() {
                let unknown = format!("what `{}` refers to is unknown", dir.name());
                let (plan, _) = self.plan_of(dir).context(unknown)?;
                for group in plan.runs.chunk_by(|a, b| a.shares_template(b)) {
                    want(group[0].template(), &mut wanted)?;
                }
                planned.extend(plan.runs.into_iter().map(|run| run.id));
            }
        }
        let mut runs = Vec::new();
        for id in store.begun()?.difference(&planned) {
            let run = store.run(id)?;
            let bytes = run.tensor_bytes().iter().sum();
            if bytes > 0 {
                runs.push((run, bytes));
            }
        }
        let cache = self.dirs.cache_path().is_dir().then(|| self.dirs.cache()).transpose()?;
        let files = cache.as_ref().map(FeatureCache::list).transpose()?.unwrap_or_default();
        let features = files.into_iter().filter(|file| !is_wanted(&wanted, file)).collect();
        Ok(Garbage { cache, wanted, features, runs })
    }
}

impl Garbage {
    /// Bytes of everything.
    pub fn bytes(&self) -> u64 {
        let features: u64 = self.features.iter().map(|file| file.bytes).sum();
        features + self.runs.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Removes everything but what is in use. Returns the bytes that are free now.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove(&self) -> Result<u64> {
        let pruned =
            self.cache.as_ref().map(|cache| cache.remove(|file| !is_wanted(&self.wanted, file))).transpose()?;
        let mut freed = pruned.map_or(0, |Pruned { bytes, .. }| bytes);
        for (run, bytes) in &self.runs {
            if run.remove_tensors()? {
                freed += bytes;
            }
        }
        Ok(freed)
    }
}

/// Notes the features that the runs of a configuration need.
fn want(config: &RunConfig, wanted: &mut BTreeMap<String, BTreeSet<(String, String)>>) -> Result<()> {
    let of_data = wanted.entry(identity_of(config)).or_default();
    for (modality, settings) in config.encoders.iter() {
        let encoder = EncoderConfig::read(modality, settings)?;
        if let Some(network) = encoder.network() {
            of_data.insert((network.to_owned(), encoder.weights_digest().unwrap_or_default().to_owned()));
        }
    }
    Ok(())
}

/// Whether a plan needs the features of a file: of its data set, by its network and weights. Other sizes, views and
/// settings of the same network count as needed. What has no identity is never needed.
fn is_wanted(wanted: &BTreeMap<String, BTreeSet<(String, String)>>, file: &CachedFile) -> bool {
    let Some(key) = &file.key else { return false };
    let network = key.encoder.split([' ', '/']).next().unwrap_or_default();
    let of_data = wanted.get(&key.dataset);
    of_data.is_some_and(|known| known.contains(&(network.to_owned(), key.weights.clone())))
}
