//! `hashlab plot`: a figure of a sweep as a file, for papers.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_report::{FigureKind, FigureRequest, FileFormat, ReportError, figure, shown_runs};

use super::report::read;
use crate::args::PlotArgs;
use crate::context::Context;
use crate::exit::bad_input;
use crate::out;

pub(crate) fn run(context: &Context, args: &PlotArgs) -> Result<ExitCode> {
    let request = request(args)?;
    out::check(&args.out)?;
    let format = format(&args.out)?;
    let (report, details) = read(context, &args.sweep, shown_runs)?;
    let figure = figure(&report, &details, &request).map_err(refused)?;
    out::write(&args.out, &figure.to_file(format).map_err(refused)?)?;
    Ok(ExitCode::SUCCESS)
}

fn request(args: &PlotArgs) -> Result<FigureRequest> {
    let kind: FigureKind = args.figure.parse().map_err(refused)?;
    let keys = match (&args.x, &args.y) {
        (Some(x), Some(y)) if x == y => {
            return Err(bad_input("`--x` and `--y` name the same hyperparameter\nhelp: name two".to_owned()));
        }
        (x, y) => x.clone().zip(y.clone()),
    };
    let (metric, row) = (args.metric.clone(), args.row.clone());
    let request = FigureRequest { kind, metric, bits: args.bits, task: args.task, row, keys };
    match request.unused().first() {
        Some(option) => {
            Err(bad_input(format!("`--{option}` changes nothing in figure `{}`\nhelp: leave it out", kind.name())))
        }
        None => Ok(request),
    }
}

/// The format that a file's name ends in.
fn format(path: &Path) -> Result<FileFormat> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ending.parse().map_err(refused)
}

fn refused(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::Template(_) | ReportError::Figure(_) => error.into(),
        mistake => bad_input(mistake.to_string()),
    }
}
