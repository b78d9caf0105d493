//! `hashlab report`: a sweep as one HTML file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_report::{Details, SweepReport, page};

use super::table::{from_file, newest, results_file};
use crate::args::ReportArgs;
use crate::context::{Context, print, warn};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &ReportArgs) -> Result<ExitCode> {
    let (report, details) = read(context, &args.sweep)?;
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.html", report.name)));
    write(&path, html(context, &report, &details)?.as_bytes())?;
    print(&format!("{}\n", path.display()))?;
    if args.open
        && let Err(error) = open::that_detached(&path)
    {
        warn(&format!("cannot open {} in a browser: {error}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a sweep by name, with what its runs left, or a file of results, which holds the results alone.
pub(super) fn read(context: &Context, sweep: &str) -> Result<(SweepReport, Details)> {
    if let Some(path) = results_file(sweep)? {
        return Ok((from_file(path)?, Details::new()));
    }
    let report = newest(context, sweep)?;
    let details = context.workspace.details(&report)?;
    Ok((report, details))
}

/// Renders a sweep as a page.
pub(super) fn html(context: &Context, report: &SweepReport, details: &Details) -> Result<String> {
    Ok(page(report, &context.workspace.published()?, details)?)
}

/// Writes a file that the user named.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.is_dir() {
        return Err(bad_input(format!(
            "`--out {}` names a directory\nhelp: name a file, which may be new",
            path.display()
        )));
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
