//! `hashlab exec`: some runs of a plan, for schedulers and tools such as GNU parallel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::slurm::Cluster;
use hashlab_app::{Choice, PlannedSweep, SweepOptions};
use hashlab_exec::Completion;
use hashlab_exec::progress::on_stderr;
use hashlab_exec::worker::INTERRUPTED;
use hashlab_store::RunId;
use hashlab_sweep::Selector;

use super::sweep::{SOME_FAILED, keep_files};
use crate::args::{ExecArgs, ExperimentArgs};
use crate::context::{Context, warn};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &ExecArgs) -> Result<ExitCode> {
    let planned = planned(context, args.target.as_deref(), &args.set)?;
    let options = SweepOptions {
        devices: args.device.names.clone(),
        jobs: args.device.jobs(args.jobs),
        stack: args.device.stack,
        keep: args.keep.into(),
        choice: Choice::default(),
        max_failures: args.max_failures.map(std::num::NonZero::get),
        features_only: args.features,
        limits: args.limits.into(),
        retries: args.limits.retries,
        memory: args.limits.memory,
        memory_advice: "a smaller number of runs at once needs less memory: `--jobs N`".to_owned(),
    };
    if args.table {
        let finished = planned.is_finished(&context.workspace)?;
        let completion = if finished { Completion::Complete } else { Completion::Incomplete };
        let back = planned.put_failed_back(&context.workspace)?;
        let mut executed = planned.collect(&context.workspace, &options, completion)?;
        keep_files(context, &mut executed);
        executed.warnings.iter().chain(&back).for_each(|warning| warn(warning));
        return Ok(ExitCode::SUCCESS);
    }
    let runs = match &args.pack {
        Some(pack) => pack_of(context, &planned, &options, pack)?,
        None => chosen(context, &planned, args)?,
    };
    let completion = planned.execute_runs(&context.workspace, &runs, &options, on_stderr().as_mut())?;
    Ok(match completion {
        Completion::Complete => ExitCode::SUCCESS,
        Completion::Incomplete => ExitCode::from(SOME_FAILED),
        Completion::Stopped => ExitCode::from(u8::try_from(INTERRUPTED).unwrap_or(1)),
    })
}

/// The runs of a task.
fn pack_of(context: &Context, planned: &PlannedSweep, options: &SweepOptions, pack: &str) -> Result<BTreeSet<RunId>> {
    let parsed = pack.rsplit_once(':').and_then(|(name, index)| Some((name, index.parse().ok()?)));
    let (name, index) = parsed.ok_or_else(|| bad_input(format!("`--pack {pack}` must be NAME:INDEX")))?;
    Cluster::open(&context.workspace, planned, options, None)?.pack(name, index)
}

/// The plan of an experiment file, of a sweep as it was started, or of the built-in quickstart.
fn planned(context: &Context, target: Option<&str>, set: &[String]) -> Result<PlannedSweep> {
    let Some(target) = target else { return context.plan(&ExperimentArgs { file: None, set: set.to_vec() }) };
    let path = Path::new(target);
    if path.is_file() || path.extension().is_some_and(|extension| extension == "toml") {
        return context.plan(&ExperimentArgs { file: Some(PathBuf::from(target)), set: set.to_vec() });
    }
    if !set.is_empty() {
        return Err(bad_input("`--set` changes an experiment file, and a sweep is planned already"));
    }
    Ok(context.workspace.stored_sweep(target)?.0)
}

/// The runs that the arguments name.
fn chosen(context: &Context, planned: &PlannedSweep, args: &ExecArgs) -> Result<BTreeSet<RunId>> {
    let (store, runs) = (context.dirs().store(), &planned.plan.runs);
    let mut chosen = BTreeSet::new();
    let pack = args.runs_per_index.map_or(1, std::num::NonZero::get);
    let packs: Vec<_> = runs.chunks(pack).collect();
    for &index in &args.index {
        let runs = packs.get(index).ok_or_else(|| {
            let (what, last) = (if pack == 1 { "runs" } else { "packs" }, packs.len() - 1);
            bad_input(format!("`--index {index}` is beyond the plan\nhelp: it has {what} 0 to {last}"))
        })?;
        chosen.extend(runs.iter().map(|run| run.id.clone()));
    }
    for selector in &args.run {
        let before = chosen.len();
        for run in runs {
            let selects = |selector: &Selector| -> Result<bool> {
                Ok(selector.selects(run, "") || selector.selects(run, store.run(&run.id)?.state().name()))
            };
            if selects(selector)? {
                chosen.insert(run.id.clone());
            }
        }
        if chosen.len() == before {
            let text = selector.text();
            return Err(bad_input(format!("`--run {text}` selects no run\nhelp: `hashlab plan` lists them")));
        }
    }
    Ok(chosen)
}
