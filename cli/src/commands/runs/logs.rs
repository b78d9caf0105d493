//! `hashlab logs`: what a run's processes wrote.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hashlab_store::RunState;

use super::find;
use crate::args::LogsArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;

/// Between two looks at a log that grows.
const INTERVAL: Duration = Duration::from_millis(300);

pub(crate) fn run(context: &Context, args: &LogsArgs) -> Result<ExitCode> {
    let run = find(&context.dirs().store(), &args.run.run)?;
    let path = run.log_path();
    let mut log = match File::open(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(bad_input(format!("run `{}` has no log\nhelp: no attempt has begun", run.id())));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    loop {
        // The state is read first: what a process writes before its end is read after it.
        let running = args.follow && matches!(run.state(), RunState::Running);
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
        print(&String::from_utf8_lossy(&bytes))?;
        if !running {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(INTERVAL);
    }
}
