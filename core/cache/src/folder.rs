//! The files of a feature file.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::key::Identity;
use crate::lock::Lock;
use crate::{CacheDtype, CacheError};

/// A feature file's folder and the names in it.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder for `identity` in the cache at `root`.
    pub(crate) fn of(root: &Path, identity: &Identity) -> Self {
        let digest = identity.digest().to_hex();
        Self(root.join(&digest[..2]).join(&digest[..32]))
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.0.join("key.json")
    }

    pub(crate) fn data(&self, dtype: CacheDtype) -> PathBuf {
        self.0.join(format!("data.{dtype}"))
    }

    /// Bytes of data on disk, independent of the stored identity, which may be damaged.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let bytes = |dtype| fs::metadata(self.data(dtype)).map_or(0, |file| file.len());
        CacheDtype::ALL.map(bytes).iter().sum()
    }

    pub(crate) fn checksums(&self) -> PathBuf {
        self.0.join("checksums")
    }

    pub(crate) fn partial_checksums(&self) -> PathBuf {
        self.0.join("checksums.partial")
    }

    pub(crate) fn use_lock(&self) -> PathBuf {
        self.0.join("use.lock")
    }

    pub(crate) fn build_lock(&self) -> PathBuf {
        self.0.join("build.lock")
    }

    /// Protects the feature file from removal, and marks it as used now.
    pub(crate) fn hold(&self) -> Result<Lock, CacheError> {
        fs::create_dir_all(&self.0).map_err(CacheError::io("create", &self.0))?;
        let held = Lock::shared(&self.use_lock())?;
        if let Err(error) = held.touch() {
            // Another user's cache or a read-only disk: only the order of removal suffers.
            tracing::debug!(feature_file = %self.0.display(), %error, "cannot note the last use");
        }
        Ok(held)
    }

    /// Reads the feature file's identity; `None` if it is missing or damaged.
    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::parse(&fs::read(self.key()).ok()?)
    }

    /// Writes the feature file's identity, whole or not at all.
    pub(crate) fn describe(&self, identity: &Identity) -> Result<(), CacheError> {
        let text = serde_json::to_string_pretty(identity).expect("an identity is plain data");
        write_atomically(&self.key(), |file| file.write_all(text.as_bytes()))
            .map_err(CacheError::io("write", &self.key()))
    }

    /// Removes the feature file's content: the checksums first, because data without them count as not extracted if
    /// removal is interrupted; the identity last, because the file counts against the limit as long as it exists.
    pub(crate) fn clear(&self) -> Result<(), CacheError> {
        let checksums = [self.checksums(), self.partial_checksums()].into_iter();
        let data = CacheDtype::ALL.into_iter().map(|dtype| self.data(dtype));
        for path in checksums.chain(data).chain([self.key()]) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(CacheError::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes a file under a temporary name beside `path`, then renames it, so that readers never see a part of it.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = temporary(path)?;
    write(&mut file)?;
    publish(file, path)
}

/// Opens a temporary file beside `path`, removed unless it is [published](publish).
pub(crate) fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Temporary files are private by default, but a cache may be shared: leave it to the umask.
    tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(parent).map_err(of_system)
}

/// The system's own error within one of `tempfile`, which adds a path and keeps the system's number in its text alone.
fn of_system(error: io::Error) -> io::Error {
    let text = error.to_string();
    let number = text.split_once("(os error ").and_then(|(_, rest)| rest.split_once(')'));
    match number.and_then(|(number, _)| number.parse().ok()) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error,
    }
}

/// Renames a temporary file to its final name, after its content has been synced to disk.
pub(crate) fn publish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
