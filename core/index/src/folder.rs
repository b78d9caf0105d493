//! An index, for reading.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hashlab_eval::Codes;

use crate::search::{Hit, nearest};
use crate::{Facts, IndexError, Item, rows};

/// Name of the file of items.
pub(crate) const ITEMS: &str = "items.jsonl";

/// An index in memory.
#[derive(Debug)]
pub struct Index {
    facts: Facts,
    codes: Codes,
    items: Vec<Item>,
}

impl Index {
    /// Reads an index: the items that have both a code and a line.
    ///
    /// # Errors
    /// [`IndexError::Absent`] if the folder holds no index; if a file cannot be read, or is damaged.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let facts = Facts::read(folder)?.ok_or_else(|| IndexError::Absent { path: folder.to_owned() })?;
        let path = folder.join(rows::FILE);
        let file = File::open(&path).map_err(IndexError::io("read", &path))?;
        let coded = rows::rows(&file, facts.bytes()).map_err(IndexError::io("read", &path))?;
        let (mut items, _) = read_items(&folder.join(ITEMS), coded)?;
        let whole = items.len();
        items.shrink_to_fit();
        let packed = rows::read(&file, whole, facts.bytes()).map_err(IndexError::io("read", &path))?;
        let invalid = |error: hashlab_eval::EvalError| IndexError::Invalid { path, reason: error.to_string() };
        let codes = Codes::from_packed(&packed, facts.bytes()).map_err(invalid)?;
        Ok(Self { facts, codes, items })
    }

    /// Facts about the codes.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The items; position = row of the codes.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The items nearest to a code, at most `top`, ascending by (distance, position).
    ///
    /// # Panics
    /// If the code has another length.
    pub fn nearest(&self, query: &[u64], top: usize) -> Vec<Hit> {
        nearest(&self.codes, query, top)
    }

    /// The path of the image of an item; `None` of texts, and where there is no such item.
    pub fn image(&self, item: usize) -> Option<&PathBuf> {
        match self.items.get(item)? {
            Item::Image { image, .. } => Some(image),
            Item::Text { .. } => None,
        }
    }
}

/// Reads the first `most` lines, and the bytes that they take. A line that was not finished does not count.
pub(crate) fn read_items(path: &Path, most: usize) -> Result<(Vec<Item>, usize), IndexError> {
    let text = fs::read(path).map_err(IndexError::io("read", path))?;
    let (mut items, mut length) = (Vec::new(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n').take(most).take_while(|line| line.ends_with(b"\n")) {
        items.push(serde_json::from_slice(line).map_err(|error| IndexError::Invalid {
            path: path.to_owned(),
            reason: format!("line {}: {error}", items.len() + 1),
        })?);
        length += line.len();
    }
    Ok((items, length))
}
