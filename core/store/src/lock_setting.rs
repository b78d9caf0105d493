//! Which locks are taken: what the user says, or how the file system is mounted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The variable that chooses.
pub const LOCKS: &str = "HASHLAB_LOCKS";

/// Time without a beat after which a lease is lost. A network file system may show changes a minute late.
const LIMIT: Duration = Duration::from_secs(120);

/// Shorter limits would take leases from holders that are merely slow.
const LEAST: Duration = Duration::from_secs(1);

/// What the variable says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Setting {
    /// Whether leases are taken; `None` if the file system decides.
    leases: Option<bool>,
    /// Time without a beat after which this process's leases are lost.
    pub(super) limit: Duration,
}

impl Setting {
    fn parse(text: &str) -> Option<Self> {
        let (kind, seconds) = text.split_once('=').map_or((text, None), |(kind, seconds)| (kind, Some(seconds)));
        let limit = match seconds {
            Some(seconds) => Duration::try_from_secs_f64(seconds.parse().ok()?).ok().filter(|time| *time >= LEAST)?,
            None => LIMIT,
        };
        let leases = match kind {
            "" if seconds.is_none() => None,
            "kernel" if seconds.is_none() => Some(false),
            "lease" => Some(true),
            _ => return None,
        };
        Some(Self { leases, limit })
    }
}

static SETTING: LazyLock<Option<Setting>> =
    LazyLock::new(|| Setting::parse(&std::env::var_os(LOCKS).unwrap_or_default().to_string_lossy()));

pub(super) fn setting() -> Setting {
    SETTING.unwrap_or(Setting { leases: None, limit: LIMIT })
}

/// Checks the variable that chooses the kind of locks.
///
/// # Errors
/// What is wrong with it, and what it may be.
pub fn check_locks() -> Result<(), String> {
    let wrong = || {
        let text = std::env::var_os(LOCKS).unwrap_or_default();
        format!(
            "the variable {LOCKS} is `{}`\nhelp: it may be `kernel`, `lease`, or `lease=SECONDS` with the time without \
             a beat after which a lease is lost, from 1",
            text.display()
        )
    };
    SETTING.map(drop).ok_or_else(wrong)
}

/// Why leases are taken for a file, if they are before any lock was tried.
pub(super) fn leases_reason(path: &Path) -> Option<String> {
    match setting().leases {
        Some(true) => Some(format!("{LOCKS} says so")),
        Some(false) => None,
        None => mounted_without_locks(path).map(|option| format!("it is mounted with `{option}`")),
    }
}

/// The option by which locks of a file's device do not reach other machines.
fn mounted_without_locks(path: &Path) -> Option<&'static str> {
    static KNOWN: Mutex<BTreeMap<u64, Option<&'static str>>> = Mutex::new(BTreeMap::new());
    let device = fs::metadata(path.parent()?).ok()?.dev();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(device).or_insert_with(|| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        local_locks(&mounts, rustix::fs::major(device), rustix::fs::minor(device))
    })
}

/// The option of a mounted device by which its locks stay on this machine, from /proc/self/mountinfo.
fn local_locks(mounts: &str, major: u32, minor: u32) -> Option<&'static str> {
    let device = format!("{major}:{minor}");
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    let (_, file_system) = line.split_once(" - ")?;
    let mut words = file_system.split(' ');
    let options: &[&'static str] = match words.next()? {
        "nfs" | "nfs4" => &["nolock", "local_lock=all", "local_lock=flock"],
        "lustre" => &["localflock"],
        _ => return None,
    };
    let mounted: Vec<&str> = words.nth(1)?.split(',').collect();
    options.iter().copied().find(|option| mounted.contains(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_a_kind_and_a_limit() {
        let parsed = |text| Setting::parse(text).map(|setting| (setting.leases, setting.limit.as_secs_f64()));
        assert_eq!(parsed(""), Some((None, 120.0)));
        assert_eq!(parsed("kernel"), Some((Some(false), 120.0)));
        assert_eq!(parsed("lease"), Some((Some(true), 120.0)));
        assert_eq!(parsed("lease=1.5"), Some((Some(true), 1.5)));
        for wrong in ["flock", "kernel=3", "lease=", "lease=0", "lease=-1", "lease=NaN", "lease=1e300", "=4"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn options_of_network_disks_tell_whether_locks_reach_others() {
        let mounts = "\
            22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n\
            40 22 0:51 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2,local_lock=none,addr=10.0.0.1\n\
            41 22 0:52 / /scratch rw - nfs server:/scratch rw,vers=3,nolock,proto=tcp,local_lock=all\n\
            42 22 0:53 / /flock rw - nfs4 server:/x rw,local_lock=flock\n\
            43 22 0:54 / /lustre rw - lustre 10.0.0.2@tcp:/l rw,checksum,localflock\n\
            44 22 0:55 / /lustre2 rw - lustre 10.0.0.2@tcp:/l rw,flock\n";
        let of = |minor| local_locks(mounts, 0, minor);
        assert_eq!([of(51), of(52), of(53)], [None, Some("nolock"), Some("local_lock=flock")]);
        assert_eq!([of(54), of(55), of(56)], [Some("localflock"), None, None]);
        assert_eq!(local_locks(mounts, 254, 1), None);
    }
}
