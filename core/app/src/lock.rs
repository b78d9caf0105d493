//! The lock file beside an experiment: digests of files whose digest nothing else states.
//!
//! Of `cifar10.toml` it is `cifar10.lock`. The first fetch records what it brought; from then on another file under the
//! same address is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use hashlab_hub::Remote;
use serde::{Deserialize, Serialize};

use crate::error::bad_input;

/// The first lines of a lock file.
const HEAD: &str = "\
# Files that the experiment of this name names without a digest, as they were when they were first fetched.
# Keep this file with the experiment: another file under the same address is refused.
";

/// A lock file.
#[derive(Debug, Default)]
pub struct Lock {
    path: PathBuf,
    files: BTreeMap<String, Locked>,
}

/// A file as it was first fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// The commit that the hub served, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Lock {
    /// Reads the lock file of an experiment; without one, nothing is locked.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if it cannot be read or is none.
    pub fn beside(experiment: &Path) -> Result<Self> {
        let path = experiment.with_extension("lock");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self { path, ..Self::default() }),
            read => read.map_err(|error| bad_input(format!("cannot read {}: {error}", path.display())))?,
        };
        let files = toml::from_str(&text).map_err(|error| {
            let problem = error.to_string();
            let help = "restore the file, or remove it: then the next fetch records what it brings";
            bad_input(format!("{} is no lock file: {}\nhelp: {help}", path.display(), problem.trim_end()))
        })?;
        Ok(Self { path, files })
    }

    /// Path of the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Record of a file.
    pub fn get(&self, remote: &Remote) -> Option<&Locked> {
        self.files.get(&remote.address())
    }

    /// Records a file, and writes the lock file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn record(&mut self, remote: &Remote, locked: Locked) -> Result<()> {
        self.files.insert(remote.address(), locked);
        let text = format!("{HEAD}\n{}", toml::to_string(&self.files)?);
        let partial = self.path.with_extension(format!("lock.{}", std::process::id()));
        std::fs::write(&partial, text)?;
        Ok(std::fs::rename(&partial, &self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_again() {
        let folder = std::env::temp_dir().join(format!("hashlab-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let experiment = folder.join("a.toml");
        let remote = Remote::parse("hf://org/name@main/model.safetensors").unwrap();
        let mut lock = Lock::beside(&experiment).unwrap();
        assert_eq!(lock.get(&remote), None);
        let locked = Locked { sha256: "ab".repeat(32), commit: Some("c0ffee".into()) };
        lock.record(&remote, locked.clone()).unwrap();
        assert_eq!(Lock::beside(&experiment).unwrap().get(&remote), Some(&locked));
        std::fs::write(folder.join("a.lock"), "files = 3").unwrap();
        let message = Lock::beside(&experiment).unwrap_err().to_string();
        assert!(message.contains("a.lock is no lock file: ") && message.contains("\nhelp: "), "{message}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
