//! `hashlab table`: the comparison table of a sweep, in every form that a paper or a program wants.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_report::{Details, Format, IntervalOver, Options, ReportError, SweepReport, render, render_joined};

use crate::args::{self, TableArgs, TableFormat, TableOptions};
use crate::context::{Context, color_on_stdout, note, print};
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
            details.extend(context.workspace.queries(report)?);
        }
    }
    let published = context.workspace.published()?;
    let text = match reports.as_slice() {
        [report] => render(report, &published, &details, &options),
        several => render_joined(several, &published, &details, &options),
    };
    print(&text.map_err(refused)?)?;
    Ok(ExitCode::SUCCESS)
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
    Ok(Some(path).filter(|path| path.is_file()))
}

/// The report that a file of results holds.
pub(super) fn from_file(path: &Path) -> Result<SweepReport> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    SweepReport::from_jsonl(&text).map_err(|error| bad_input(format!("{}: {error}", path.display())))
}

/// The report of the plan that was started last, with a word about older ones.
pub(super) fn newest(context: &Context, name: &str) -> Result<SweepReport> {
    let (plan, dir) = context.workspace.newest_plan(name)?;
    let plans = context.dirs().store().sweep(name)?.plans();
    if plans > 1 {
        let folder = dir.path().parent().unwrap_or(dir.path()).display();
        note(&format!(
            "`{name}` was planned in {plans} ways; this is the newest. `table {folder}/PLAN/results.jsonl` prints another"
        ));
    }
    context.workspace.report(&plan, &dir)
}

/// The options of a table as arguments give them.
pub(crate) fn options(options: &TableOptions) -> Result<Options> {
    Ok(Options {
        metrics: options.metric.clone(),
        all: options.all,
        times: !options.no_times,
        color: color_on_stdout(),
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
        | ReportError::JsonlOfSeveral
        | ReportError::IntervalOfData
        | ReportError::DifferentDefinitions { .. } => bad_input(error.to_string()),
        other => other.into(),
    }
}
