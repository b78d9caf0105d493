//! Plans as other engines read them: shell commands, Jobs of Kubernetes, job files of HyperQueue.

use anyhow::Result;
use hashlab_app::{PlannedSweep, Preview, bad_input};
use hashlab_exec::engines::{HyperQueueJob, HyperQueueProfile, KubernetesJob, KubernetesProfile};
use hashlab_pipeline::{device_count, needs_gpu};
use hashlab_settings::{Params, Schema, parse};
use hashlab_sweep::{read_file, read_table};

use super::plan::left;
use crate::args::{ExperimentArgs, PlanArgs, PlanFormat};
use crate::context::{Context, color_on_stderr};

/// Checks that a profile is read by somebody.
pub(super) fn check(args: &PlanArgs) -> Result<()> {
    if args.engine.is_some() && !matches!(args.format, PlanFormat::K8s | PlanFormat::Hq) {
        return Err(bad_input("`--profile` describes tasks of `--format k8s` and `--format hq` alone"));
    }
    Ok(())
}

/// Reads the profile that is named; the defaults if there is none.
fn profile<P: Params + Default>(args: &PlanArgs) -> Result<P> {
    let Some(path) = &args.engine else { return Ok(P::default()) };
    let text = read_file(path).map_err(|error| bad_input(error.to_string()))?;
    let settings = read_table(&text, path, &Schema::of::<P>());
    let settings = settings.map_err(|wrong| bad_input(wrong.render(color_on_stderr())))?;
    parse(&settings).map_err(|wrong| bad_input(wrong.to_string()))
}

/// One command per run without a result. They may be started in any order and at once: a run whose features are missing
/// extracts them, and the others wait for it.
pub(super) fn commands(context: &Context, args: &ExperimentArgs, preview: &Preview<'_>) -> String {
    let command = context.exec_command(args);
    left(preview).map(|run| format!("{}\n", command.with(named(&[&run.run.id.0])))).collect()
}

/// A Job over all runs of the plan, as the number of a run stays the same while others end; nothing if none is left.
pub(super) fn kubernetes(
    context: &Context,
    args: &PlanArgs,
    planned: &PlannedSweep,
    preview: &Preview<'_>,
) -> Result<String> {
    let profile: KubernetesProfile = profile(args)?;
    if left(preview).next().is_none() {
        return Ok(String::new());
    }
    check_gpus(profile.gpus, preview)?;
    let pack = profile.pack();
    let command = context.exec_command(&args.experiment);
    let command = command.with(on_gpus(profile.gpus));
    let command = command.with(["--runs-per-index".to_owned(), pack.to_string(), "--index".to_owned()]);
    let (sweep, plan) = (&planned.plan.name, &planned.plan.digest());
    let tasks = planned.plan.runs.len().div_ceil(pack);
    Ok(KubernetesJob { sweep, plan, profile: &profile, tasks, command: &command.words, env: &command.env }.render())
}

/// A job of the runs without a result; nothing if none is left.
pub(super) fn hyperqueue(
    context: &Context,
    args: &PlanArgs,
    planned: &PlannedSweep,
    preview: &Preview<'_>,
) -> Result<String> {
    let profile: HyperQueueProfile = profile(args)?;
    check_gpus(profile.gpus, preview)?;
    let command = context.exec_command(&args.experiment).with(on_gpus(profile.gpus));
    let runs: Vec<&str> = left(preview).map(|run| run.run.id.0.as_str()).collect();
    if runs.is_empty() {
        return Ok(String::new());
    }
    let commands = runs.chunks(profile.pack()).map(|runs| command.with(named(runs)).words).collect();
    Ok(HyperQueueJob { sweep: &planned.plan.name, profile: &profile, commands, env: &command.env }.render())
}

/// Refuses tasks with fewer GPUs than a run trains its encoders on. Without GPUs a run does so on the processor.
fn check_gpus(gpus: usize, preview: &Preview<'_>) -> Result<()> {
    let most = left(preview).try_fold(1, |most, run| anyhow::Ok(most.max(device_count(run.run.template())?)))?;
    if gpus > 0 && gpus < most {
        return Err(bad_input(format!(
            "`devices = {most}` in [train] needs `gpus = {most}` in the profile, which has {gpus}"
        )));
    }
    for run in left(preview) {
        if gpus == 0 && needs_gpu(run.run.template())? {
            return Err(bad_input("`dtype = \"tf32\"` needs a GPU: `gpus = 1` in the profile"));
        }
    }
    Ok(())
}

/// Arguments that name runs.
fn named(runs: &[&str]) -> Vec<String> {
    runs.iter().flat_map(|run| ["--run".to_owned(), (*run).to_owned()]).collect()
}

/// Arguments of a task that has GPUs.
fn on_gpus(gpus: usize) -> Vec<String> {
    if gpus > 0 { ["--device", "cuda"].map(str::to_owned).to_vec() } else { Vec::new() }
}
