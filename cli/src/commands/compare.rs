//! `hashlab compare`: differences between the methods of a sweep, paired by seed and query.

use std::process::ExitCode;

use anyhow::Result;
use hashlab_report::{Options, compare};

use super::table::{format, report};
use crate::args::CompareArgs;
use crate::context::{Context, color_on_stdout, print};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &CompareArgs) -> Result<ExitCode> {
    let report = report(context, &args.sweep)?;
    let queries = context.workspace.queries(&report)?;
    let metrics = args.metric.iter().cloned().collect();
    let options = Options { metrics, color: color_on_stdout(), ..Options::new(format(args.format)) };
    print(&compare(&report, &queries, &args.rows, &options).map_err(|error| bad_input(error.to_string()))?)?;
    Ok(ExitCode::SUCCESS)
}
