//! `hashlab watch`: a sweep while its runs go on, as a page or in the terminal.

mod overview;
mod page;
mod screen;
mod terminal;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::WatchArgs;
use crate::context::Context;

pub(crate) fn run(context: &Context, args: &WatchArgs) -> Result<ExitCode> {
    context.workspace.newest_plan(&args.sweep)?;
    if args.tui {
        terminal::show(context, &args.sweep)?
    } else {
        page::serve_page(context, args)?
    }
    Ok(ExitCode::SUCCESS)
}
