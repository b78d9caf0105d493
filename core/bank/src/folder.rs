//! The files of a segment.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::key::Identity;
use crate::lock::Lock;
use crate::{BankError, Precision};

/// A segment's folder and the names in it.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder for `identity` in the bank at `root`.
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

    pub(crate) fn data(&self, precision: Precision) -> PathBuf {
        self.0.join(format!("data.{precision}"))
    }

    /// Bytes of data on disk, whatever the segment's identity says or fails to say.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let bytes = |precision| fs::metadata(self.data(precision)).map_or(0, |file| file.len());
        Precision::ALL.map(bytes).iter().sum()
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

    /// Keeps the segment from being removed, and marks it as used now.
    pub(crate) fn hold(&self) -> Result<Lock, BankError> {
        fs::create_dir_all(&self.0).map_err(BankError::io("create", &self.0))?;
        let held = Lock::shared(&self.use_lock())?;
        if let Err(error) = held.touch() {
            // Another user's bank or a read-only disk: only the order of removal suffers.
            tracing::debug!(segment = %self.0.display(), %error, "cannot note the last use");
        }
        Ok(held)
    }

    /// Reads the segment's identity; none if there is none or it is damaged.
    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::parse(&fs::read(self.key()).ok()?)
    }

    /// Writes the segment's identity, whole or not at all.
    pub(crate) fn describe(&self, identity: &Identity) -> Result<(), BankError> {
        let text = serde_json::to_string_pretty(identity).expect("an identity is plain data");
        write_atomically(&self.key(), |file| file.write_all(text.as_bytes()))
            .map_err(BankError::io("write", &self.key()))
    }

    /// Removes the segment's content. The checksums go first: without them nothing else counts as extracted, should
    /// removal be interrupted; the identity goes last: with it the segment still counts as taking space.
    pub(crate) fn clear(&self) -> Result<(), BankError> {
        let checksums = [self.checksums(), self.partial_checksums()].into_iter();
        let data = Precision::ALL.into_iter().map(|precision| self.data(precision));
        for path in checksums.chain(data).chain([self.key()]) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(BankError::io("remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes a file under a temporary name beside `path`, then renames it: others see all of it or nothing.
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
    // Temporary files are private by default, but a bank may be shared: leave it to the umask.
    tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(parent)
}

/// Gives a temporary file its name, with its content on the disk first.
pub(crate) fn publish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
