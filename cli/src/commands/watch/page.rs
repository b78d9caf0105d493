//! The page of a sweep on this machine's loopback interface.

use anyhow::Result;
use hashlab_report::{live_page, runs_of_page};
use hashlab_sweep::Plan;

use crate::args::WatchArgs;
use crate::context::Context;
use crate::exit::one_line;
use crate::server::{Request, Response, listen, serve};

/// Serves the page until the process ends.
pub(super) fn serve_page(context: &Context, args: &WatchArgs) -> Result<()> {
    let listener = listen(&args.sweep, args.port, args.open)?;
    serve(&listener, |request| answer(context, &args.sweep, request))?;
    Ok(())
}

fn answer(context: &Context, sweep: &str, request: &Request) -> Response {
    let done = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => html(context, sweep).map(Response::html),
        ("GET", "/state") => newest_state(context, sweep).map(Response::text),
        ("GET", _) => return Response::refusal(404, "there is no such page"),
        _ => return Response::refusal(405, "the page is read with GET"),
    };
    done.unwrap_or_else(|error| Response::refusal(500, &one_line(&error)))
}

/// The page of the plan that was started last. Its state is taken first: what changes meanwhile is shown by the next one.
fn html(context: &Context, sweep: &str) -> Result<String> {
    let (plan, dir) = context.workspace.newest_plan(sweep)?;
    let state = state_of(context, &plan)?;
    let mut report = context.workspace.report(&plan, &dir)?;
    let listed = runs_of_page(&report);
    let details = context.workspace.details(&mut report, &listed)?;
    Ok(live_page(&report, &context.workspace.published()?, &details, &state)?)
}

fn newest_state(context: &Context, sweep: &str) -> Result<String> {
    let (plan, _) = context.workspace.newest_plan(sweep)?;
    state_of(context, &plan)
}

/// A digest of the plan and of how far its runs are.
fn state_of(context: &Context, plan: &Plan) -> Result<String> {
    let store = context.dirs().store();
    let mut digest = blake3::Hasher::new();
    digest.update(plan.digest().as_bytes());
    for run in &plan.runs {
        digest.update(format!("{:?}", store.run(&run.id)?.progress_stamp()).as_bytes());
    }
    Ok(digest.finalize().to_hex()[..16].to_owned())
}
