//! Reader of a feature file.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksums::{self, Checker, State};
use crate::folder::Folder;
use crate::key::Identity;
use crate::lock::Lock;
use crate::{CacheDtype, CacheError};

/// The features of a set of items: complete, checked, and protected from eviction while this value lives.
///
/// Cloning is cheap, and any number of threads may read at once.
#[derive(Clone, Debug)]
pub struct FeatureFile(Arc<Open>);

#[derive(Debug)]
struct Open {
    data: File,
    path: PathBuf,
    identity: Identity,
    _in_use: Lock,
}

impl FeatureFile {
    /// Wraps the data of a complete, checked feature file.
    pub(crate) fn new(data: File, folder: &Folder, identity: &Identity, in_use: Lock) -> Self {
        let path = folder.data(identity.dtype());
        Self(Arc::new(Open { data, path, identity: identity.clone(), _in_use: in_use }))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.0.identity.shape.rows
    }

    /// Features per row.
    pub fn dim(&self) -> usize {
        self.0.identity.shape.dim
    }

    /// Type of the stored features.
    pub fn dtype(&self) -> CacheDtype {
        self.0.identity.dtype()
    }

    /// The file that the features are in.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Reads `rows`, in their order, into `out`, shape `(rows.len(), dim)`, row-major.
    ///
    /// # Errors
    /// If a row is beyond the feature file's end or the file cannot be read.
    ///
    /// # Panics
    /// If `out` has another length than `rows.len() * dim`.
    pub fn read_rows(&self, rows: &[u32], out: &mut [f32]) -> Result<(), CacheError> {
        assert_eq!(out.len(), rows.len() * self.dim(), "values of {} rows × {} features", rows.len(), self.dim());
        let mut rest = out;
        // Neighboring rows cost one system call.
        for run in rows.chunk_by(|row, next| row.checked_add(1) == Some(*next)) {
            let (now, later) = rest.split_at_mut(run.len() * self.dim());
            self.read_at(run[0] as usize..run[0] as usize + run.len(), now)?;
            rest = later;
        }
        Ok(())
    }

    /// Reads a range of rows into `out`, resized to shape `(rows.len(), dim)`, row-major.
    ///
    /// # Errors
    /// If a row is beyond the feature file's end or the file cannot be read.
    pub fn read_range(&self, rows: Range<usize>, out: &mut Vec<f32>) -> Result<(), CacheError> {
        self.check_end(&rows)?;
        out.resize(rows.len() * self.dim(), 0.0);
        self.read_at(rows, out)
    }

    fn read_at(&self, rows: Range<usize>, out: &mut [f32]) -> Result<(), CacheError> {
        self.check_end(&rows)?;
        let Open { data, path, identity, .. } = &*self.0;
        match identity.dtype().read(data, identity.offset(rows.start), out) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let found = data.metadata().map_err(CacheError::io("read", path))?.len();
                Err(CacheError::Truncated { path: path.clone(), expected: identity.bytes(), found })
            }
            read => read.map_err(CacheError::io("read", path)),
        }
    }

    fn check_end(&self, rows: &Range<usize>) -> Result<(), CacheError> {
        match rows.clone().next_back() {
            Some(row) if row >= self.rows() => {
                Err(CacheError::Row { path: self.0.path.clone(), row, rows: self.rows() })
            }
            _ => Ok(()),
        }
    }
}

/// Opens the data of a feature file that is marked complete, after checking every chunk; `None` if it is incomplete or
/// damaged.
pub(crate) fn open_data(folder: &Folder, identity: &Identity) -> Result<Option<File>, CacheError> {
    let records = checksums::read(&folder.checksums()).map_err(CacheError::io("read", &folder.checksums()))?;
    let Some(records) = records else { return Ok(None) };
    let path = folder.data(identity.dtype());
    let data = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(CacheError::io("open", &path))?,
    };
    let intact = Checker::new(identity).inspect(&data, &records).iter().all(|state| *state == State::Intact);
    Ok(intact.then_some(data))
}
