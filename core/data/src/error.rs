//! Errors of data sets.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::special;

/// An error of a data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Not found in any of the directories.
    #[error("{}\nhelp: {help}", self.problem())]
    Missing {
        /// The missing files.
        what: String,
        /// The directories that were searched.
        looked: Vec<PathBuf>,
        /// Remedy.
        help: String,
    },
    /// A file is damaged, or differs from the expected one.
    #[error("{}\nhelp: {help}", self.problem())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem: expected and got.
        problem: String,
        /// Remedy.
        help: String,
    },
    /// A file cannot be read.
    #[error("{}{}", self.problem(), remedy(.source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A setting or protocol does not fit.
    #[error("{0}")]
    Invalid(String),
}

impl DataError {
    /// What is wrong, without what to do about it: that may be another remedy than the error's own.
    pub fn problem(&self) -> String {
        match self {
            Self::Missing { what, looked, .. } => format!("{what} was not found{}", places(looked)),
            Self::Damaged { path, problem, .. } => format!("{}: {problem}", path.display()),
            Self::Io { path, source } => format!("cannot read {}: {source}", path.display()),
            Self::Invalid(message) => message.clone(),
        }
    }
}

/// What to do about a file that cannot be read.
fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::PermissionDenied => "\nhelp: ask its owner for permission, or name another file",
        _ => "",
    }
}

/// One line per searched place.
fn places(looked: &[PathBuf]) -> String {
    let place = |path: &PathBuf| match (denied(path), special(path)) {
        (true, _) => format!("\n  no permission to look at {}", path.display()),
        (false, Some(found)) if found != "a directory" => format!("\n  looked at {}, which is {found}", path.display()),
        (false, _) => format!("\n  looked at {}", path.display()),
    };
    looked.iter().map(place).collect()
}

/// Whether a file, or what a folder holds, may not be looked at.
fn denied(path: &Path) -> bool {
    let looked = path.metadata().and_then(|found| if found.is_dir() { path.read_dir().map(drop) } else { Ok(()) });
    looked.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_data_set_says_where_it_was_looked_for_and_what_to_do() {
        let error = DataError::Missing {
            what: "data set `x`".into(),
            looked: vec!["a".into(), "b/c".into()],
            help: "put it there".into(),
        };
        assert_eq!(error.problem(), "data set `x` was not found\n  looked at a\n  looked at b/c");
        assert_eq!(error.to_string(), format!("{}\nhelp: put it there", error.problem()));
    }
}
