//! Errors of files that are there and cannot be read.

use std::fs::File;
use std::io;
use std::path::Path;

use hashlab_data::DataError;

const DAMAGED_HELP: &str = "remove the file and fetch it again: `hashlab fetch cifar10` for the parquet files, https://www.cs.toronto.edu/~kriz/cifar.html for the binary version";

/// An error about what a file holds.
pub(super) fn damaged(path: &Path, problem: String) -> DataError {
    DataError::Damaged { path: path.into(), problem, help: DAMAGED_HELP.into() }
}

/// Opens a file to read.
pub(super) fn open(path: &Path) -> Result<File, DataError> {
    File::open(path).map_err(unreadable(path))
}

/// Makes an error of what the system says about a file.
pub(super) fn unreadable(path: &Path) -> impl Fn(io::Error) -> DataError {
    |source| DataError::Io { path: path.into(), source }
}
