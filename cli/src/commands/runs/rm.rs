//! `hashlab rm`: removes runs, after a question.

use std::process::ExitCode;

use anyhow::Result;
use hashlab_store::{RunDir, counted};

use super::{agreed, find};
use crate::args::RmArgs;
use crate::context::{Context, print, say, warn};

pub(crate) fn run(context: &Context, args: &RmArgs) -> Result<ExitCode> {
    let store = context.dirs().store();
    let runs = args.names.iter().map(|name| find(&store, name)).collect::<Result<Vec<_>>>()?;
    let lines = runs.iter().map(|run| format!("  {}  {}\n", run.id(), run.state().name()));
    say(&lines.collect::<String>())?;
    if !args.yes && !agreed(&format!("remove {}, with results and models? [y/N] ", counted(runs.len(), "run")))? {
        return Ok(ExitCode::SUCCESS);
    }
    let mut removed = 0;
    for run in &runs {
        match RunDir::remove(run)? {
            true => removed += 1,
            false => warn(&format!("`{}` is executed now, and stays", run.id())),
        }
    }
    print(&format!("{} removed\n", counted(removed, "run")))?;
    Ok(ExitCode::SUCCESS)
}
