//! `hashlab sweep`: executes what is missing of an experiment and prints its table.

use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::{Choice, Executed, PlannedSweep, Saved, SweepOptions};
use hashlab_exec::Completion;
use hashlab_exec::progress::on_stderr;
use hashlab_report::{Format, Options, results_jsonl, runs_of_page};
use hashlab_sweep::Selector;

use super::{cluster, report, table};
use crate::args::{ExecutorArg, SweepArgs};
use crate::context::{Context, note, say, warn};
use crate::exit::bad_input;
use crate::files::{self, Extent};
use crate::hub::Hub;

/// Exit codes beside success.
pub(super) const SOME_FAILED: u8 = 3;
pub(super) const INTERRUPTED: u8 = 130;

pub(crate) fn run(context: &Context, args: &SweepArgs) -> Result<ExitCode> {
    // What would refuse the table at the end refuses the sweep at its start.
    table::options(&args.table)?.check().map_err(|error| bad_input(error.to_string()))?;
    let hub = Hub::from_env(args.network.offline);
    let mut planned = files::plan(context, &args.experiment, Extent::Pending, &hub, &say)?;
    warn_of_stale_runs(context, &planned, &args.choice.rerun)?;
    let mut options = SweepOptions {
        devices: args.device.names.clone(),
        jobs: args.device.jobs(args.jobs),
        stack: args.device.stack,
        keep: args.keep.into(),
        choice: Choice::from(&args.choice),
        max_failures: args.failures.most(),
        features_only: false,
        limits: args.limits.into(),
        retries: args.limits.retries,
        memory: args.limits.memory,
        memory_advice: "fewer runs at once need less memory: `--jobs N`".to_owned(),
    };
    if args.cluster.executor == ExecutorArg::Slurm {
        return cluster::sweep(context, &planned, &options, args);
    }
    loop {
        let executed = planned.execute(&context.workspace, &options, on_stderr().as_mut())?;
        if executed.completion == Completion::Stopped {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let more = planned.further > 0 && executed.completion == Completion::Complete && args.choice.only.is_empty();
        if !more {
            return finish(context, executed, args);
        }
        // What was found decides what is tried next.
        planned = files::plan(context, &args.experiment, Extent::Pending, &hub, &say)?;
        options.choice.rerun.clear();
    }
}

/// Keeps and prints the table of a sweep that has ended.
pub(super) fn finish(context: &Context, mut executed: Executed, args: &SweepArgs) -> Result<ExitCode> {
    keep_files(context, &mut executed);
    executed.warnings.iter().for_each(|warning| warn(warning));
    executed.saved.iter().filter(|saved| saved.stopped > 0).for_each(|saved| note(&savings(saved)));
    table::show(context, &executed.report, &args.table)?;
    Ok(if executed.completion == Completion::Incomplete { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS })
}

/// What stopping runs has saved, in words.
fn savings(saved: &Saved) -> String {
    let time = saved.seconds.map(|seconds| format!(", about {seconds:.0} s of training")).unwrap_or_default();
    format!("{}{time}", saved.epochs_in_words())
}

/// Says which finished runs other sources made, before anything starts.
fn warn_of_stale_runs(context: &Context, planned: &PlannedSweep, rerun: &[Selector]) -> Result<()> {
    for stale in planned.stale_runs(&context.workspace)? {
        if !rerun.iter().any(|selector| selector.text() == stale.method) {
            warn(&stale.in_words());
        }
    }
    Ok(())
}

/// Writes the results and the table beside the plan. Where that fails, the table is still printed.
pub(super) fn keep_files(context: &Context, executed: &mut Executed) {
    let Executed { dir: Some(dir), report, warnings, .. } = executed else { return };
    let mut write = || -> Result<()> {
        let table = table::text(context, report, &Options::new(Format::Markdown))?;
        dir.write("table.md", table.as_bytes())?;
        let listed = runs_of_page(report);
        let details = context.workspace.details(report, &listed)?;
        if report.runs.len() == listed.len() {
            dir.write("results.jsonl", results_jsonl(report).as_bytes())?;
        } else {
            dir.remove("results.jsonl")?;
            warnings.push(format!(
                "the results of so many runs are not written beside the table; `hashlab table {} --format jsonl` prints \
                 them",
                report.name
            ));
        }
        dir.write("report.html", report::html(context, report, &details)?.as_bytes())?;
        Ok(())
    };
    if let Err(error) = write() {
        warn(&format!("{error:#}"));
    }
}
