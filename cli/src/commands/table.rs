//! `hashlab table`: the comparison table of a sweep, in every form that a paper or a program wants.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_data::special;
use hashlab_report::{
    Details, Format, IntervalOver, Options, PRINTED_AS, ReportError, SweepReport, render, render_joined, results_lines,
    shown_runs,
};
use hashlab_store::RunId;

use crate::args::{self, TableArgs, TableFormat, TableOptions};
use crate::context::{Context, ascii_on_stdout, color_on_stdout, note, print, print_more, warn};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &TableArgs) -> Result<ExitCode> {
    let reports = args.sweeps.iter().map(|sweep| report(context, sweep)).collect::<Result<Vec<_>>>()?;
    let interval = args.interval.map(|over| match over {
        args::IntervalOver::Seeds => IntervalOver::Seeds,
        args::IntervalOver::Queries => IntervalOver::Queries,
    });
    let options = Options { interval, ..options(&args.options)? };
    let mut details = Details::new();
    if interval == Some(IntervalOver::Queries) {
        for report in &reports {
            details.extend(match options.all {
                true => context.workspace.queries(report.runs.iter().map(|run| &run.run))?,
                false => context.workspace.queries(&shown_runs(report))?,
            });
        }
    }
    if let (Format::Jsonl, [report], [sweep]) = (options.format, reports.as_slice(), args.sweeps.as_slice())
        && results_file(sweep)?.is_none()
    {
        options.check().map_err(refused)?;
        print_lines(context, report, options.times)?;
        return Ok(ExitCode::SUCCESS);
    }
    let published = context.workspace.published()?;
    let text = match reports.as_slice() {
        [report] => render(report, &published, &details, &options),
        several => render_joined(several, &published, &details, &options),
    };
    let text = text.map_err(refused)?;
    // Nobody looks for it in the comments.
    let lacking =
        text.lines().take(3).find_map(|line| line.strip_prefix("% ").filter(|line| line.starts_with(PRINTED_AS)));
    lacking.iter().for_each(|line| warn(line));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints all results with their curves, run by run, as those of a large sweep do not fit into memory.
fn print_lines(context: &Context, report: &SweepReport, times: bool) -> Result<()> {
    let store = context.dirs().store();
    let whole = |run: &RunId| store.run(run).ok()?.result();
    for line in results_lines(report, times, whole) {
        if !print_more(&line)? {
            break;
        }
    }
    Ok(())
}

/// The report of a sweep, or of a file of results.
pub(super) fn report(context: &Context, sweep: &str) -> Result<SweepReport> {
    match results_file(sweep)? {
        Some(path) => from_file(path),
        None => newest(context, sweep),
    }
}

/// The file of results that a name is, if it is one.
pub(super) fn results_file(sweep: &str) -> Result<Option<&Path>> {
    let path = Path::new(sweep);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let message = format!("{} is an experiment file, and tables and pages are made of sweeps", path.display());
        return Err(bad_input(format!("{message}\nhelp: its sweep is `{name}`")));
    }
    let found = match path.metadata() {
        Ok(found) => found,
        Err(_) if !is_path(sweep) => return Ok(None),
        Err(error) if is_absent(&error) => {
            return Err(bad_input(format!("there is no file `{sweep}`\nhelp: {NAMES}")));
        }
        Err(error) => return Err(bad_input(format!("cannot read `{sweep}`: {error}"))),
    };
    if let Some(what) = special(path).filter(|_| !found.is_dir() || is_path(sweep)) {
        return Err(bad_input(format!("`{sweep}` is {what}\nhelp: {NAMES}")));
    }
    // A sweep may be named like a directory that lies here.
    Ok(Some(path).filter(|_| !found.is_dir()))
}

/// What a command that shows results takes.
const NAMES: &str = "name a sweep, e.g. `cifar10`, or a file that `hashlab table NAME --format jsonl` has printed";

/// Whether a name can only be that of a file.
fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".jsonl")
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// The report that a file of results holds.
pub(super) fn from_file(path: &Path) -> Result<SweepReport> {
    let refused = |error: ReportError| bad_input(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| refused(error.into()))?;
    SweepReport::read_jsonl(BufReader::new(file)).map_err(refused)
}

/// The report of the plan that was started last, with a word about older ones and about results of other sources.
pub(super) fn newest(context: &Context, name: &str) -> Result<SweepReport> {
    let (plan, dir) = context.workspace.newest_plan(name)?;
    let plans = context.dirs().store().sweep(name)?.plans();
    if plans > 1 {
        let folder = dir.path().parent().unwrap_or(dir.path()).display();
        note(&format!(
            "`{name}` was planned in {plans} ways; this is the newest. `table {folder}/PLAN/results.jsonl` prints another"
        ));
    }
    let report = context.workspace.report(&plan, &dir)?;
    context.workspace.stale_results(&report)?.iter().for_each(|stale| warn(&stale.in_words()));
    Ok(report)
}

/// The options of a table as arguments give them.
pub(crate) fn options(options: &TableOptions) -> Result<Options> {
    Ok(Options {
        metrics: options.metric.clone(),
        all: options.all,
        times: !options.no_times,
        latency: options.latency,
        color: color_on_stdout(),
        ascii: ascii_on_stdout(),
        ..Options::new(format(options.format))
    })
}

/// A format as arguments name it.
pub(crate) fn format(format: TableFormat) -> Format {
    match format {
        TableFormat::Text => Format::Text,
        TableFormat::Markdown => Format::Markdown,
        TableFormat::Latex => Format::Latex,
        TableFormat::Csv => Format::Csv,
        TableFormat::Json => Format::Json,
        TableFormat::Jsonl => Format::Jsonl,
    }
}

/// Prints a report as the options say.
pub(crate) fn show(context: &Context, report: &SweepReport, table: &TableOptions) -> Result<()> {
    print(&text(context, report, &options(table)?)?)
}

/// Renders a report, with published values beside the measured ones.
pub(crate) fn text(context: &Context, report: &SweepReport, options: &Options) -> Result<String> {
    render(report, &context.workspace.published()?, &Details::new(), options).map_err(refused)
}

fn refused(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::UnknownMetric { .. }
        | ReportError::UnmeasuredMetric { .. }
        | ReportError::MetricsOfJsonl
        | ReportError::AllOfSeveral
        | ReportError::TimesOfSeveral
        | ReportError::JsonlOfSeveral
        | ReportError::IntervalOfData
        | ReportError::DifferentDefinitions { .. } => bad_input(error.to_string()),
        other => other.into(),
    }
}
