//! `hashlab config`: an experiment's settings with their origins, or the schema of experiment files.

use std::process::ExitCode;

use anyhow::Result;
use hashlab_sweep::json_schema;

use crate::args::ConfigArgs;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &ConfigArgs) -> Result<ExitCode> {
    let text = if args.schema {
        let schema = json_schema(&context.registry().catalog(&context.dirs().data));
        serde_json::to_string_pretty(&schema)? + "\n"
    } else {
        context.load(&args.experiment)?.resolved(args.resolved)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
