//! The files of the hub that an experiment needs: which are here, and which are not.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hashlab_data::{DataDirs, DataError, DatasetEntry};
use hashlab_hub::Remote;
use sha2::{Digest as _, Sha256};

use crate::lock::Lock;
use crate::notes;

/// A file that is not here.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Its description, e.g. `the weights of encoder NAME`.
    pub what: String,
    /// Its address on the hub.
    pub remote: Remote,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, remote } = self;
        write!(f, "{what}: {} of {}", remote.name, remote.page())?;
        match remote.megabytes {
            Some(size) => write!(f, ", {size:.1} MB")?,
            None => write!(f, ", of a size that the hub knows")?,
        }
        match &remote.license {
            Some(license) => write!(f, ", license: {license}"),
            None => write!(f, ", license: see there"),
        }
    }
}

/// The error of an experiment that is in order but for files that can be fetched.
#[derive(Debug)]
pub struct MissingFiles {
    /// The files.
    pub needs: Vec<Need>,
    /// What the data set says of its absence: the places that were looked at, and what is there in part or in another
    /// form.
    pub absence: Option<String>,
    /// The command that fetches them.
    pub command: String,
}

impl fmt::Display for MissingFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (are, them) = if self.needs.len() == 1 { ("a file is", "it") } else { ("files are", "them") };
        writeln!(f, "{are} not here that the experiment needs")?;
        for need in &self.needs {
            writeln!(f, "  {need}")?;
        }
        if let Some(absence) = &self.absence {
            writeln!(f, "{absence}")?;
        }
        write!(f, "help: `{}` downloads {them}", self.command)
    }
}

impl std::error::Error for MissingFiles {}

/// A file that is here, and whose digest nothing states.
pub type Unlocked = (Remote, PathBuf);

/// Looks files of the hub up, for one plan.
pub(crate) struct HubFiles {
    dirs: DataDirs,
    /// Folder of remembered digests.
    notes: PathBuf,
    lock: Lock,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    absent: Vec<Need>,
    /// Number of lookups without success.
    misses: usize,
    unlocked: Vec<Unlocked>,
    /// What the data set says where it could not be described for want of public files.
    absence: Option<String>,
}

impl HubFiles {
    pub(crate) fn new(dirs: DataDirs, notes: PathBuf, lock: Lock) -> Self {
        Self { dirs, notes, lock, found: Mutex::default() }
    }

    /// Place of a file in the data directories, if it is there.
    pub(crate) fn place(&self, remote: &Remote) -> Option<PathBuf> {
        self.dirs.search.iter().map(|dir| dir.join(&remote.place)).find(|path| path.is_file())
    }

    /// Finds a file. One that is absent is kept account of.
    ///
    /// # Errors
    /// If it is not here, or is another one than the lock file records.
    pub(crate) fn find(&self, what: String, remote: Remote) -> Result<PathBuf, String> {
        let Some(path) = self.place(&remote) else {
            let need = Need { what, remote };
            let message = format!("{need}, is not here");
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.misses += 1;
            if !found.absent.iter().any(|known| known.remote.place == need.remote.place) {
                found.absent.push(need);
            }
            return Err(message);
        };
        self.compare(remote, &path)?;
        Ok(path)
    }

    /// Finds the public files of a data set.
    ///
    /// # Errors
    /// If one of them is another one than the lock file records.
    pub(crate) fn check_data(&self, entry: &DatasetEntry) -> Result<(), String> {
        for remote in entry.published.iter().flat_map(|published| published.remotes()) {
            if let Some(path) = self.place(&remote) {
                self.compare(remote, &path)?;
            }
        }
        Ok(())
    }

    /// Keeps account of the public files of a data set that are absent. `error` is why it has no description.
    pub(crate) fn note_data(&self, entry: &DatasetEntry, error: &DataError) {
        let absence = error.problem();
        for remote in entry.published.iter().flat_map(|published| published.remotes()) {
            if self.find(format!("data set `{}`", entry.summary.name), remote).is_err() {
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.absence = Some(absence.clone());
            }
        }
    }

    /// What the data set says of its absence, if public files are absent without which it has no description.
    pub(crate) fn absence(&self) -> Option<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).absence.clone()
    }

    /// Number of lookups without success.
    pub(crate) fn misses(&self) -> usize {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).misses
    }

    /// The files that are absent, and those that the lock file has to remember.
    pub(crate) fn take(&self) -> (Vec<Need>, Vec<Unlocked>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut found.absent), std::mem::take(&mut found.unlocked))
    }

    /// Compares a file with what the lock file records of it; published digests are compared when a file is fetched.
    fn compare(&self, remote: Remote, path: &Path) -> Result<(), String> {
        if remote.sha256.is_some() {
            return Ok(());
        }
        let Some(locked) = self.lock.get(&remote) else {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            if !found.unlocked.iter().any(|(known, _)| *known == remote) {
                found.unlocked.push((remote, path.to_owned()));
            }
            return Ok(());
        };
        let digest = notes::digest(&self.notes, path, "sha256", |path| {
            sha256(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        })?;
        if digest == locked.sha256 {
            return Ok(());
        }
        Err(format!(
            "{} is not the file that {} records: its SHA-256 is {digest}, expected {}\n\
             help: remove it and fetch it again; or remove its entry there, if another file is meant from now on",
            path.display(),
            self.lock.path().display(),
            locked.sha256
        ))
    }
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// An error of reading.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}
