//! Journal of metrics, appended line by line during training.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lock::Loss;
use super::{StoreError, files};

/// Metrics of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Number of optimizer updates done.
    pub step: u64,
    /// Values by name, e.g. `train/loss`, `validation/map_at_k`; `None` where a value was not finite.
    pub values: BTreeMap<String, Option<f64>>,
}

/// Writer of `metrics.jsonl`. One process writes: the holder of the run's claim.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    loss: Loss,
}

impl Journal {
    /// Appends a point. Steps never decrease.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written; [`StoreError::Lost`] if the claim is lost.
    pub fn append(&mut self, step: u64, values: &BTreeMap<String, f64>) -> Result<(), StoreError> {
        self.loss.check(&self.path)?;
        let finite = |value: &f64| value.is_finite().then_some(*value);
        let values = values.iter().map(|(name, value)| (name.clone(), finite(value))).collect();
        let mut line = serde_json::to_vec(&Point { step, values }).expect("a point is plain data");
        line.push(b'\n');
        // One call per line: a killed process leaves at most its last line incomplete.
        self.file.write_all(&line).map_err(StoreError::io("append to", &self.path))
    }
}

/// Opens the journal at `path` and removes the lines after the step `resumed`; all lines if `None`.
pub(super) fn open(path: &Path, resumed: Option<u64>, loss: Loss) -> Result<Journal, StoreError> {
    let kept = read(path).into_iter().take_while(|(point, _)| resumed.is_some_and(|step| point.step <= step));
    let length = kept.last().map_or(0, |(_, end)| end);
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(length as u64)?;
        Ok(file)
    };
    let file = open().map_err(StoreError::io("open", path))?;
    Ok(Journal { path: path.to_owned(), file, loss })
}

/// Reads the points up to the first damaged or incomplete line, each with the offset at which its line ends.
pub(super) fn read(path: &Path) -> Vec<(Point, usize)> {
    let bytes = files::read(path).unwrap_or_default();
    let mut end = 0;
    let whole_lines = bytes.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.ends_with(b"\n"));
    whole_lines
        .map_while(|line| {
            end += line.len();
            Some((serde_json::from_slice(line).ok()?, end))
        })
        .collect()
}

/// Syncs the journal to disk.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("write", path)(error)),
        _ => Ok(()),
    }
}
