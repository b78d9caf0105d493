//! `hashlab show`: one run.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_data::{SmallMap, Task};
use hashlab_settings::Settings;
use hashlab_store::{ENCODE_ITEM, RunConfig, RunDir, RunResult, RunState, SEARCH_QUERY, TaskResult, counted};
use serde_json::{Value, json};

use super::find;
use crate::args::{ShowRunArgs, TextOrJson};
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &ShowRunArgs) -> Result<ExitCode> {
    let run = find(&context.dirs().store(), &args.run.run)?;
    print(&match args.format {
        TextOrJson::Text => text(&run)?,
        TextOrJson::Json => format!("{:#}\n", json(&run)?),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn json(run: &RunDir) -> Result<Value> {
    let state = run.state();
    let result = if let RunState::Finished(result) = &state { Some(result) } else { None };
    let remarks = run.remarks();
    Ok(json!({
        "run": run.id(),
        "state": state.name(),
        "config": run.config()?,
        "result": result,
        "attempts": run.attempts(),
        "error": run.failure().map(|failure| failure.message),
        "tags": remarks.tags,
        "note": remarks.note,
        "directory": run.path(),
    }))
}

fn text(run: &RunDir) -> Result<String> {
    let (state, config, remarks) = (run.state(), run.config()?, run.remarks());
    let attempts = counted(run.attempts().len(), "attempt");
    let mut facts = vec![("state", format!("{}, {attempts}", state.name()))];
    facts.extend(run.attempts().into_iter().filter_map(|attempt| Some(("repeated", attempt.retry?))));
    facts.push(("directory", run.path().display().to_string()));
    facts.extend(of_config(&config));
    match &state {
        RunState::Finished(result) => facts.extend(of_result(result)),
        RunState::Failed(failure) => facts.push(("error", failure.message.clone())),
        RunState::Stopped { epoch } => facts.push(("next", format!("goes on from its checkpoint at epoch {epoch}"))),
        RunState::Interrupted { checkpoint: true } => facts.push(("next", "resumes from a checkpoint".into())),
        _ => {}
    }
    facts.extend((!remarks.tags.is_empty()).then(|| ("tags", Vec::from_iter(remarks.tags).join(", "))));
    facts.extend(remarks.note.map(|note| ("note", note)));
    let mut text = format!("{}\n", run.id());
    for (name, fact) in facts {
        let _ = writeln!(text, "  {name:12}  {}", fact.replace('\n', "\n                "));
    }
    Ok(text)
}

fn of_config(config: &RunConfig) -> Vec<(&'static str, String)> {
    let seeds = format!("{}, {} bits, seed {}", config.method, config.bits, config.seed);
    let mut facts = vec![("method", seeds)];
    facts.extend((!config.params.is_empty()).then(|| ("params", listed(&config.params))));
    facts.push(("data", format!("{}, protocol {}", config.dataset, config.protocol)));
    facts.extend((!config.data.is_empty()).then(|| ("", listed(&config.data))));
    for (modality, encoder) in config.encoders.iter() {
        facts.push((modality.name(), listed(encoder)));
    }
    facts.extend((!config.train.is_empty()).then(|| ("train", listed(&config.train))));
    facts.push(("eval", listed(&config.eval)));
    facts
}

fn of_result(result: &RunResult) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(result.message.clone().map(|message| ("diverged", message)));
    let epochs = result.epoch.zip(result.epochs_done).map(|(epoch, done)| format!("{epoch} of {done}"));
    facts.extend(epochs.map(|epochs| ("epoch", epochs)));
    for (name, tasks) in [("validation", &result.validation), ("test", &result.test)] {
        facts.extend((!tasks.is_empty()).then(|| (name, metrics(tasks, &result.primary))));
    }
    let (single, stages): (Vec<_>, Vec<_>) =
        result.seconds.iter().partition(|(stage, _)| [ENCODE_ITEM, SEARCH_QUERY].contains(&stage.as_ref()));
    let stages = stages.into_iter().map(|(stage, seconds)| format!("{stage} {seconds:.1} s"));
    facts.push(("times", stages.collect::<Vec<_>>().join(", ")));
    let single =
        single.into_iter().map(|(what, seconds)| format!("{} {:.1} µs", what.replace('_', " "), seconds * 1e6));
    let single = single.collect::<Vec<_>>().join(", ");
    facts.extend((!single.is_empty()).then_some(("latency", single)));
    facts.extend(result.provenance.iter().map(|(name, value)| ("", format!("{name} {value}"))));
    facts
}

/// The primary metric of each task.
fn metrics(tasks: &SmallMap<Task, TaskResult>, primary: &str) -> String {
    let of_task = |(task, result): (&Task, &TaskResult)| {
        result.metrics.get(primary).map(|value| format!("{} {primary} {value:.4}", task.key()))
    };
    tasks.iter().filter_map(of_task).collect::<Vec<_>>().join(", ")
}

/// Settings as `key=value`, in order.
fn listed(settings: &Settings) -> String {
    settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
