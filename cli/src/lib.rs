//! The command line of hashlab. A crate with methods, data sets or encoders of its own calls [`main`] with a longer
//! [`Registry`].

mod args;
mod commands;
mod completion;
mod context;
mod exit;
mod files;
mod hub;
mod out;
mod retrieval;
mod server;
mod variables;

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
pub use hashlab_app::Registry;

use args::{Args, Command};
use context::Context;
use hashlab_exec::progress::Stderr;
use tracing_subscriber::fmt::format::FmtSpan;

/// The sources that this program was built from.
const BUILD: hashlab_app::Build = hashlab_app::Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("HASHLAB_COMMIT"),
    diff_digest: option_env!("HASHLAB_DIFF"),
    core_digest: option_env!("HASHLAB_CORE"),
    lock_digest: option_env!("HASHLAB_LOCK"),
    toolchain: option_env!("HASHLAB_TOOLCHAIN"),
};

/// Runs the program with the arguments of the process.
pub fn main(registry: Registry) -> ExitCode {
    hashlab_kernels::threads::without_candles_pool();
    hashlab_kernels::keep_freed_memory();
    CompleteEnv::with_factory(|| completion::completing(Args::command(), registry)).complete();
    let args = variables::parsed(std::env::args_os()).unwrap_or_else(|error| exit::refused(&error));
    log_to_stderr();
    if !matches!(args.command, Command::Worker(_)) {
        variables::unknown().iter().for_each(|message| context::warn(message));
    }
    hashlab_exec::raise_open_files();
    hashlab_exec::report_large_files();
    let context = Context::new(registry, args.dirs);
    exit::code(context.check().and_then(|()| run(&context, args.command)))
}

fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Sweep(args) => commands::sweep::run(context, &args),
        Command::Plan(args) => commands::plan::run(context, &args),
        Command::Ls(args) => commands::ls::run(context, &args),
        Command::Open(args) => commands::open::run(context, &args),
        Command::Show(args) => commands::runs::show::run(context, &args),
        Command::Logs(args) => commands::runs::logs::run(context, &args),
        Command::Diff(args) => commands::runs::diff::run(context, &args),
        Command::Reproduce(args) => commands::reproduce::run(context, &args),
        Command::Tag(args) => commands::runs::remarks::tag(context, &args),
        Command::Note(args) => commands::runs::remarks::note(context, &args),
        Command::Rm(args) => commands::runs::rm::run(context, &args),
        Command::Table(args) => commands::table::run(context, &args),
        Command::Report(args) => commands::report::run(context, &args),
        Command::Watch(args) => commands::watch::run(context, &args),
        Command::Bundle(args) => commands::bundle::run(context, &args),
        Command::Plot(args) => commands::plot::run(context, &args),
        Command::Export(args) => commands::export::run(context, &args),
        Command::Compare(args) => commands::compare::run(context, &args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Encode(args) => commands::encode::run(context, &args),
        Command::Index(args) => commands::index::run(context, &args),
        Command::Search(args) => commands::search::run(context, &args),
        Command::Serve(args) => commands::serve::run(context, &args),
        Command::Features(args) => commands::features::run(context, &args),
        Command::Trace(args) => commands::trace::run(context, &args),
        Command::Methods(args) => commands::methods::run(context, &args),
        Command::Datasets(args) => commands::datasets::run(context, &args),
        Command::Encoders(args) => commands::encoders::run(context, &args),
        Command::Fetch(args) => commands::fetch::run(context, &args),
        Command::Cache(args) => commands::cache::run(context, &args),
        Command::Gc(args) => commands::gc::run(context, &args),
        Command::Doctor(args) => commands::doctor::run(context, &args),
        Command::Config(args) => commands::config::run(context, &args),
        Command::Lint(args) => commands::lint::run(context, &args),
        Command::Status(args) => commands::status::run(context, &args),
        Command::Cancel(args) => commands::cancel::run(context, &args),
        Command::Exec(args) => commands::exec::run(context, &args),
        Command::Worker(args) => commands::worker::run(context, args),
    }
}

/// Sends log lines to standard error: warnings, or what `HASHLAB_LOG` asks for (e.g. `debug`). A log that cannot be
/// written stops nothing.
fn log_to_stderr() {
    const VARIABLE: &str = "HASHLAB_LOG";
    let asked = std::env::var(VARIABLE).unwrap_or_default();
    let filter = if asked.is_empty() { "warn" } else { &asked };
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|error| {
        context::warn(&format!("{VARIABLE}={asked} is no filter of log lines: {error}; `{VARIABLE}=debug` is one"));
        tracing_subscriber::EnvFilter::new("warn")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // The time of each stage, where a level shows its span: `run` at `info`, `train`, `epoch` … at `debug`.
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(context::color_on_stderr())
        .log_internal_errors(false)
        .with_writer(Stderr::new)
        .init();
}
