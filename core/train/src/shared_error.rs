//! An error of what several runs did together, which is that of each.

use std::fmt;
use std::sync::Arc;

use anyhow::Result;

/// An error that several runs share, with its causes.
#[derive(Debug)]
pub struct SharedError(Arc<anyhow::Error>);

impl SharedError {
    /// The error as that of each of `count` runs.
    pub fn of_each<T>(error: anyhow::Error, count: usize) -> Vec<Result<T>> {
        let shared = Arc::new(error);
        (0..count).map(|_| Err(Self(Arc::clone(&shared)).into())).collect()
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    /// The error itself, so that its type is found among the causes.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&**self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_the_error_with_its_type_and_causes() {
        let error = std::fs::read("/absent").map_err(|error| anyhow::Error::new(error).context("cannot read"));
        let errors = SharedError::of_each::<()>(error.unwrap_err(), 2);
        assert_eq!(errors.len(), 2);
        for error in errors {
            let error = error.unwrap_err();
            assert_eq!(error.to_string(), "cannot read");
            assert!(error.chain().any(|cause| cause.is::<std::io::Error>()));
        }
    }
}
