//! `hashlab gc`: removes features, checkpoints and models that no plan refers to, after a question.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::Garbage;

use super::cache::mib;
use super::runs::agreed;
use crate::args::GcArgs;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &GcArgs) -> Result<ExitCode> {
    let garbage = context.workspace.garbage()?;
    let listed = listing(&garbage);
    if listed.is_empty() {
        print("nothing to remove: plans refer to all features, checkpoints and models\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&listed)?;
    if args.yes || agreed(&format!("remove {:.1} MiB? [y/N] ", mib(garbage.bytes())))? {
        print(&format!("{:.1} MiB removed\n", mib(garbage.remove()?)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn listing(garbage: &Garbage) -> String {
    let mut text = String::new();
    for file in &garbage.features {
        let what = match &file.key {
            Some(key) => format!("features by {}, view {}, of {}", key.encoder, key.view, key.dataset),
            None => format!("features of unknown origin, {}", file.path.display()),
        };
        let _ = writeln!(text, "  {:8.1} MiB  {what}", mib(file.bytes));
    }
    for (run, bytes) in &garbage.runs {
        let _ = writeln!(text, "  {:8.1} MiB  checkpoints and model of {}", mib(*bytes), run.id());
    }
    text
}
