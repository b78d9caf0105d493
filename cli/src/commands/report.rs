//! `hashlab report`: a sweep as one HTML file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_report::{Details, SweepReport, page, runs_of_page};
use hashlab_store::RunId;

use super::table::{from_file, newest, results_file};
use crate::args::ReportArgs;
use crate::context::{Context, print, warn};
use crate::out;

pub(crate) fn run(context: &Context, args: &ReportArgs) -> Result<ExitCode> {
    args.out.as_deref().map_or(Ok(()), out::check)?;
    let (report, details) = read(context, &args.sweep, runs_of_page)?;
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.html", report.name)));
    out::write(&path, html(context, &report, &details)?.as_bytes())?;
    print(&format!("{}\n", path.display()))?;
    if args.open
        && let Err(error) = open::that_detached(&path)
    {
        warn(&format!("cannot open {} in a browser: {error}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a sweep by name, with what the runs left that are wanted, or a file of results, which holds the results alone.
pub(super) fn read(
    context: &Context,
    sweep: &str,
    wanted: impl Fn(&SweepReport) -> Vec<RunId>,
) -> Result<(SweepReport, Details)> {
    if let Some(path) = results_file(sweep)? {
        return Ok((from_file(path)?, Details::new()));
    }
    let mut report = newest(context, sweep)?;
    let wanted = wanted(&report);
    let details = context.workspace.details(&mut report, &wanted)?;
    Ok((report, details))
}

/// Renders a sweep as a page.
pub(super) fn html(context: &Context, report: &SweepReport, details: &Details) -> Result<String> {
    Ok(page(report, &context.workspace.published()?, details)?)
}
