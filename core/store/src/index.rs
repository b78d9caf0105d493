//! Index of results, so that planning and tables of many runs open one file in the place of each run's.
//!
//! It is derived: an entry counts only while `result.json` has the stamp that it had when it was read, what is damaged
//! or of another version counts as absent, and removing it costs nothing but time. It is replaced by rename, so
//! concurrent sweeps lose at most entries, which are read anew.
//!
//! Behind the first line there are [blocks](block), each with its length and a digest before it, so that several
//! threads read them at once.

mod block;
mod encode;
mod records;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::mem;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

pub(crate) use block::{Block, ENTRIES, Entry, NewBlock};

use crate::files;
use crate::results::in_parts;

/// The first line, with the version of the index: raised when blocks hold more or other facts, or encode them
/// otherwise. The version of a result's form is in its entry.
const HEADER: &str = "hashlab index of results, version 3\n";

/// Bytes of the digest of a block.
const DIGEST: usize = 16;

/// Bytes before a block: its length and its digest.
const BLOCK_HEADER: usize = 4 + DIGEST;

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

    /// When the file was written, in seconds since 1970.
    pub(crate) fn written(self) -> u64 {
        self.0[0].try_into().unwrap_or(0)
    }
}

/// Bytes of the index; 0 if there is none.
pub(crate) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// Lets the system read the index from the disk while its reader has other things to do.
pub(crate) fn read_ahead(path: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = files::open_regular(path) {
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
    }
}

/// What `keep` takes of entries, in the order of the index, from several threads at once.
pub(crate) fn read<T: Send>(path: &Path, keep: impl Fn(&Entry<'_>) -> Option<T> + Sync) -> Vec<T> {
    let Ok(file) = OpenIndex::open(path) else { return Vec::new() };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let of_block = |place: &Place| -> Vec<T> {
        let Some(bytes) = file.read(place) else { return Vec::new() };
        Block::parse(&bytes).map_or(Vec::new(), |block| block.entries().filter_map(|entry| keep(&entry)).collect())
    };
    let kept = in_parts(&file.blocks, file.blocks.len().div_ceil(threads), of_block);
    kept.into_iter().flatten().collect()
}

/// Replaces the index by the entries of the old one that `keep` wants, and new blocks. Small blocks of the old one are
/// merged, as each has its own names and configurations.
///
/// # Errors
/// Errors of the operating system; the old index is then still there.
pub(crate) fn write(path: &Path, keep: impl Fn(&Entry<'_>) -> bool, new: &[Vec<u8>]) -> io::Result<()> {
    remove_abandoned(path);
    files::replace_derived(path, PARTIAL, |out| {
        out.write_all(HEADER.as_bytes())?;
        if let Ok(old) = OpenIndex::open(path) {
            let mut merged = NewBlock::default();
            for bytes in old.blocks.iter().filter_map(|place| old.read(place)) {
                keep_entries(out, &bytes, &keep, &mut merged)?;
            }
            put(out, &merged.finish())?;
        }
        new.iter().try_for_each(|block| put(out, block))
    })
}

/// Writes a large block as it is if all its entries are wanted, else adds those that are to `merged`, which is written
/// when it is full.
fn keep_entries(
    out: &mut dyn Write,
    bytes: &[u8],
    keep: impl Fn(&Entry<'_>) -> bool,
    merged: &mut NewBlock,
) -> io::Result<()> {
    let Some(block) = Block::parse(bytes) else { return Ok(()) };
    let (kept, all) = block.entries().fold((0, 0), |(kept, all), entry| (kept + usize::from(keep(&entry)), all + 1));
    if kept == all && kept >= ENTRIES / 2 {
        return put(out, bytes);
    }
    for entry in block.entries().filter(keep) {
        let Some(result) = entry.result() else { continue };
        merged.add(entry.stamp, entry.config().as_ref(), &result);
        if merged.len() == ENTRIES {
            put(out, &mem::take(merged).finish())?;
        }
    }
    Ok(())
}

fn put(out: &mut dyn Write, block: &[u8]) -> io::Result<()> {
    if block.is_empty() {
        return Ok(());
    }
    let length = u32::try_from(block.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&digest(block))?;
    out.write_all(block)
}

fn digest(block: &[u8]) -> [u8; DIGEST] {
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&blake3::hash(block).as_bytes()[..DIGEST]);
    digest
}

/// An index that is read, whatever takes its name meanwhile.
struct OpenIndex {
    file: File,
    blocks: Vec<Place>,
}

/// Where a block begins, and its length.
struct Place {
    start: u64,
    length: u32,
}

impl OpenIndex {
    /// Opens an index and finds its blocks, up to one that is empty or ends behind the file.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = files::open_regular(path)?;
        let end = file.metadata()?.len();
        let mut header = [0; HEADER.len()];
        file.read_exact(&mut header)?;
        if header != *HEADER.as_bytes() {
            return Err(io::Error::other("it is of another version"));
        }
        let (mut blocks, mut at) = (Vec::new(), HEADER.len() as u64);
        let mut length = [0; 4];
        while file.read_exact_at(&mut length, at).is_ok() && length != [0; 4] {
            let place = Place { start: at + BLOCK_HEADER as u64, length: u32::from_le_bytes(length) };
            at = place.start + u64::from(place.length);
            if at > end {
                break;
            }
            blocks.push(place);
        }
        Ok(Self { file, blocks })
    }

    /// The bytes of a block that is as it was written.
    fn read(&self, place: &Place) -> Option<Vec<u8>> {
        let mut bytes = vec![0; DIGEST + usize::try_from(place.length).ok()?];
        self.file.read_exact_at(&mut bytes, place.start - DIGEST as u64).ok()?;
        let block = bytes.split_off(DIGEST);
        (bytes == digest(&block)).then_some(block)
    }
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
