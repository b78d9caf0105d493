//! Exit codes: 0 done, 1 internal error, 2 bad input, 3 some runs failed.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_data::DataError;
use hashlab_kernels::device::DeviceError;

/// A mistake of the user: what is wrong and what to do about it.
#[derive(Debug)]
pub(crate) struct BadInput(pub(crate) String);

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// Builds a [`BadInput`] error.
pub(crate) fn bad_input(message: impl Into<String>) -> anyhow::Error {
    BadInput(message.into()).into()
}

/// Reports an error and picks the exit code.
pub(crate) fn code(done: Result<ExitCode>) -> ExitCode {
    let error = match done {
        Ok(code) => return code,
        Err(error) => error,
    };
    let bad = error.chain().find_map(|cause| cause.downcast_ref::<BadInput>());
    let text = match bad {
        Some(BadInput(text)) if text.starts_with("error") => text.clone(), // diagnostics with their own head
        _ => format!("error: {error:#}"),
    };
    // In one piece: in a run's log, the sweep writes its other output between the lines.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
    let named = |cause: &(dyn std::error::Error + 'static)| cause.is::<DataError>() || cause.is::<DeviceError>();
    if bad.is_some() || error.chain().any(named) { ExitCode::from(2) } else { ExitCode::from(1) }
}
