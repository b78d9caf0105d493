//! `hashlab plan`: an experiment's runs and their status.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_store::counted;

use crate::args::PlanArgs;
use crate::commands::runs::state_word;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &PlanArgs) -> Result<ExitCode> {
    let plan = context.plan(&args.experiment)?.plan;
    let store = context.dirs().store();
    let begun = store.begun()?;
    let runs: Vec<_> = plan.runs.iter().chain(plan.external.iter().map(|row| &row.run)).collect();
    let results = store.results_as(runs.iter().map(|run| &run.id), drop)?;
    let width = runs.iter().map(|run| run.id.to_string().len()).max().unwrap_or(0);
    let labels = runs.iter().map(|run| run.label.chars().count()).max().unwrap_or(0);
    let mut text =
        format!("{}: {} with protocol {}, {}\n", plan.name, plan.dataset, plan.protocol, counted(runs.len(), "run"));
    for (run, result) in runs.into_iter().zip(results) {
        let state = match result {
            Some(()) => "finished",
            None if begun.contains(&run.id) => state_word(&store.run(&run.id)?.state_of_unfinished()),
            None => "missing",
        };
        let point: Vec<String> = run.point.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let label = run.label.to_string();
        let line = format!("  {:width$}  {state:11}  {label:labels$}  {}", run.id.to_string(), point.join(" "));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
