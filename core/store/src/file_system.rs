//! What the file system of a directory of runs can do.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::lock::is_unsupported;
use crate::lock_setting::leases_reason;
use crate::{Store, files};

/// A file system, as a directory of runs needs it.
#[derive(Clone, Debug)]
pub struct FileSystem {
    /// Its name, e.g. `ext4` or `nfs`; empty where the system does not tell.
    pub name: String,
    /// Whether other machines share it.
    pub network: bool,
    /// Bytes that are free for this user.
    pub free_bytes: u64,
    /// Files that can still be made; 0 where their number is not limited.
    pub free_files: u64,
    /// Why a lock does not keep a second process out; `None` if it does.
    pub locks: Option<String>,
    /// Why runs are claimed by leases in the place of locks; `None` if they are not.
    pub leases: Option<String>,
    /// Why a file does not replace another one by rename.
    pub renames: Option<String>,
    /// Why a directory cannot be synced; then a loss of power may lose the newest files.
    pub syncs: Option<String>,
}

/// Names of file systems by their numbers in Linux's headers, and whether they are shared by machines.
const KNOWN: [(u32, &str, bool); 18] = [
    (0xEF53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683E, "btrfs", false),
    (0x2FC1_2FC1, "zfs", false),
    (0xF2F5_2010, "f2fs", false),
    (0x0102_1994, "tmpfs", false),
    (0x8584_58F6, "ramfs", false),
    (0x794C_7630, "overlay", false),
    (0x6573_5546, "fuse", false),
    (0x0000_6969, "nfs", true),
    (0xFF53_4D42, "cifs", true),
    (0xFE53_4D42, "smb2", true),
    (0x0BD0_0BD0, "lustre", true),
    (0x4750_4653, "gpfs", true),
    (0x1983_0326, "beegfs", true),
    (0x00C3_6400, "ceph", true),
    (0x0102_1997, "9p", true),
    (0x5346_414F, "afs", true),
];

impl Store {
    /// Tries what runs need of their file system, in a hidden folder that is removed. A directory that is not there yet is
    /// tried where it would be made.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn file_system(&self) -> io::Result<FileSystem> {
        let absolute = std::path::absolute(self.root())?;
        let place = absolute.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let folder = tempfile::Builder::new().prefix(".probe-").tempdir_in(place)?;
        let (name, network) = kind(folder.path());
        let tried = locks(folder.path());
        let sizes = rustix::fs::statvfs(folder.path())?;
        let found = FileSystem {
            name,
            network,
            free_bytes: sizes.f_bavail.saturating_mul(sizes.f_frsize),
            free_files: sizes.f_favail,
            leases: leases_reason(&folder.path().join("lock"))
                .or_else(|| tried.as_ref().err().filter(|error| is_unsupported(error)).map(ToString::to_string)),
            locks: failure(tried),
            renames: failure(renames(folder.path())),
            syncs: failure(File::open(folder.path()).and_then(|folder| folder.sync_all())),
        };
        folder.close()?;
        Ok(found)
    }
}

fn failure(tried: io::Result<()>) -> Option<String> {
    tried.err().map(|error| error.to_string())
}

#[cfg(target_os = "linux")]
fn kind(path: &Path) -> (String, bool) {
    let Ok(found) = rustix::fs::statfs(path) else { return (String::new(), false) };
    let number = found.f_type as u32;
    match KNOWN.iter().find(|(known, ..)| *known == number) {
        Some((_, name, network)) => ((*name).to_owned(), *network),
        None => (format!("file system {number:#x}"), false),
    }
}

#[cfg(not(target_os = "linux"))]
fn kind(_: &Path) -> (String, bool) {
    (String::new(), false)
}

/// Takes a lock twice, of which the second must be refused.
fn locks(folder: &Path) -> io::Result<()> {
    let path = folder.join("lock");
    let first = File::create(&path)?;
    first.try_lock().map_err(io::Error::from)?;
    match File::open(&path)?.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Err(io::Error::other("two processes would get one lock")),
    }
}

/// Replaces a file as results are written.
fn renames(folder: &Path) -> io::Result<()> {
    let path = folder.join("file");
    fs::write(&path, "old")?;
    files::replace(&path, b"new").map_err(io::Error::other)?;
    if fs::read(&path)? == b"new" { Ok(()) } else { Err(io::Error::other("a rename did not replace the file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let found = Store::open(root.path().join("not/there/yet")).file_system().unwrap();
        assert_eq!((found.locks, found.renames), (None, None));
        assert!(found.free_bytes > 0);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(Store::open("/proc/runs").file_system().is_err());
    }
}
