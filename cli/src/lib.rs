//! The command line of hashlab. A crate with methods or data sets of its own calls [`main`] with longer registries.

mod args;
mod commands;
mod context;
mod exit;
mod hub;
mod published;
mod report_of;
mod resolve;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use context::Context;

/// The methods and data sets that the program offers.
#[derive(Clone, Copy)]
pub struct Registry {
    /// Methods, in the order of listings and tables.
    pub methods: &'static [hashlab_model::Entry],
    /// Data sets, in the order of listings.
    pub datasets: &'static [hashlab_data::Entry],
}

/// Runs the program with the arguments of the process.
pub fn main(registry: Registry) -> ExitCode {
    hashlab_kernels::keep_freed_memory();
    let args = Args::parse();
    log_to_stderr();
    let context = Context::new(registry, args.places);
    exit::code(context.check().and_then(|()| run(&context, args.command)))
}

fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Sweep(args) => commands::sweep::run(context, &args),
        Command::Plan(args) => commands::plan::run(context, &args),
        Command::Table(args) => commands::table::run(context, &args),
        Command::Features(args) => commands::features::run(context, &args),
        Command::Trace(args) => commands::trace::run(context, &args),
        Command::Methods(args) => commands::methods::run(context, &args),
        Command::Datasets(args) => commands::datasets::run(context, &args),
        Command::Backbones => commands::backbones::run(),
        Command::Fetch(args) => commands::fetch::run(context, &args),
        Command::Bank => commands::bank::run(context),
        Command::Exec(args) => commands::exec::run(context, &args),
    }
}

/// Sends log lines to standard error: warnings, or what `HASHLAB_LOG` asks for (e.g. `debug`).
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HASHLAB_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_writer(std::io::stderr).init();
}
