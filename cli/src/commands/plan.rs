//! `hashlab plan`: an experiment's runs and their status, its job graph, and what is left to do.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::slurm::Cluster;
use hashlab_app::{Estimate, PlannedSweep, Preview, PreviewedRun};
use hashlab_store::counted;
use serde_json::json;

use super::{cluster, engines};
use crate::args::{PlanArgs, PlanFormat};
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &PlanArgs) -> Result<ExitCode> {
    let planned = context.plan(&args.experiment)?;
    if let PlanFormat::Count = args.format {
        print(&format!("{}\n", planned.plan.runs.len() + planned.plan.external.len()))?;
        return Ok(ExitCode::SUCCESS);
    }
    engines::check(args)?;
    let preview = planned.preview(&context.workspace)?;
    print(&match args.format {
        PlanFormat::Table | PlanFormat::Count => table(context, &planned, &preview)?,
        PlanFormat::Jsonl => jsonl(&preview),
        PlanFormat::Commands => engines::commands(context, &args.experiment, &preview),
        PlanFormat::K8s => engines::kubernetes(context, args, &planned, &preview)?,
        PlanFormat::Hq => engines::hyperqueue(context, args, &planned, &preview)?,
        PlanFormat::Sbatch => {
            let options = cluster::options(Default::default());
            let profile = cluster::profile(&args.profile)?;
            Cluster::open(&context.workspace, &planned, &options, Some(profile))?.script()?
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(context: &Context, planned: &PlannedSweep, preview: &Preview<'_>) -> Result<String> {
    let plan = &planned.plan;
    let runs = || preview.runs.iter().map(|previewed| previewed.run);
    let width = runs().map(|run| run.id.to_string().len()).max().unwrap_or(0);
    let labels = runs().map(|run| run.label.chars().count()).max().unwrap_or(0);
    let count = counted(preview.runs.len(), "run");
    let mut text = format!("{}: {} with protocol {}, {count}\n", plan.name, plan.dataset, plan.protocol);
    for PreviewedRun { run, state, .. } in &preview.runs {
        let point: Vec<String> = run.point.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let label = run.label.to_string();
        let line = format!("  {:width$}  {state:11}  {label:labels$}  {}", run.id.to_string(), point.join(" "));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text += "\n";
    text += &states(preview);
    text += &further(planned);
    text += &graph(preview);
    text += &changes(context, planned, preview)?;
    text += &estimate(preview);
    Ok(text)
}

/// Counts of the runs' states.
fn states(preview: &Preview<'_>) -> String {
    let count = |state: &str| preview.runs.iter().filter(|run| run.state == state).count();
    let counts =
        ["finished", "running", "failed", "interrupted", "stopped", "missing"].map(|state| (state, count(state)));
    let parts: Vec<String> =
        counts.iter().filter(|(_, count)| *count > 0).map(|(state, count)| format!("{count} {state}")).collect();
    format!("runs: {}\n", parts.join(", "))
}

/// The trials that follow from results.
fn further(planned: &PlannedSweep) -> String {
    let trials = counted(planned.further, "further trial");
    if planned.further == 0 { String::new() } else { format!("{trials}, proposed from the results of these\n") }
}

/// The extractions of features, each with what it needs and the number of runs that need it.
fn graph(preview: &Preview<'_>) -> String {
    let mut text = String::new();
    let mut needed = vec![0; preview.stages.len()];
    preview.runs.iter().flat_map(|run| &run.needs).for_each(|at| needed[*at] += 1);
    for (at, (stage, runs)) in preview.stages.iter().zip(needed).enumerate() {
        let after: Vec<String> = stage.needs.iter().map(|need| format!("after job {}", need + 1)).collect();
        let after = if after.is_empty() { String::new() } else { format!(", {}", after.join(" and ")) };
        let _ = writeln!(text, "job {}: {}{after}, for {}", at + 1, stage.title, counted(runs, "run"));
    }
    text
}

/// What changed since the last sweep of the name, in the experiment and in the sources.
fn changes(context: &Context, planned: &PlannedSweep, preview: &Preview<'_>) -> Result<String> {
    let mut text = String::new();
    if let Some(since) = preview.since_last {
        let _ = writeln!(
            text,
            "against the last sweep of this name: {} kept, {} added, {} dropped",
            since.kept, since.added, since.dropped
        );
    }
    for stale in planned.stale_runs(&context.workspace)? {
        let runs = counted(stale.runs, "finished run");
        let _ = writeln!(text, "other sources made {runs} of `{0}`: `--rerun {0}` repeats them", stale.method);
    }
    Ok(text)
}

/// The runs that jobs are to execute now; a sweep itself measures external rows.
pub(super) fn left<'p>(preview: &'p Preview<'p>) -> impl Iterator<Item = &'p PreviewedRun<'p>> {
    preview.runs.iter().filter(|run| run.due)
}

/// What the runs without a result are likely to take.
fn estimate(preview: &Preview<'_>) -> String {
    let left: Vec<&PreviewedRun<'_>> = left(preview).collect();
    if left.is_empty() {
        return String::new();
    }
    let known: Vec<Estimate> = left.iter().filter_map(|run| run.estimate).collect();
    if known.is_empty() {
        return "no estimate: no run of these methods and sizes has finished on this machine\n".to_owned();
    }
    let seconds: f64 = known.iter().map(|one| one.seconds).sum();
    let disk: u64 = known.iter().map(|one| one.disk_bytes).sum();
    let memory = known.iter().filter_map(|one| one.memory_mib).max();
    let memory = memory.map(|mib| format!(", at most {mib} MiB of memory each")).unwrap_or_default();
    let unknown = left.len() - known.len();
    let rest = if unknown > 0 { format!("; no estimate of {}", counted(unknown, "run")) } else { String::new() };
    let earlier = known.iter().map(|one| one.runs).min().unwrap_or(0);
    format!(
        "estimate for {}: {} if one after the other{memory}, {:.1} MiB on disk, from at least {} of each size on this \
         machine{rest}\n",
        counted(known.len(), "run"),
        span(seconds),
        disk as f64 / (1 << 20) as f64,
        counted(earlier, "earlier run"),
    )
}

/// A duration in its largest sensible unit.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// One object per job: extractions first, then runs.
fn jsonl(preview: &Preview<'_>) -> String {
    let name = |at: &usize| format!("features-{}", at + 1);
    let mut text = String::new();
    for (at, stage) in preview.stages.iter().enumerate() {
        let needs: Vec<String> = stage.needs.iter().map(name).collect();
        let line = json!({ "job": name(&at), "kind": "features", "title": stage.title, "needs": needs });
        let _ = writeln!(text, "{line}");
    }
    for PreviewedRun { run, state, needs, estimate, .. } in &preview.runs {
        let estimate = estimate.map(|one| {
            json!({
                "seconds": one.seconds, "memory_mib": one.memory_mib, "disk_bytes": one.disk_bytes, "runs": one.runs,
            })
        });
        let line = json!({
            "job": run.id, "kind": "run", "state": state, "method": run.template().method, "label": &*run.label,
            "bits": run.bits, "seed": run.seed, "point": &*run.point,
            "needs": needs.iter().map(name).collect::<Vec<_>>(), "estimate": estimate,
        });
        let _ = writeln!(text, "{line}");
    }
    text
}
