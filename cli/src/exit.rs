//! Exit codes: 0 done, 1 internal error, 2 bad input, 3 some runs failed, 130 interrupted.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
pub(crate) use hashlab_app::bad_input;
use hashlab_app::{BadInput, MissingFiles, explained};
use hashlab_cache::CacheError;
use hashlab_data::DataError;
use hashlab_exec::progress::Terminal;
use hashlab_index::IndexError;
use hashlab_kernels::device::DeviceError;
use hashlab_store::StoreError;

use crate::context::{print, say, shown_on_stderr};

/// Reports an error and picks the exit code.
pub(crate) fn code(done: Result<ExitCode>) -> ExitCode {
    let error = match done {
        Ok(code) => return code,
        Err(error) => error,
    };
    let bad = error.chain().find_map(|cause| cause.downcast_ref::<BadInput>());
    let text = match bad {
        Some(BadInput(text)) if has_own_head(text) => text.clone(),
        _ => format!("error: {}", explained(&error)),
    };
    let text = if error.chain().any(|cause| cause.is::<DeviceError>()) { text + &named_device() } else { text };
    // In one piece: in a run's log, the sweep writes its other output between the lines.
    let _ = std::io::stderr().write_all(format!("{}\n", shown_on_stderr(&text)).as_bytes());
    // What the user's files and machine refuse; each says what to do.
    let named = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<MissingFiles>()
            || cause.is::<DataError>()
            || cause.is::<DeviceError>()
            || cause.is::<CacheError>()
            || cause.is::<StoreError>()
            || cause.is::<IndexError>()
    };
    if bad.is_some() || error.chain().any(named) { ExitCode::from(2) } else { ExitCode::from(1) }
}

/// Says which variable names the device, where no flag does.
fn named_device() -> String {
    let by_flag = std::env::args_os().any(|word| word.to_string_lossy().starts_with("--device"));
    match std::env::var("HASHLAB_DEVICE") {
        Ok(device) if !device.is_empty() && !by_flag => {
            format!("\nnote: the variable HASHLAB_DEVICE={device} names it")
        }
        _ => String::new(),
    }
}

/// Ends the program with what clap says of its arguments, help included.
pub(crate) fn refused(error: &clap::Error) -> ! {
    let terminal = if error.use_stderr() { Terminal::stderr() } else { Terminal::stdout() };
    if !terminal.ascii {
        error.exit();
    }
    let text = error.render().to_string();
    let printed = if error.use_stderr() { say(&text) } else { print(&text) };
    std::process::exit(if printed.is_ok() { error.exit_code() } else { 1 })
}

/// An error with its advice in one line, for pages.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    explained(error).replace("\nhelp: ", "; ").replace('\n', " ")
}

/// Whether a diagnostic begins with `error`, in color or without.
fn has_own_head(text: &str) -> bool {
    let plain =
        text.trim_start_matches(|c: char| c == '\u{1b}' || c == '[' || c == ';' || c == 'm' || c.is_ascii_digit());
    plain.starts_with("error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_in_color_keeps_its_head() {
        assert!(has_own_head("error: no"));
        assert!(has_own_head("\u{1b}[1m\u{1b}[91merror\u{1b}[0m: no"));
        assert!(!has_own_head("unknown method"));
    }
}
