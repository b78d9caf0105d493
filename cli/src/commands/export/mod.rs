//! `hashlab export`: a sweep's runs for other tools.

mod columns;
mod mlflow;
mod parquet_file;
mod tensorboard;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_store::{Point, RunConfig, RunDir, RunResult, RunState, counted};
use hashlab_sweep::PlannedRun;

use crate::args::{ExportArgs, Target};
use crate::context::{Context, print};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &ExportArgs) -> Result<ExitCode> {
    let (plan, _) = context.workspace.newest_plan(&args.sweep)?;
    let store = context.dirs().store();
    let all = plan.runs.iter().chain(plan.external.iter().map(|row| &row.run));
    let runs = all.map(|run| Ok(Exported::read(run, &store.run(&run.id)?))).collect::<Result<Vec<_>>>()?;
    let place = match (args.to, &args.out, &args.url) {
        (Target::Mlflow, _, Some(url)) => {
            mlflow::send(url, &plan.name, &runs)?;
            url.clone()
        }
        (Target::Mlflow, _, None) => return Err(bad_input("`--to mlflow` needs the server's address, `--url URL`")),
        (_, None, _) => return Err(bad_input("`--url` is for `--to mlflow`; name a path by `--out`")),
        (to, Some(out), _) => {
            write(to, out, &runs)?;
            out.display().to_string()
        }
    };
    print(&format!("{place}: {}\n", counted(runs.len(), "run")))?;
    Ok(ExitCode::SUCCESS)
}

fn write(to: Target, out: &Path, runs: &[Exported]) -> Result<()> {
    let refused = |error: std::io::Error| bad_input(format!("cannot write {}: {error}", out.display()));
    match to {
        Target::Csv => std::fs::write(out, columns::csv(&columns::of(runs))?).map_err(refused),
        Target::Parquet => std::fs::write(out, parquet_file::bytes(&columns::of(runs))?).map_err(refused),
        _ => tensorboard::write(out, runs).map_err(refused),
    }
}

/// A run as other tools get it.
struct Exported {
    id: String,
    label: String,
    config: RunConfig,
    state: &'static str,
    result: Option<Box<RunResult>>,
    journal: Vec<Point>,
    /// Start of its last attempt, in seconds since 1970.
    started: u64,
}

impl Exported {
    fn read(run: &PlannedRun, dir: &RunDir) -> Self {
        let state = dir.state();
        Self {
            id: run.id.to_string(),
            label: run.label.to_string(),
            config: run.config(),
            state: state.name(),
            journal: dir.metrics(),
            started: dir.attempts().last().map_or(0, |attempt| attempt.time),
            result: if let RunState::Finished(result) = state { Some(result) } else { None },
        }
    }

    /// Metrics of validation and test by name, e.g. `test/i2t/map_at_k`.
    fn metrics(&self) -> Vec<(String, f64)> {
        let Some(result) = &self.result else { return Vec::new() };
        let mut metrics = Vec::new();
        for (set, tasks) in [("validation", &result.validation), ("test", &result.test)] {
            for (task, of_task) in tasks {
                metrics.extend(
                    of_task.metrics.iter().map(|(name, value)| (format!("{set}/{}/{name}", task.key()), *value)),
                );
            }
        }
        metrics
    }
}
