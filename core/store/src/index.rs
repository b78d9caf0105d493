//! Index of results, so that planning and tables of many runs open one file in the place of each run's.
//!
//! It is derived: an entry counts only while `result.json` has the stamp that it had when it was read, an index that is
//! damaged or of another version counts as absent, and removing it costs nothing but time. It is replaced by rename, so
//! concurrent sweeps lose at most entries, which are read anew.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::files;

/// The first line. Its version is raised when entries hold more or other facts.
const HEADER: &str = "hashlab index of results, version 2\n";

/// What stands before the digest of all other bytes, in the last line.
const DIGEST: &str = "digest ";

/// Length of the last line.
const LAST: u64 = DIGEST.len() as u64 + 64 + 1;

/// Bytes that are read and parsed at once.
const BLOCK: u64 = 8 << 20;

/// Prefix of incomplete files.
const PARTIAL: &str = ".index-";

/// Age at which an incomplete file belongs to no living process.
const ABANDONED: Duration = Duration::from_secs(3600);

/// What changes whenever a file is replaced or written: times of change, size, inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([i64; 6]);

impl Stamp {
    /// The stamp of a file.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
        let [seconds, nanoseconds, changed, changed_nanoseconds] = times;
        let (size, inode) = (file.size().cast_signed(), file.ino().cast_signed());
        Ok(Self([seconds, nanoseconds, changed, changed_nanoseconds, size, inode]))
    }
}

impl Stamp {
    /// When the file was written, in seconds since 1970.
    pub(crate) fn written(self) -> u64 {
        self.0[0].try_into().unwrap_or(0)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.0.map(|number| number.to_string());
        f.write_str(&numbers.join(" "))
    }
}

/// A line: the name of a run, the stamp of its result, what is kept of it, and its configuration.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) run: &'a str,
    pub(crate) stamp: Stamp,
    pub(crate) record: &'a str,
    /// It holds whatever became of its file, as the run is named by its digest.
    pub(crate) config: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(8, ' ');
        let run = words.next()?;
        let mut stamp = [0; 6];
        for number in &mut stamp {
            *number = words.next()?.parse().ok()?;
        }
        // JSON on one line holds no tab.
        let record = words.next()?;
        let (record, config) =
            record.split_once('\t').map_or((record, None), |(record, config)| (record, Some(config)));
        Some(Self { run, stamp: Stamp(stamp), record, config })
    }
}

/// Bytes of the index; 0 if there is none.
pub(crate) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// Lets the system read the index from the disk while its reader has other things to do.
pub(crate) fn read_ahead(path: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = File::open(path) {
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
    }
}

/// Passes the entries to `each`, many at once. Returns whether the index is there and whole; what was passed of one that
/// is not must be forgotten.
pub(crate) fn read(path: &Path, mut each: impl FnMut(&[Entry<'_>])) -> bool {
    let mut read = || -> io::Result<bool> {
        let mut file = File::open(path)?;
        let Some(mut left) = file.metadata()?.len().checked_sub(LAST) else { return Ok(false) };
        let mut hasher = blake3::Hasher::new();
        let mut block = vec![0; HEADER.len()];
        file.read_exact(&mut block)?;
        if block != HEADER.as_bytes() {
            return Ok(false);
        }
        hasher.update(&block);
        left -= HEADER.len() as u64;
        block.clear();
        while left > 0 {
            let taken = (&mut file).take(left.min(BLOCK)).read_to_end(&mut block)? as u64;
            if taken == 0 {
                return Ok(false);
            }
            left -= taken;
            let Some(end) = block.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = block.split_off(end + 1);
            hasher.update(&block);
            let Ok(lines) = std::str::from_utf8(&block) else { return Ok(false) };
            let Some(entries) = lines.lines().map(Entry::parse).collect::<Option<Vec<_>>>() else { return Ok(false) };
            each(&entries);
            block = rest;
        }
        let mut last = String::new();
        file.read_to_string(&mut last)?;
        Ok(block.is_empty() && last == last_line(&hasher))
    };
    read().unwrap_or(false)
}

/// Replaces the index by the entries of the old one that `keep` wants, and those that `add` writes.
///
/// # Errors
/// Errors of the operating system; the old index is then still there.
pub(crate) fn write(
    path: &Path,
    keep: impl Fn(&Entry<'_>) -> bool,
    add: impl FnOnce(&mut dyn FnMut(Entry<'_>) -> io::Result<()>) -> io::Result<()>,
) -> io::Result<()> {
    remove_abandoned(path);
    files::replace_derived(path, PARTIAL, |out| {
        let mut hasher = blake3::Hasher::new();
        let mut put = |text: &str| {
            hasher.update(text.as_bytes());
            out.write_all(text.as_bytes())
        };
        put(HEADER)?;
        let mut line = |entry: Entry<'_>| {
            let Entry { run, stamp, record, config } = entry;
            let config = config.map(|config| format!("\t{config}")).unwrap_or_default();
            put(&format!("{run} {stamp} {record}{config}\n"))
        };
        // Of one that is damaged, or of another version, nothing is kept.
        if read(path, |_| {}) {
            let mut kept = Ok(());
            let whole = read(path, |entries| {
                let wanted = entries.iter().filter(|entry| keep(entry));
                wanted.for_each(|entry| {
                    if kept.is_ok() {
                        kept = line(*entry);
                    }
                });
            });
            kept?;
            if !whole {
                return Err(io::Error::other("another process replaced the index by a damaged one"));
            }
        }
        add(&mut line)?;
        out.write_all(last_line(&hasher).as_bytes())
    })
}

fn last_line(hasher: &blake3::Hasher) -> String {
    format!("{DIGEST}{}\n", hasher.finalize().to_hex())
}

/// Removes what processes left that were killed while they wrote.
fn remove_abandoned(path: &Path) {
    let Some(directory) = path.parent() else { return };
    let old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().ok()?.modified().ok()?;
        SystemTime::now().duration_since(modified).ok()
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) && old(&entry).is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
