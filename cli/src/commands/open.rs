//! `hashlab open`: the page of a sweep, or the directory of a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use hashlab_report::runs_of_page;

use super::report;
use super::runs::find;
use crate::args::OpenArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;

/// The page that a sweep leaves beside its plan.
const PAGE: &str = "report.html";

pub(crate) fn run(context: &Context, args: &OpenArgs) -> Result<ExitCode> {
    let path = path(context, args)?;
    print(&format!("{}\n", path.display()))?;
    if !args.print {
        open::that_detached(&path).map_err(|error| {
            let shown = path.display();
            bad_input(format!("nothing here opens {shown}: {error}\nhelp: `--print` prints the path alone"))
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn path(context: &Context, args: &OpenArgs) -> Result<PathBuf> {
    let store = context.dirs().store();
    let is_sweep = store.sweep(&args.target).is_ok_and(|sweep| sweep.newest().ok().flatten().is_some());
    if !is_sweep {
        return match find(&store, &args.target) {
            Ok(run) => Ok(run.path().to_owned()),
            Err(unknown) if store.begun()?.is_empty() || format!("{unknown}").contains("may be any of") => Err(unknown),
            Err(_) => Err(bad_input(format!(
                "there is no sweep and no run `{}` under {}\nhelp: `hashlab ls` lists runs, `hashlab ls --sweeps` sweeps",
                args.target,
                store.root().display()
            ))),
        };
    }
    let (plan, dir) = context.workspace.newest_plan(&args.target)?;
    if args.dir {
        return Ok(dir.path().to_owned());
    }
    let page: &Path = &dir.path().join(PAGE);
    if !page.is_file() {
        // The sweep has not ended.
        let mut report = context.workspace.report(&plan, &dir)?;
        let listed = runs_of_page(&report);
        let details = context.workspace.details(&mut report, &listed)?;
        dir.write(PAGE, report::html(context, &report, &details)?.as_bytes())?;
    }
    Ok(page.to_owned())
}
