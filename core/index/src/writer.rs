//! Addition of items to an index.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use hashlab_eval::Codes;

use crate::folder::{ITEMS, read_items};
use crate::{Facts, IndexError, Item, rows};

/// The process that adds items to an index.
#[derive(Debug)]
pub struct Writer {
    facts: Facts,
    codes: File,
    codes_path: PathBuf,
    lines: File,
    lines_path: PathBuf,
    /// Bytes of the lines of whole items.
    length: u64,
    items: Vec<Item>,
    _lock: File,
}

impl Writer {
    /// Opens an index to add items, or makes one. Removes what an earlier process began and did not finish.
    ///
    /// # Errors
    /// [`IndexError::Foreign`] if the index holds codes of another model; [`IndexError::Busy`] if another process adds to
    /// it; if a file cannot be read or written, or is damaged.
    pub fn open(folder: &Path, facts: &Facts) -> Result<Self, IndexError> {
        fs::create_dir_all(folder).map_err(IndexError::io("write", folder))?;
        let lock = locked(folder)?;
        match Facts::read(folder)? {
            None => facts.write(folder)?,
            Some(found) if found == *facts => {}
            Some(found) => {
                let (found, asked) = (found.to_string(), facts.to_string());
                return Err(IndexError::Foreign { path: folder.to_owned(), found, asked });
            }
        }
        let (codes_path, lines_path) = (folder.join(rows::FILE), folder.join(ITEMS));
        let (codes, lines) = (for_writing(&codes_path)?, for_writing(&lines_path)?);
        let coded = rows::rows(&codes, facts.bytes()).map_err(IndexError::io("read", &codes_path))?;
        let (items, length) = read_items(&lines_path, coded)?;
        let mut writer =
            Self { facts: facts.clone(), codes, codes_path, lines, lines_path, length: 0, items, _lock: lock };
        writer.truncate(length as u64)?;
        Ok(writer)
    }

    /// The items that the index has.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Adds items with their codes; they are in the index when the call returns, whatever happens to the process.
    ///
    /// # Errors
    /// If they cannot be written, or a path is no Unicode, which lines of JSON need.
    ///
    /// # Panics
    /// If there are more or fewer codes than items, or codes of another length.
    pub fn append(&mut self, codes: &Codes, items: &[Item]) -> Result<(), IndexError> {
        assert_eq!(
            (codes.len(), codes.bits()),
            (items.len(), self.facts.bits),
            "a code of the index's length per item"
        );
        let mut lines = Vec::new();
        for item in items {
            let line = serde_json::to_vec(item);
            lines.extend(line.map_err(|error| IndexError::Item { item: item.to_string(), reason: error.to_string() })?);
            lines.push(b'\n');
        }
        let (rows, bytes) = (self.items.len(), self.facts.bytes());
        let packed = codes.to_packed(&(0..codes.len() as u32).collect::<Vec<_>>());
        let write = || rows::write(&self.codes, rows, bytes, &packed);
        write().map_err(IndexError::io("write", &self.codes_path))?;
        let write = || {
            self.lines.write_all_at(&lines, self.length)?;
            self.lines.sync_data()
        };
        write().map_err(IndexError::io("write", &self.lines_path))?;
        self.length += lines.len() as u64;
        self.items.extend_from_slice(items);
        self.write_header()
    }

    /// Cuts both files behind the last whole item.
    fn truncate(&mut self, length: u64) -> Result<(), IndexError> {
        let rows = rows::HEADER + (self.items.len() * self.facts.bytes()) as u64;
        self.codes.set_len(rows).map_err(IndexError::io("write", &self.codes_path))?;
        self.lines.set_len(length).map_err(IndexError::io("write", &self.lines_path))?;
        self.length = length;
        self.write_header()
    }

    fn write_header(&self) -> Result<(), IndexError> {
        let written = rows::write_header(&self.codes, self.items.len(), self.facts.bytes());
        written.map_err(IndexError::io("write", &self.codes_path))
    }
}

fn for_writing(path: &Path) -> Result<File, IndexError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    open.map_err(IndexError::io("write", path))
}

/// Takes the lock of the index. The kernel frees it when the process ends, however it does.
fn locked(folder: &Path) -> Result<File, IndexError> {
    let path = folder.join("lock");
    let file = for_writing(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::Busy { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(IndexError::io("lock", &path)(error)),
    }
}
