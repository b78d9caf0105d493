//! Facts about an execution that do not change its result.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::Result;
use candle_core::Device;
use hashlab_kernels::device::{describe, devices_from};
use hashlab_method::MethodEntry;
use hashlab_pipeline::config::EncoderConfig;
use hashlab_pipeline::device_count;
use hashlab_store::{RunConfig, RunId, Store};

use crate::machine;
use crate::shell::quoted;

/// The sources that a program was built from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Build {
    /// Version of hashlab.
    pub version: &'static str,
    /// Commit, or `unknown` outside of a checkout.
    pub commit: &'static str,
    /// Digest of the changes since that commit, if there are any.
    pub diff_digest: Option<&'static str>,
    /// Digest of the sources of core, on which the results of every method depend, if known.
    pub core_digest: Option<&'static str>,
    /// Digest of the lock file that states the versions of all dependencies, if known.
    pub lock_digest: Option<&'static str>,
    /// The compiler with its version, and the platform that it compiled for, if known.
    pub toolchain: Option<&'static str>,
}

/// Key of the digest of a method's sources in the provenance of a run.
pub(crate) const SOURCES: &str = "sources_digest";

/// Key of the digest of core's sources.
pub(crate) const CORE: &str = "core_digest";

/// Lists the provenance of a run that starts now; it has no method where others computed its codes.
///
/// # Errors
/// If the configuration does not fit this program.
pub(crate) fn provenance(
    build: &Build,
    config: &RunConfig,
    method: Option<&MethodEntry>,
    device: &Device,
) -> Result<BTreeMap<String, String>> {
    let uname = rustix::system::uname();
    let mut facts: BTreeMap<String, String> = [
        ("hashlab", build.version.to_owned()),
        ("commit", build.commit.to_owned()),
        ("dataset_digest", config.dataset_identity.clone()),
        ("host", uname.nodename().to_string_lossy().into_owned()),
        ("device", devices(config, device)?),
        ("threads", rayon::current_num_threads().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    facts.extend(method.map(|method| (SOURCES.to_owned(), method.source_digest())));
    let built = [
        ("diff_digest", build.diff_digest),
        (CORE, build.core_digest),
        ("lock_digest", build.lock_digest),
        ("toolchain", build.toolchain),
    ];
    facts.extend(built.into_iter().filter_map(|(key, fact)| Some((key.to_owned(), fact?.to_owned()))));
    facts.extend(machine::facts(device).into_iter().map(|(key, fact)| (key.to_owned(), fact)));
    facts.insert("argv".to_owned(), command(std::env::args_os()));
    for (modality, settings) in config.encoders.iter() {
        if let Some(digest) = EncoderConfig::read(modality, settings)?.weights_digest() {
            facts.insert(format!("{modality}_weights_digest"), digest.to_owned());
        }
    }
    Ok(facts)
}

/// The devices that a run computes on.
fn devices(config: &RunConfig, first: &Device) -> Result<String> {
    let count = if first.is_cpu() { 1 } else { device_count(config)? };
    let devices = devices_from(first, count)?;
    Ok(devices.iter().map(describe).collect::<Vec<_>>().join(", "))
}

/// The command line of this process without the runs that it executes, so that all runs of a sweep have the same.
fn command(words: impl Iterator<Item = OsString>) -> String {
    let runs = Store::open("");
    let is_run = |word: &String| runs.run(&RunId(word.clone())).is_ok();
    let words = words.map(|word| word.to_string_lossy().into_owned()).filter(|word| !is_run(word));
    words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// The largest resident size of this process so far, in MiB, where the system tells.
pub(crate) fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_without_runs_and_can_be_repeated() {
        let words = ["hashlab", "--runs", "my runs", "worker", "lsh-b16-s0-0123456789ab", "--keep", "none"];
        assert_eq!(command(words.into_iter().map(OsString::from)), "hashlab --runs 'my runs' worker --keep none");
    }
}
