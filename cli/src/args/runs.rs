//! Arguments of commands that look at single runs.

use clap::ValueEnum;

/// A run.
#[derive(clap::Args)]
pub(crate) struct RunArg {
    /// Run, as `plan` lists it; the beginning or the last digits are enough where they are of one run
    pub(crate) run: String,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab show cibhash-b64-s0-0f3a5c7e9b12\n  hashlab show 0f3a5c --format json")]
pub(crate) struct ShowRunArgs {
    #[command(flatten)]
    pub(crate) run: RunArg,
    /// Output format; JSON holds configuration, result and attempts
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: TextOrJson,
}

/// Output for people or for programs.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum TextOrJson {
    #[default]
    Text,
    Json,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab logs 0f3a5c --follow")]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) run: RunArg,
    /// Go on until the run ends
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab diff 0f3a5c 91bd02")]
pub(crate) struct DiffArgs {
    /// Run
    pub(crate) first: String,
    /// Run to compare with it
    pub(crate) second: String,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab tag 0f3a5c baseline\n  hashlab tag 0f3a5c baseline --remove")]
pub(crate) struct TagArgs {
    #[command(flatten)]
    pub(crate) run: RunArg,
    /// Tags to add; without one, the tags are listed
    pub(crate) tags: Vec<String>,
    /// Remove the tags
    #[arg(long, requires = "tags")]
    pub(crate) remove: bool,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab note 0f3a5c \"the run of figure 3\"")]
pub(crate) struct NoteArgs {
    #[command(flatten)]
    pub(crate) run: RunArg,
    /// The note; an empty one removes it, without one it is printed
    pub(crate) text: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab rm 0f3a5c 91bd02 --yes")]
pub(crate) struct RmArgs {
    /// Runs
    #[arg(required = true, value_name = "RUN")]
    pub(crate) names: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab gc")]
pub(crate) struct GcArgs {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
