//! `hashlab worker`: prepared runs, in a process of their own.

use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::worker::{self, WorkerOptions};
use hashlab_store::RunId;

use crate::args::WorkerArgs;
use crate::context::Context;

pub(crate) fn run(context: &Context, args: WorkerArgs) -> Result<ExitCode> {
    let options = WorkerOptions {
        runs: args.run.into_iter().map(RunId).collect(),
        stacked: args.stacked,
        device: args.device.name,
        weights: args.weights.into_iter().collect(),
        features: args.features,
        until: args.until,
        rungs_of: args.rungs_of,
        keep: args.keep.into(),
    };
    let code = worker::execute(&context.workspace, &options)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
