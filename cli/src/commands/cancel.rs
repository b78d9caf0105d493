//! `hashlab cancel`: stops the runs of a sweep, on whatever machine they are executed.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::slurm::Cluster;
use hashlab_store::{RunId, counted};

use super::cluster;
use crate::args::CancelArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &CancelArgs) -> Result<ExitCode> {
    let (planned, _) = context.workspace.stored_sweep(&args.sweep)?;
    let store = context.dirs().store();
    let mut only: BTreeSet<RunId> = BTreeSet::new();
    for selector in &args.run {
        let before = only.len();
        for run in &planned.plan.runs {
            if selector.selects(run, "") || selector.selects(run, store.run(&run.id)?.state().name()) {
                only.insert(run.id.clone());
            }
        }
        if only.len() == before {
            let (text, sweep) = (selector.text(), &args.sweep);
            return Err(bad_input(format!(
                "`--run {text}` selects no run\nhelp: `hashlab status {sweep}` counts them"
            )));
        }
    }
    let options = cluster::options(Default::default());
    let mut cluster = Cluster::open(&context.workspace, &planned, &options, None)?;
    let cancelled = cluster.cancel(Some(&only).filter(|_| !args.run.is_empty()))?;
    print(&format!("{} cancelled; `{}` takes them up again\n", counted(cancelled, "run"), cluster.sweep_command()))?;
    Ok(ExitCode::SUCCESS)
}
