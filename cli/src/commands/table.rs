//! `hashlab table`: the comparison table of a sweep, in every form that a paper or a program wants.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_engine::report::{Format, Options, ReportError, SweepReport, render, results_jsonl};

use crate::args::{TableArgs, TableFormat, TableOptions};
use crate::context::{Context, colour_on_stdout, print};
use crate::exit::bad_input;
use crate::published::published;
use crate::report_of::{present_plan, report_of};

pub(crate) fn run(context: &Context, args: &TableArgs) -> Result<ExitCode> {
    let path = Path::new(&args.sweep);
    let report = if path.is_file() {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        SweepReport::from_jsonl(&text).map_err(|error| bad_input(format!("{}: {error}", path.display())))?
    } else {
        let store = context.store();
        let plan = present_plan(&store, &args.sweep).map_err(|error| {
            bad_input(format!("{error:#}\nhelp: `hashlab sweep FILE` makes one; its name is the file's, without .toml"))
        })?;
        report_of(&store, &plan)?
    };
    show(&report, &args.options)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a report as the options say.
pub(crate) fn show(report: &SweepReport, options: &TableOptions) -> Result<()> {
    let format = match options.format {
        TableFormat::Text => Format::Text,
        TableFormat::Markdown => Format::Markdown,
        TableFormat::Latex => Format::Latex,
        TableFormat::Csv => Format::Csv,
        TableFormat::Json => Format::Json,
        TableFormat::Jsonl => return print(&results_jsonl(report)),
    };
    let options = Options {
        metrics: options.metric.clone(),
        all: options.all,
        times: !options.no_times,
        colour: colour_on_stdout(),
        ..Options::new(format)
    };
    print(&text(report, &options)?)
}

/// Renders a report, with published values beside the measured ones.
pub(crate) fn text(report: &SweepReport, options: &Options) -> Result<String> {
    render(report, &published(), options).map_err(|error| match error {
        ReportError::Metric { .. } => bad_input(error.to_string()),
        other => other.into(),
    })
}
