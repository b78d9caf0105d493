//! Arguments of commands that look at single runs.

use std::num::NonZero;
use std::path::PathBuf;

use clap::ValueEnum;
use hashlab_kernels::device::DeviceName;
use hashlab_sweep::Selector;

use super::parse::parse_jobs;

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

#[derive(clap::Args)]
#[command(
    after_help = "Compared are the metrics, the losses of every step, the results of single queries, statistics and digest of \
                  the codes, and the model if it was kept, bit for bit.\n\nExit codes: 0 all values are equal, 1 some differ, 2 \
                  bad input, 3 a run failed, 130 interrupted.\n\nExamples:\n  hashlab reproduce 0f3a5c\n  hashlab reproduce \
                  cifar10 --only itq,bits=64"
)]
pub(crate) struct ReproduceArgs {
    /// Run, or name of a sweep, whose finished runs are meant
    #[arg(value_name = "RUN|SWEEP")]
    pub(crate) target: String,
    /// Only some runs of the sweep; SELECTOR as for `sweep --only` (repeatable)
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) only: Vec<Selector>,
    /// Directory in which they are executed [default: reproduced/RUN in the directory of runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Take features from the cache, in the place of extracting them again
    #[arg(long)]
    pub(crate) cached: bool,
    /// Where to compute: cpu, cuda or cuda:N [default: where the run was computed]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceName>,
    /// Runs at once, as for `sweep`
    #[arg(long, short, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// Output format
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
#[command(
    after_help = "Columns, for --columns, --sort and the keys of --only:\n  run, state, label, method, bits, seed, dataset, \
                  protocol, tags, note, changed\n  primary and validation: the primary metric of test and validation \
                  queries\n  any setting as experiment files write it (tau, train.epochs, image.encoder)\n  any metric \
                  (map_all), of a task (i2t.map_all) or of validation queries (validation.map_all)\n  any fact of the \
                  result: epoch, seconds, attempts, commit, host, device …\n\nExamples:\n  hashlab ls cifar10 --only \
                  cibhash,bits=64 --columns run,tau,primary --sort=-primary\n  hashlab ls --only 'primary>0.5,tag=baseline' \
                  --format json\n  hashlab ls --sweeps"
)]
pub(crate) struct LsArgs {
    /// Only the runs of these sweeps, as they were planned last
    #[arg(value_name = "SWEEP")]
    pub(crate) sweeps: Vec<String>,
    /// Only runs by method, label, state, tag, the beginning of an ID, `COLUMN=VALUE` or `COLUMN>NUMBER` (also <, <=, >=);
    /// terms joined by commas must all apply (repeatable: any of several)
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) only: Vec<Selector>,
    /// Sort by columns, the first counts most; `--sort=-COLUMN` begins with the largest [default: method,bits,seed]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) sort: Vec<String>,
    /// Columns to print
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Print the first N runs
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
    /// List sweeps in the place of runs
    #[arg(long = "sweeps", conflicts_with_all = ["sweeps", "only", "sort", "columns", "limit"])]
    pub(crate) of_sweeps: bool,
}

/// Output formats of a list.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    #[default]
    Text,
    Csv,
    Json,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab open cifar10\n  cd \"$(hashlab open 0f3a5c --print)\"")]
pub(crate) struct OpenArgs {
    /// Name of a sweep, or a run: its id, or the beginning or the last digits of it
    #[arg(value_name = "SWEEP|RUN")]
    pub(crate) target: String,
    /// Open the directory of a sweep in the place of its page
    #[arg(long)]
    pub(crate) dir: bool,
    /// Print the path, and open nothing
    #[arg(long)]
    pub(crate) print: bool,
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

#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is to be done, 1 something is.\n\nExamples:\n  hashlab doctor\n  hashlab --runs \
                  /scratch/runs doctor --format json"
)]
pub(crate) struct DoctorArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: TextOrJson,
}
