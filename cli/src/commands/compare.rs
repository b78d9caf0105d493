//! `hashlab compare`: differences between the methods of a sweep, paired by seed and query.

use std::process::ExitCode;

use anyhow::Result;
use hashlab_report::{Format, Options, compare, shown_runs};

use super::table::report;
use crate::args::{CompareArgs, CompareFormat};
use crate::context::{Context, ascii_on_stdout, color_on_stdout, print};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &CompareArgs) -> Result<ExitCode> {
    let report = report(context, &args.sweep)?;
    let queries = context.workspace.queries(&shown_runs(&report))?;
    let metrics = args.metric.iter().cloned().collect();
    let format = match args.format {
        CompareFormat::Text => Format::Text,
        CompareFormat::Markdown => Format::Markdown,
        CompareFormat::Latex => Format::Latex,
        CompareFormat::Csv => Format::Csv,
        CompareFormat::Json => Format::Json,
    };
    let options = Options { metrics, color: color_on_stdout(), ascii: ascii_on_stdout(), ..Options::new(format) };
    print(&compare(&report, &queries, &args.rows, &options).map_err(|error| bad_input(error.to_string()))?)?;
    Ok(ExitCode::SUCCESS)
}
