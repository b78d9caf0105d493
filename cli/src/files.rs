//! Files that an experiment needs and that are not here: they are named, fetched, and recorded where nothing states their
//! digest.

use std::path::{Path, PathBuf};

use anyhow::Result;
use hashlab_app::{Lock, Locked, MissingFiles, Need, PlannedSweep, Unlocked};
use hashlab_store::counted;

use crate::args::ExperimentArgs;
use crate::context::{Context, warn};
use crate::hub::{Arrived, Hub, sha256};

/// Which runs are to find their data set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Those without a result.
    Pending,
    /// All.
    All,
}

/// Rounds of planning and fetching: the tokenizer of a model may be named only once its weights are there.
const ROUNDS: usize = 3;

/// Reads an experiment as [`Context::plan`] does, and fetches what it needs. `say` tells what happens.
///
/// # Errors
/// As of [`Context::plan`]; [`MissingFiles`] where the network is not to be used.
pub(crate) fn plan(
    context: &Context,
    args: &ExperimentArgs,
    extent: Extent,
    hub: &Hub,
    say: &dyn Fn(&str) -> Result<()>,
) -> Result<PlannedSweep> {
    for _ in 0..ROUNDS {
        let missing = match context.plan(args) {
            Ok(planned) => {
                let Some(missing) = planned.missing_data(&context.workspace, extent == Extent::All)? else {
                    record(args, &planned.unlocked, say);
                    return Ok(planned);
                };
                missing
            }
            Err(error) => error.downcast::<MissingFiles>()?,
        };
        bring(context, args, missing, hub, say)?;
    }
    context.plan(args)
}

/// Fetches files, after saying which.
fn bring(
    context: &Context,
    args: &ExperimentArgs,
    missing: MissingFiles,
    hub: &Hub,
    say: &dyn Fn(&str) -> Result<()>,
) -> Result<()> {
    let MissingFiles { needs, absence, command } = missing;
    if hub.is_offline() {
        let absent: Vec<Need> = needs.iter().filter(|need| hub.cached(&need.remote).is_none()).cloned().collect();
        if !absent.is_empty() {
            return Err(MissingFiles { needs: absent, absence, command }.into());
        }
    }
    let dir = context.dirs().data.target();
    let size: f64 = needs.iter().filter_map(|need| need.remote.megabytes).sum();
    if let Some(absence) = absence {
        say(&format!("{absence}\n"))?;
    }
    say(&format!("fetching {} ({size:.1} MB) into {}:\n", counted(needs.len(), "file"), dir.display()))?;
    let mut lock = Lock::beside(&origin(args))?;
    for need in needs {
        say(&format!("  {need}\n"))?;
        let mut remote = need.remote;
        let known = remote.sha256.is_some();
        let addressed = remote.clone();
        if let Some(locked) = lock.get(&remote).filter(|_| !known) {
            remote.sha256 = Some(locked.sha256.clone());
            remote.revision = locked.commit.clone().unwrap_or_else(|| remote.revision.clone());
        }
        let arrived = hub.bring(&remote, dir)?;
        say(&format!("  {}\n", dir.join(&remote.place).display()))?;
        if !known && lock.get(&addressed).is_none() {
            keep(&mut lock, &addressed, arrived, say);
        }
    }
    Ok(())
}

/// Records files that were here before the experiment named them.
fn record(args: &ExperimentArgs, unlocked: &[Unlocked], say: &dyn Fn(&str) -> Result<()>) {
    if unlocked.is_empty() {
        return;
    }
    match Lock::beside(&origin(args)) {
        Err(error) => warn(&format!("{error:#}")),
        Ok(mut lock) => {
            for (remote, path) in unlocked {
                match sha256(path) {
                    Ok(sha256) => keep(&mut lock, remote, Arrived { sha256, commit: None }, say),
                    Err(error) => warn(&format!("cannot read {}: {error}", path.display())),
                }
            }
        }
    }
}

/// Records a file. A lock file that cannot be written stops nothing: the files are here.
fn keep(lock: &mut Lock, remote: &hashlab_hub::Remote, arrived: Arrived, say: &dyn Fn(&str) -> Result<()>) {
    let Arrived { sha256, commit } = arrived;
    let place = lock.path().display().to_string();
    let told = format!("  recorded in {place}: {} has SHA-256 {sha256}\n", remote.address());
    match lock.record(remote, Locked { sha256, commit }) {
        Ok(()) => _ = say(&told),
        Err(error) => {
            warn(&format!("cannot write {place}, by which other machines would notice another file: {error}"))
        }
    }
}

/// The file of an experiment, beside which its lock file lies.
fn origin(args: &ExperimentArgs) -> PathBuf {
    args.file.clone().unwrap_or_else(|| Path::new(crate::context::QUICKSTART.0).to_owned())
}
