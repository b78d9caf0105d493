//! Facts about an execution that do not change its result.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Device;
use hashlab_kernels::device::describe;
use hashlab_method::MethodEntry;
use hashlab_pipeline::config::EncoderConfig;
use hashlab_store::RunConfig;

/// The sources that a program was built from.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Version of hashlab.
    pub version: &'static str,
    /// Commit, or `unknown` outside of a checkout.
    pub commit: &'static str,
    /// Digest of the changes since that commit, if there are any.
    pub diff_digest: Option<&'static str>,
    /// Digest of the sources of core, on which the results of every method depend, if known.
    pub core_digest: Option<&'static str>,
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
        ("device", describe(device)),
        ("threads", rayon::current_num_threads().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    facts.extend(method.map(|method| (SOURCES.to_owned(), method.source_digest())));
    for (key, digest) in [("diff_digest", build.diff_digest), (CORE, build.core_digest)] {
        facts.extend(digest.map(|digest| (key.to_owned(), digest.to_owned())));
    }
    for (modality, settings) in config.encoders.iter() {
        if let Some(digest) = EncoderConfig::read(modality, settings)?.weights_digest() {
            facts.insert(format!("{modality}_weights_digest"), digest.to_owned());
        }
    }
    Ok(facts)
}

/// The largest resident size of this process so far, in MiB, where the system tells.
pub(crate) fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1024)
}
