//! `hashlab status`: the state of a sweep's runs, from their directories and from the cluster.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::slurm::{Cluster, Look, RunLook};
use hashlab_store::counted;

use super::cluster;
use crate::args::StatusArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;

/// Failed runs that are named.
const NAMED: usize = 20;

pub(crate) fn run(context: &Context, args: &StatusArgs) -> Result<ExitCode> {
    let (planned, dir) = context.workspace.stored_sweep(&args.sweep)?;
    let options = cluster::options(Default::default());
    let mut cluster = Cluster::open(&context.workspace, &planned, &options, None)?;
    let mut text = String::new();
    if args.resubmit {
        if !cluster.was_submitted() {
            return Err(bad_input(format!(
                "`{}` was not submitted to a cluster\nhelp: `{}` executes what is left here",
                args.sweep, planned.command
            )));
        }
        cluster.take_turn()?;
        let runs = cluster.open_runs(false)?;
        let taken = if runs.is_empty() { 0 } else { cluster.submit(&runs, false)? };
        let _ = writeln!(text, "{} submitted", counted(taken, "run"));
    }
    let look = cluster.look()?;
    let _ = writeln!(text, "{}: {}", planned.plan.name, look.summary());
    text += &failures(&look);
    if cluster.was_submitted() {
        for (state, tasks) in cluster.ended_tasks() {
            let _ = writeln!(text, "{} ended as {state}", counted(tasks, "task"));
        }
        let _ = writeln!(text, "output of tasks: {}", dir.path().join("slurm").display());
    }
    if look.count(|state| matches!(state, RunLook::Open | RunLook::Failed(_))) > 0 {
        let again = if cluster.was_submitted() { "`status --resubmit` or " } else { "" };
        let _ = writeln!(text, "{again}`{}` executes what is left", cluster.sweep_command());
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn failures(look: &Look<'_>) -> String {
    let mut text = String::new();
    let failed = look.runs.iter().filter_map(|(run, state)| match state {
        RunLook::Failed(message) => Some((run, message)),
        _ => None,
    });
    for (run, message) in failed.clone().take(NAMED) {
        let _ = writeln!(text, "  {} failed: {}", run.id, message.lines().next().unwrap_or_default());
    }
    let more = failed.count().saturating_sub(NAMED);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}
